"""Training on a cluster: Dask schedulers and workers, and Slurm jobs that run them."""

"""Training: jobs, the loop, data sets, processes, and the cache of runs."""

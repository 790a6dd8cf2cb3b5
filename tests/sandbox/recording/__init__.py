"""Programs that are run with stand-ins."""

"""The reports on one result: a module for each format."""

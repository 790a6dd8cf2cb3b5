"""The assignment: the records that an author writes, constraints, loading, selection."""

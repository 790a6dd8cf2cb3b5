"""Tools for authors of assignments: a first one, its check, its thresholds, its kit."""

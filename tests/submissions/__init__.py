"""Tiny broken and hostile submissions, each with what a student must read about it."""

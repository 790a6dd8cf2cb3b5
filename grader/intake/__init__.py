"""Submitted work: layouts, roster, archives, pictures, and the private copy."""

"""A student's answers and models as data, and models built from that data."""

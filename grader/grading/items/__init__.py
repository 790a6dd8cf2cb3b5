"""The kinds of items: one interface, and one module for each kind."""

"""What people and programs read: a file for each format."""

"""Where student code runs, behind one interface: a file for each kind of isolation."""

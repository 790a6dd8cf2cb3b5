"""Data sets as an author names them; each kind finds, checks and reads its files.

A kind is a module with a subclass of `interface.DataSource`; `named.py` names them. Nothing here
imports torch, and NumPy is loaded only where arrays are read.
"""

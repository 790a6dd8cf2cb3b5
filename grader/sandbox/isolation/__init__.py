"""The outside of the sandbox: the ways to isolate a process, and the choice of one."""

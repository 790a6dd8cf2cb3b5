"""Coverage-guided fuzzing of what reads messages from the sandbox."""

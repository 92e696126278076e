"""The child process: one trial, from its run folder and back into it."""

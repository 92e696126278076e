"""Checkpoints → scores: lm-eval in a process of its own."""

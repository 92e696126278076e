"""Results → an answer; pure functions."""

"""Sampling a device beside a worker: what one device tells (track), how little of it is written (thinning), who else
is on it (others), and the probe that starts and ends the sampling process (beside)."""

"""Probes that live in the child: tokens, time, memory, curves, device."""

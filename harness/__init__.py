"""harness: reproducible evaluation and benchmarking for fine-tuning with TRL."""

__version__ = "0.1.0"

"""Plan → finished run folders: warm local workers; a debug engine without training."""

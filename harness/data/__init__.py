"""Sources and formats → datasets, with a fingerprint."""

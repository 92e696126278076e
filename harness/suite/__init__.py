"""YAML → Suite: strict, with file, line and column in every error."""

"""The command line: one file per command; each parses, calls the pipeline, prints. Nothing heavy is imported here."""

"""`harness schema`: what a suite may say, for editors."""

from __future__ import annotations


def schema() -> None:
    """Print the JSON Schema of suite files, for editors.

    \b
    Example:
      harness schema > suite.schema.json
    and as the first line of a suite:
      # yaml-language-server: $schema=suite.schema.json
    """
    from harness import suite
    from harness.cli.output import print_json

    print_json(suite.json_schema())

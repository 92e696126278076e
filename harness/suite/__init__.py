"""YAML → Suite: strict, with line and column in every error."""

from harness.suite.catalogs import catalog_of, declaration, trained_in
from harness.suite.context import Scoring
from harness.suite.load import Reading, load, read
from harness.suite.schema import json_schema
from harness.suite.stored import margins_stored
from harness.suite.template import TEMPLATES, template

__all__ = [
    "TEMPLATES",
    "Reading",
    "Scoring",
    "catalog_of",
    "declaration",
    "json_schema",
    "load",
    "margins_stored",
    "read",
    "template",
    "trained_in",
]

"""YAML → Suite: strict, with line and column in every error."""

from harness.suite.context import Scoring
from harness.suite.load import load
from harness.suite.schema import json_schema
from harness.suite.template import TEMPLATES, template

__all__ = ["TEMPLATES", "Scoring", "json_schema", "load", "template"]

"""Hub id, local path or shape → model and tokenizer."""

from harness.models.identity import identity, weights_hash
from harness.models.shapes import SHAPES, Shape

__all__ = ["SHAPES", "Shape", "identity", "weights_hash"]

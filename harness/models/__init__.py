"""Hub id, local path or shape → model and tokenizer. Importing this stays light; `load` and its like are not."""

from harness.models.identity import identity, tokenizer_hash, weights_hash
from harness.models.load import load, load_checkpoint, load_tokenizer, open_checkpoint, save
from harness.models.shapes import SHAPES, Shape

__all__ = [
    "SHAPES",
    "Shape",
    "identity",
    "load",
    "load_checkpoint",
    "load_tokenizer",
    "open_checkpoint",
    "save",
    "tokenizer_hash",
    "weights_hash",
]

"""Hub id, local path or shape → model and tokenizer. Importing this stays light; `load` and its like are not."""

from harness.models.identity import BASE_FILE, identity, meaning, tokenizer_hash, weight_files, weights_hash
from harness.models.kernels import KERNELS, is_of_hub
from harness.models.load import load, load_checkpoint, load_tokenizer, open_checkpoint, save
from harness.models.shapes import SHAPES, Shape

__all__ = [
    "BASE_FILE",
    "KERNELS",
    "SHAPES",
    "Shape",
    "identity",
    "is_of_hub",
    "load",
    "load_checkpoint",
    "load_tokenizer",
    "meaning",
    "open_checkpoint",
    "save",
    "tokenizer_hash",
    "weight_files",
    "weights_hash",
]

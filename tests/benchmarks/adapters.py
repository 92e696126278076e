"""Writes a base and adapters of it: `python adapters.py FOLDER COUNT`. Their weights are random, so that all differ."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from harness import models

MODEL = {"shape": "tiny"}


def main(folder: Path, count: int) -> None:
    """FOLDER/base, FOLDER/adapter0, …"""
    model, tokenizer = models.load(MODEL, root=Path(), device="cpu")
    models.save(model, tokenizer, folder / "base", None)
    for number in range(count):
        model, tokenizer = models.load(MODEL, root=Path(), device="cpu")
        torch.manual_seed(number)
        adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"))
        for name, parameter in adapted.named_parameters():
            if ".lora_B." in name:  # zero as PEFT makes them: the adapter would change nothing
                torch.nn.init.normal_(parameter, std=0.05)
        models.save(
            adapted, tokenizer, folder / f"adapter{number}", {"model": {"path": str(folder / "base")}, "root": "."}
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

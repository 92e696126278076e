"""Plants run folders beside trained ones: `python -m tests.functional.planted RESULTS/<suite>`. It takes torch.


Each holds weights that could be taken for others', or that an engine cannot apply beside their base. The suite's stage
is called `start`; `LORA` names what stands on it.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import models
from harness.records.outcome import Outcome
from harness.records.run_folder import RunFolder

MODEL = {"shape": "tiny", "overrides": {"num_hidden_layers": 2}}
TRAINED = "sft-lora-s0"
ALL: dict[str, Any] = {"target_modules": "all-linear"}
LORA: dict[str, dict[str, Any]] = {
    "impostor": {"r": 4, "lora_alpha": 64, **ALL},  # called as the trained one, in another suite's results
    "untrained": {"r": 4, "init_lora_weights": True, **ALL},
    "dora": {"r": 4, "lora_alpha": 32, "use_dora": True, **ALL},
    "head": {"r": 4, "lora_alpha": 32, "target_modules": ["q_proj", "lm_head"]},
    "saved-head": {"r": 4, "lora_alpha": 32, "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "rank-64": {"r": 64, "lora_alpha": 128, "target_modules": ["q_proj", "v_proj", "down_proj"]},
    "rank-600": {"r": 600, "lora_alpha": 600, "target_modules": ["o_proj"]},
    "bias": {"r": 4, "lora_alpha": 32, "bias": "all", **ALL},
    "empty": {"r": 4, **ALL},
    "replaced": {"r": 4, **ALL},
    "nan": {"r": 4, **ALL},
    "stacked": {"r": 8, "lora_alpha": 64, **ALL},  # on the trained adapter, merged
}
"""Settings of the adapters by name."""


def main(suite: Path) -> None:
    """Plants them all."""
    trained = {str((RunFolder(spec.parent).spec() or {})["name"]): spec.parent for spec in suite.glob("*/spec.json")}
    base, lora = trained["stage-start"] / "checkpoint", trained[TRAINED]
    for seed, (name, settings) in enumerate(LORA.items()):
        on = lora / "checkpoint" if name == "stacked" else base
        place = suite.parent / "impostor" / lora.name if name == "impostor" else suite / name
        _plant(RunFolder(place), name, seed, on, settings)
    _whole(RunFolder(suite / "nan-whole"), base)


def _plant(folder: RunFolder, name: str, seed: int, base: Path, settings: Mapping[str, Any]) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    model, tokenizer = models.load_checkpoint(base, device="cpu")
    torch.manual_seed(seed)
    adapted = get_peft_model(model, LoraConfig(**{"init_lora_weights": False, **settings}))  # random, not zero
    with torch.no_grad():
        for parameter_name, parameter in adapted.named_parameters():
            if name == "saved-head" and "modules_to_save" in parameter_name:
                parameter.add_(torch.randn_like(parameter) * 0.05)
            if name == "bias" and parameter_name.endswith(".bias"):
                parameter.add_(0.5)
            if name == "nan" and "lora_B" in parameter_name:
                parameter.fill_(float("nan"))
    models.save(adapted, tokenizer, folder.checkpoint, {"model": MODEL, "root": folder.path, "start": base})
    weights = folder.checkpoint / "adapter_model.safetensors"
    if name == "empty":
        _change(weights, lambda tensors: {})
    _close(folder, TRAINED if name == "impostor" else name)
    if name == "replaced":
        _change(weights, lambda tensors: {key: tensor + 1 for key, tensor in tensors.items()})


def _whole(folder: RunFolder, base: Path) -> None:
    """Whole weights with NaN in every norm."""
    shutil.copytree(base, folder.checkpoint)

    def spoil(tensors: dict[str, Any]) -> dict[str, Any]:
        return {key: tensor * (float("nan") if key.endswith("norm.weight") else 1) for key, tensor in tensors.items()}

    _change(folder.checkpoint / "model.safetensors", spoil)
    _close(folder, folder.path.name)


def _change(file: Path, how: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    save_file(how(load_file(file)), file, metadata={"format": "pt"})


def _close(folder: RunFolder, name: str) -> None:
    """As if training had left it."""
    spec = {"name": name, "trial_id": folder.path.name, "cell_id": name, "kind": "cell", "model": MODEL}
    folder.spec_file.write_text(json.dumps({**spec, "suite": folder.path.parent.name}), encoding="utf-8")
    known = models.weights_hash(folder.checkpoint)
    folder.new_attempt().close(
        Outcome(outcome="ok", attempt=1, started_at="", ended_at="", duration_s=1.0, weights_hash=known)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""A hand-written TRL script, for comparison: one training, no probes, its own process.

    python bare_trl.py SPEC.json OUT [--until-train-begin]

It trains what a run folder's spec.json says, with the same model, rows and arguments, the way somebody would who knows
TRL and has no harness. It takes the model and the rows from the harness's rooms, since those are not what is compared.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def main(spec_file: str, out: str, *flags: str) -> None:
    import torch
    from peft import LoraConfig
    from transformers import TrainerCallback, set_seed
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    from harness import data, models
    from harness.methods import METHODS

    spec: dict[str, Any] = json.loads(Path(spec_file).read_text())
    folder = Path(spec_file).parent
    set_seed(spec["seed"])
    if spec["start"]:
        model, tokenizer = models.load_checkpoint((folder / spec["start"]).resolve(), device="cpu")
    else:
        model, tokenizer = models.load(spec["model"], root=folder, device="cpu")
    method = METHODS[spec["method"]]
    prepared = data.load(spec["data"], method.formats, root=folder, template_columns=method.template_columns)
    classes = {"sft": (SFTConfig, SFTTrainer), "dpo": (DPOConfig, DPOTrainer), "orpo": (ORPOConfig, ORPOTrainer)}
    config_class, trainer_class = classes[spec["method"]]
    on_cpu = not torch.cuda.is_available()
    arguments: dict[str, Any] = {"use_cpu": on_cpu, "bf16": not on_cpu, "dataloader_pin_memory": not on_cpu}
    arguments |= {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "output_dir": out}
    began: list[float] = []

    class Began(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            began.append(time.time())
            control.should_training_stop = "--until-train-begin" in flags

    reference = {"ref_model": copy.deepcopy(model)} if spec["method"] == "dpo" and not spec["lora"] else {}
    trainer = trainer_class(
        **reference,
        model=model,
        args=config_class(**arguments, **{**spec["train"], "seed": spec["seed"]}),
        train_dataset=prepared.train,
        processing_class=tokenizer,
        peft_config=LoraConfig(**spec["lora"]) if spec["lora"] else None,
        callbacks=[Began()],
    )
    if "--until-train-begin" in flags:
        trainer.args.max_steps = 1
    trainer.train()
    if "--until-train-begin" not in flags:
        trainer.save_model(out)
    print(json.dumps({"train_began": began[0]}))


if __name__ == "__main__":
    main(*sys.argv[1:])

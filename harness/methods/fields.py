"""Fields a suite may not set, and names that have changed: what to say instead.

Sources: TRL's release notes and migration guide, transformers' v5 migration guide, and the installed classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.methods.method import OWNED

Advice = tuple[str, str | None]
"""Why the harness sets it itself, and what to do instead (None: nothing)."""

_SECRET: Advice = (
    "a suite holds no secrets: it is copied into every run folder",
    "put the token into the HF_TOKEN environment variable",
)
_TRACKER: Advice = ("the harness records what TRL logs itself and reports to no service", "see `harness query`")
_HUB: Advice = ("trials stay on this machine", None)
_SAVING: Advice = (
    "the harness saves weights itself: at the end, and on the way where they are scored",
    "set `checkpoint: keep` or `drop`; `score: {every: checkpoint}` takes train.save_steps",
)
_ROWS: Advice = (
    "the harness hands TRL rows under the names it expects, for it to prepare",
    "set `data.columns` or `data.format`",
)
_CALLS: Advice = ("the harness calls the trainer itself", None)
_ONE_DEVICE: Advice = ("a trial is one process on one device", None)

# `method.OWNED` says why for the fields TRL would act on; here are the others, and what to do instead.
_OWNED: Mapping[str, Advice] = {
    "output_dir": (OWNED["output_dir"], "choose the folder with `harness run --results`"),
    "seed": (OWNED["seed"], "set `replicates: {seeds: [0, 1, 2]}`, or `seed` of a stage"),
    "data_seed": ("seeds come from `replicates.seeds`, one trial each", "set `data.seed` for the choice of rows"),
    "model_init_kwargs": (OWNED["model_init_kwargs"], "set `model.dtype` or `model.attn_implementation`"),
    "trust_remote_code": ("a suite never runs code, and the harness loads the model itself", None),
    "hub_token": _SECRET,
    "push_to_hub_token": _SECRET,
    "use_auth_token": _SECRET,
    "token": _SECRET,
    "hf_token": _SECRET,
    "report_to": _TRACKER,
    "run_name": _TRACKER,
    "project": _TRACKER,
    "logging_dir": _TRACKER,
    "disable_tqdm": ("the harness shows progress itself", "use `harness run --quiet`"),
    "save_total_limit": _SAVING,
    "save_only_model": _SAVING,
    "save_on_each_node": _SAVING,
    "load_best_model_at_end": _SAVING,
    "enable_jit_checkpoint": _SAVING,
    "resume_from_checkpoint": (OWNED["resume_from_checkpoint"], "run the suite again: finished trials are kept"),
    "ignore_data_skip": (OWNED["resume_from_checkpoint"], None),
    "restore_callback_states_from_checkpoint": (OWNED["resume_from_checkpoint"], None),
    "do_train": _CALLS,
    "do_eval": ("evaluation follows `eval_strategy`", "set train.eval_strategy and data.eval_fraction"),
    "do_predict": _CALLS,
    "local_rank": _ONE_DEVICE,
    "parallelism_config": _ONE_DEVICE,
    "dataset_text_field": _ROWS,
    "dataset_kwargs": _ROWS,
    # TrainerMemoryTracker.peak_monitor_func reads the process's memory in a loop without a pause
    "skip_memory_metrics": (
        "transformers' own meter spins in a thread beside the training, which it slows, and resets torch's peaks",
        "leave it out: the harness measures memory itself",
    ),
    "auto_find_batch_size": ("it would change the batch size unseen", "make the batch size an axis: oom is a result"),
}
_OWNED_PATTERN = re.compile(r"(hub_|push_to_hub|trackio_)")

LORA_OWNED: Mapping[str, str] = {
    "task_type": "the harness trains causal language models",
    "peft_type": "`lora` is always LoRA",
    "inference_mode": "an adapter that is trained is not in inference mode",
    "auto_mapping": "PEFT writes it",
    "peft_version": "PEFT writes it",
    "base_model_name_or_path": "the base is the trial's `model`",
    "revision": "the base is the trial's `model`: set model.revision",
    "runtime_config": "PEFT takes a Python object there, which YAML cannot write",
}
"""Fields of LoraConfig that a suite may not set, and why."""

_DATA = "it is about the data: set `data.format`, `data.columns` or `data.rows`"
_LENGTH = "use max_length: it bounds prompt and completion together"

# Old name → what to write now. Where another method of the suite still has the name, that method takes it.
_RENAMED: Mapping[str, str] = {
    # TRL: SFTConfig.max_seq_length became max_length in 0.13; the prompt and completion limits went with 1.0
    "max_seq_length": "it is called max_length now",
    "max_prompt_length": _LENGTH,
    "max_completion_length": _LENGTH,
    "max_target_length": _LENGTH,
    # TRL 0.12: the trainer's `tokenizer` became `processing_class`, which the harness makes
    "tokenizer": "TRL calls it processing_class now, and the harness makes it from `model`: leave it out",
    "processing_class": "the harness makes it from `model`: leave it out",
    "num_of_sequences": "packing no longer estimates: set packing and max_length alone",
    "chars_per_token": "packing no longer estimates: set packing and max_length alone",
    "dataset_batch_size": "TRL maps whole datasets now: use dataset_num_proc",
    "dataset_text_field": _DATA,
    "formatting_func": _DATA,
    "response_template": "DataCollatorForCompletionOnlyLM is gone: set completion_only_loss or assistant_only_loss",
    "label_pad_token_id": "TRL fixes it at -100 now: leave it out",
    "padding_value": "it follows the tokenizer now: leave it out",
    "reference_free": "TRL has dropped it; orpo needs no reference model",
    "rpo_alpha": "use loss_type: [sigmoid, sft] with loss_weights: [1.0, <alpha>]",
    "use_liger_loss": "use use_liger_kernel",
    "use_num_logits_to_keep": "TRL does it by itself now: leave it out",
    "use_logits_to_keep": "TRL does it by itself now: leave it out",
    # transformers: renamed in 4.x, old names removed in 5.0
    "evaluation_strategy": "it is called eval_strategy now",
    "no_cuda": "it is called use_cpu now",
    "use_mps_device": "transformers chooses the device; use_cpu: true keeps it off",
    "per_gpu_train_batch_size": "it is called per_device_train_batch_size now",
    "per_gpu_eval_batch_size": "it is called per_device_eval_batch_size now",
    "warmup_ratio": "use warmup_steps: a value below 1 is a share of all steps",
    "group_by_length": "use train_sampling_strategy: group_by_length",
    "adafactor": "use optim: adafactor",
    "include_tokens_per_second": "the harness measures tokens_per_second itself: leave it out",
    "include_inputs_for_metrics": "use include_for_metrics: [inputs]",
    "half_precision_backend": "use bf16 or fp16",
    "fp16_backend": "use bf16 or fp16",
    "fp16_opt_level": "use bf16 or fp16",
    "overwrite_output_dir": "every trial has a folder of its own: leave it out",
    "save_safetensors": "weights are always saved as safetensors now: leave it out",
    "dispatch_batches": "use accelerator_config: {dispatch_batches: …}",
    "split_batches": "use accelerator_config: {split_batches: …}",
    "fsdp_min_num_params": "use fsdp_config: {min_num_params: …}",
    "past_index": "transformers has dropped it: leave it out",
    "tpu_num_cores": "transformers has dropped it: leave it out",
    "torchdynamo": "use torch_compile_backend",
    "jit_mode_eval": "transformers has dropped it: use torch_compile",
    # what other tools call them
    "lr": "TRL calls it learning_rate",
    "batch_size": "TRL calls it per_device_train_batch_size",
    "micro_batch_size": "TRL calls it per_device_train_batch_size",
    "epochs": "TRL calls it num_train_epochs",
    "num_epochs": "TRL calls it num_train_epochs",
    "steps": "TRL calls it max_steps",
    "num_steps": "TRL calls it max_steps",
    "warmup": "TRL calls it warmup_steps",
    "optimizer": "TRL calls it optim",
    "scheduler": "TRL calls it lr_scheduler_type",
    "lr_scheduler": "TRL calls it lr_scheduler_type",
    "sequence_len": "TRL calls it max_length",
    "cutoff_len": "TRL calls it max_length",
    "gradient_clipping": "TRL calls it max_grad_norm",
}
_LORA_RENAMED: Mapping[str, str] = {
    "rank": "PEFT calls it r",
    "lora_r": "PEFT calls it r",
    "alpha": "PEFT calls it lora_alpha",
    "dropout": "PEFT calls it lora_dropout",
    "target": "PEFT calls it target_modules",
    "lora_target": "PEFT calls it target_modules",
    "modules": "PEFT calls it target_modules",
    "dora": "PEFT calls it use_dora",
    "rslora": "PEFT calls it use_rslora",
}
# Keys of a configuration's other parts that are often looked for under `train`.
_ELSEWHERE: Mapping[str, str] = {
    "peft_config": "set `lora` beside `train`",
    "use_peft": "set `lora` beside `train`",
    "lora": "`lora` stands beside `train`, not in it",
    "model": "`model` stands beside `train`, not in it",
    "model_name_or_path": "set `model: {hub: …}` or `model: {path: …}` beside `train`",
    "ref_model": "the reference is the policy as it starts: leave it out",
    "data": "`data` stands beside `train`, not in it",
    "dataset": "set `data` beside `train`",
    "dataset_name": "set `data: {hub: …}` beside `train`",
    "train_dataset": "set `data` beside `train`",
    "eval_dataset": "set `data.eval_fraction`",
    "method": "`method` stands beside `train`, not in it",
    "timeout": "set `limits.timeout` beside `train`",
    "attn_implementation": "set `model.attn_implementation` beside `train`",
    "torch_dtype": "set `model.dtype` beside `train`",
    "dtype": "set `model.dtype` beside `train`",
    "load_in_4bit": "the harness does not quantize weights; `optim: adamw_bnb_8bit` keeps the optimizer small",
    "load_in_8bit": "the harness does not quantize weights; `optim: adamw_bnb_8bit` keeps the optimizer small",
}


def owned(name: str) -> Advice | None:
    """Why a suite may not set this field of `train`, and what to do instead; None when it may."""
    advice = _OWNED.get(name)
    if advice is not None:
        return advice
    if name in OWNED:
        return OWNED[name], None
    return _HUB if _OWNED_PATTERN.match(name) else None


def old_name(name: str, *, lora: bool = False) -> str | None:
    """What to write now for a name that TRL, transformers or PEFT has left behind, or that others use."""
    return (_LORA_RENAMED if lora else _RENAMED).get(name)


def elsewhere(name: str) -> str | None:
    """Where to set something that is not a field of `train` at all."""
    return _ELSEWHERE.get(name)

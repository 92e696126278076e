"""Values that do not go together: TRL, transformers or PEFT would refuse them mid-trial, or pass one of them over.

Said at plan time as `harness.methods.ranges` does for single values. Seen in TRL 1.16, transformers 5.19, PEFT 0.21.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.errors import Problem, did_you_mean
from harness.records.jsontypes import shown

Get = Callable[[str], Any]
"""A field of `train` by name: what the suite says, else TRL's default where it is known."""
Found = Iterator[tuple[str, Problem]]
"""Field paths, and what is wrong with each."""

BESIDE: Mapping[str, tuple[str, ...]] = {
    "train.fp16": ("train.bf16",),
    "train.num_train_epochs": ("train.max_steps",),
    "train.padding_free": ("train.packing", "train.max_length"),
    "train.packing": ("train.max_length",),
    "train.lr_scheduler_type": ("train.lr_scheduler_kwargs", "train.eval_strategy"),
    "train.dataloader_prefetch_factor": ("train.dataloader_num_workers",),
    "train.dataloader_persistent_workers": ("train.dataloader_num_workers",),
    "train.gradient_checkpointing_kwargs": ("train.gradient_checkpointing", "method"),
    "train.loss_type": ("train.label_smoothing", "train.f_divergence_type", "train.use_weighting", "method"),
    "train.loss_weights": ("train.loss_type", "method"),
    "train.precompute_ref_log_probs": ("train.sync_ref_model",),
    "lora.target_modules": ("lora.target_parameters", "lora.exclude_modules", "lora.modules_to_save", "method"),
    "lora.layers_to_transform": ("lora.target_modules",),
    "lora.layers_pattern": ("lora.layers_to_transform",),
    "lora.init_lora_weights": ("lora.r", "lora.rank_pattern", "lora.loftq_config"),
}
"""The field paths of `contradictions` and the others that each is about."""

_MIN_LR = ("min_lr", "min_lr_rate")
_SCHEDULES: Mapping[str, tuple[str, ...]] = {
    "cosine_with_min_lr": _MIN_LR,
    "cosine_warmup_with_min_lr": _MIN_LR,
    "warmup_stable_decay": ("num_decay_steps",),
}
"""Schedules of transformers, and what `lr_scheduler_kwargs` has to say one of."""
_OF_LAYERS = ("every_n_layers", "offload")
"""Options of checkpointing that transformers' trainer takes for itself; the others go to torch's `checkpoint`."""
_OF_CHECKPOINT = ("use_reentrant", "preserve_rng_state", "determinism_check", "debug", "early_stop")
_OF_WORKERS = ("dataloader_prefetch_factor", "dataloader_persistent_workers")
_DIVERGENT = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft")
"""Losses of DPO that take another divergence than the reverse KL."""
_LOSSES = (*_DIVERGENT, "nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down")
"""All that TRL 1.16 has for DPO."""
_DIVERGENCES = ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence")
_PASSES: Mapping[Any, str] = {"eva": "EVA", "corda": "CorDA"}


def contradictions(
    method: str | None,
    train: Mapping[str, Any],
    lora: Mapping[str, Any] | None = None,
    get: Get | None = None,
    *,
    own: bool = True,
) -> list[tuple[str, Problem]]:
    """Field path and problem of values that do not go together. `get` knows TRL's defaults too; else `train` alone.

    `own`: libraries of the harness's own versions train; of others most of this is not known, nor what types they take.
    """
    if not own:
        return list(_precision(train))
    known = get or train.get
    found = [*_precision(train), *_epochs(known), *_packing(train), *_schedule(known), *_optimizer(known)]
    found += [*_workers(known), *_checkpointing(method, known)]
    if method == "dpo":
        found += [*_dpo(known), *_losses(known)]
    return [*found, *_adapter(method, lora)] if lora is not None else found


def _precision(train: Mapping[str, Any]) -> Found:
    # transformers.TrainingArguments.__post_init__: "At most one of fp16 and bf16 can be True"
    if train.get("bf16") is True and train.get("fp16") is True:
        what = "train.bf16 and train.fp16 are both true"
        why, hint = "a training has one precision", "set one of them to false"
        yield "train.fp16", Problem(what=what, why=why, hint=hint)


def _epochs(get: Get) -> Found:
    # transformers.Trainer trains no step of them, but for max_steps, which goes before
    epochs = get("num_train_epochs")
    if epochs is not None and epochs <= 0 and (get("max_steps") or -1) <= 0:
        what = f"train.num_train_epochs must be above 0, not {shown(epochs)}, without train.max_steps"
        yield "train.num_train_epochs", Problem(what=what, why="nothing would be trained", hint="set one of the two")


def _packing(train: Mapping[str, Any]) -> Found:
    uncut = train.get("max_length", 1024) is None
    if train.get("packing"):
        # trl.SFTTrainer: "When packing is enabled, `max_length` can't be `None`"
        if uncut:
            what, why = "train.packing takes no train.max_length: null", "rows are packed to that length"
            yield "train.packing", Problem(what=what, why=why, hint="set train.max_length")
    # trl.SFTTrainer: "When `padding_free=True` without packing, `max_length` is not enforced"; its default is 1024
    elif train.get("padding_free") and not uncut:
        what = "train.padding_free without packing takes no train.max_length"
        why = "TRL cuts no row there, and refuses a length it would not keep (its default is 1024)"
        hint = "set train.max_length: null beside it, or turn train.packing on"
        yield "train.padding_free", Problem(what=what, why=why, hint=hint)


def _schedule(get: Get) -> Found:
    path, kind, options = "train.lr_scheduler_type", get("lr_scheduler_type"), get("lr_scheduler_kwargs")
    # transformers.optimization: "One of min_lr or min_lr_rate should be set through the `lr_scheduler_kwargs`"
    needed = _SCHEDULES.get(str(kind), ())
    given = options if isinstance(options, Mapping) else {}
    if needed and not isinstance(options, str) and all(given.get(name) is None for name in needed):
        named = " or ".join(needed)
        what, why = f"train.lr_scheduler_type: {kind} needs {named}", f"transformers has no default for {named}"
        yield path, Problem(what=what, why=why, hint=f"set train.lr_scheduler_kwargs: {{{needed[-1]}: …}}")
    # transformers.TrainingArguments: "lr_scheduler_type … requires an eval strategy"
    if kind in ("reduce_lr_on_plateau", "greedy") and get("eval_strategy") in (None, "no"):
        what = f"train.lr_scheduler_type: {kind} needs an evaluation to go by"
        hint = "set train.eval_strategy and data.eval_fraction"
        yield path, Problem(what=what, why=f"{kind} moves the learning rate as its loss moves", hint=hint)


def _optimizer(get: Get) -> Found:
    # transformers.trainer_optimizer splits it at commas and equals signs
    text = get("optim_args")
    if isinstance(text, str) and text and any(part.count("=") != 1 for part in text.split(",")):
        what = f"train.optim_args is no list of name=value: {shown(text)}"
        hint = "write optim_args: momentum=0.9, nesterov=true"
        yield "train.optim_args", Problem(what=what, why="transformers splits it at commas and equals signs", hint=hint)


def _workers(get: Get) -> Found:
    # transformers.TrainingArguments, torch.utils.data.DataLoader: "option needs num_workers > 0"
    if get("dataloader_num_workers"):
        return
    for name in _OF_WORKERS:
        if get(name):
            what, why = f"train.{name} needs train.dataloader_num_workers", "without workers batches are loaded in turn"
            yield f"train.{name}", Problem(what=what, why=why, hint="set train.dataloader_num_workers: 1 or more")


def _checkpointing(method: str | None, get: Get) -> Found:
    path, options = "train.gradient_checkpointing_kwargs", get("gradient_checkpointing_kwargs")
    if not isinstance(options, Mapping):
        return
    # trl.SFTTrainer: "`gradient_checkpointing_kwargs={'selective': True}` requires `gradient_checkpointing=True`"
    if get("gradient_checkpointing") is False and method == "sft" and options.get("selective"):
        what, why = f"{path}: selective needs train.gradient_checkpointing", "TRL refuses it without"
        yield path, Problem(what=what, why=why, hint="set train.gradient_checkpointing: true, or leave selective out")
    if not get("gradient_checkpointing"):
        return
    own = ("selective",) if method == "sft" else ()
    # trl.SFTTrainer: "requires non-reentrant gradient checkpointing"
    if own and options.get("selective") and options.get("use_reentrant"):
        what, why = f"{path} is both selective and use_reentrant", "reentrant checkpointing keeps nothing"
        yield path, Problem(what=what, why=why, hint="leave use_reentrant out")
    # transformers takes the remainder of a layer's number by it
    every = options.get("every_n_layers", 1)
    if not isinstance(every, int) or every < 1:
        what, why = f"{path} has every_n_layers: {shown(every)}", "layers are counted by it"
        yield path, Problem(what=what, why=why, hint="set it to 1 or more")
    for name in options:
        # torch.utils.checkpoint: "Unexpected keyword arguments"
        if name not in (*_OF_LAYERS, *_OF_CHECKPOINT, *own):
            what = f"{path} has no option {name!r}" + (f" for {method}" if name == "selective" else "")
            hint = did_you_mean(name, (*_OF_LAYERS, *_OF_CHECKPOINT, *own))
            why = f"what transformers does not take itself goes to torch's checkpoint, which has no {name}"
            yield path, Problem(what=what, why=why, hint=hint)
        # trl.models.utils.disable_gradient_checkpointing hands it to torch with the others
        elif method == "dpo" and name in _OF_LAYERS:
            what = f"dpo does not take {name} of {path}"
            why = f"TRL switches checkpointing off for the reference and hands {name} to torch when it is on again"
            yield path, Problem(what=what, why=why, hint="leave it out for dpo, or exclude these cells")


def _loss_types(get: Get) -> list[Any]:
    told = get("loss_type")
    return ["sigmoid"] if told is None else [told] if isinstance(told, str) else list(told)


def _losses(get: Get) -> Found:
    """Names of DPO's losses, and how many weights they have."""
    losses, weights, path = _loss_types(get), get("loss_weights"), "train.loss_type"
    if not losses:
        yield (
            path,
            Problem(what="train.loss_type names no loss", why="there is nothing to train by", hint="e.g. sigmoid"),
        )
    # trl.DPOTrainer._compute_loss: "Unknown loss type"
    for loss in losses:
        if loss not in _LOSSES:
            what = f"train.loss_type does not know {shown(loss)}"
            yield path, Problem(what=what, hint=did_you_mean(str(loss), _LOSSES))
    divergence = get("f_divergence_type")
    if divergence is not None and divergence not in _DIVERGENCES:
        what = f"train.f_divergence_type does not know {shown(divergence)}"
        yield "train.f_divergence_type", Problem(what=what, hint=did_you_mean(str(divergence), _DIVERGENCES))
    # trl.DPOConfig: "`loss_weights` must have the same length as `loss_type`"
    if weights is not None and len(weights) != len(losses):
        what = f"train.loss_weights is {len(weights)} long, and train.loss_type {len(losses)}"
        yield "train.loss_weights", Problem(what=what, why="each loss has a weight", hint="write as many as losses")


def _dpo(get: Get) -> Found:
    losses, path = _loss_types(get), "train.loss_type"
    # trl.DPOTrainer refuses each of these when it is built, but for `robust`: there it divides by 0
    if "exo_pair" in losses and not get("label_smoothing"):
        what, why = "train.loss_type: exo_pair needs train.label_smoothing", "the loss takes its logarithm"
        yield path, Problem(what=what, why=why, hint="set train.label_smoothing: 1.0e-3, as its paper does")
    if "robust" in losses and get("label_smoothing") == 0.5:
        what, why = "train.loss_type: robust takes no train.label_smoothing: 0.5", "it divides by 1 less twice that"
        yield path, Problem(what=what, why=why, hint="set it from 0 to below 0.5")
    divergence = get("f_divergence_type")
    if divergence not in (None, "reverse_kl") and (other := [loss for loss in losses if loss not in _DIVERGENT]):
        what = f"train.loss_type: {other[0]} takes no train.f_divergence_type: {divergence}"
        yield path, Problem(what=what, why="TRL has it for other losses", hint=f"those: {', '.join(_DIVERGENT)}")
    if get("use_weighting") and (sorting := [loss for loss in losses if loss in ("aot", "aot_unpaired")]):
        what, why = (
            f"train.loss_type: {sorting[0]} takes no train.use_weighting",
            "it sorts rows, away from their weights",
        )
        yield path, Problem(what=what, why=why, hint="leave one of the two out")
    if get("sync_ref_model") and get("precompute_ref_log_probs"):
        what = "train.sync_ref_model and train.precompute_ref_log_probs exclude each other"
        why = "what is computed before training comes of a reference that does not move"
        yield "train.precompute_ref_log_probs", Problem(what=what, why=why, hint="keep one of the two")


def _adapter(method: str | None, lora: Mapping[str, Any]) -> Found:
    yield from _patterns(lora)
    targets, layers = lora.get("target_modules"), lora.get("layers_to_transform")
    # peft.tuners.lora.config.LoraConfig.__post_init__
    if layers is not None and isinstance(targets, str):
        what = "lora.layers_to_transform takes no text in lora.target_modules"
        hint = "list the modules: target_modules: [q_proj, v_proj]"
        yield "lora.layers_to_transform", Problem(what=what, why="PEFT chooses layers of a list alone", hint=hint)
    if lora.get("layers_pattern") and layers is None:
        what, why = "lora.layers_pattern needs lora.layers_to_transform", "it says where their numbers stand"
        yield "lora.layers_pattern", Problem(what=what, why=why, hint="set both, or leave it out")
    if targets == [] and not lora.get("target_parameters"):
        what = "lora.target_modules names no module"
        yield (
            "lora.target_modules",
            Problem(what=what, why="an adapter needs one", hint="e.g. all-linear, or leave it out"),
        )
    # trl.SFTTrainer, trl.DPOTrainer: "Applying a PEFT adapter to `lm_head` is not supported"
    if method in ("sft", "dpo") and isinstance(targets, list) and "lm_head" in targets and not _kept_out(lora):
        what = f"{method} takes no adapter on lm_head (lora.target_modules)"
        why = "TRL computes the loss from that layer's weights directly, and the adapter would never be trained"
        hint = "leave it out of the list; lora.modules_to_save: [lm_head] trains the layer whole"
        yield "lora.target_modules", Problem(what=what, why=why, hint=hint)
    yield from _beginning(lora)


def _kept_out(lora: Mapping[str, Any]) -> bool:
    """Whether another field may take the output layer out of the adapter again."""
    return bool(lora.get("exclude_modules")) or "lm_head" in (lora.get("modules_to_save") or ())


def _patterns(lora: Mapping[str, Any]) -> Found:
    """A text is a regular expression that PEFT matches with names of modules."""
    for name in ("target_modules", "exclude_modules"):
        text = lora.get(name)
        if isinstance(text, str):
            try:
                re.compile(text)
            except re.error as error:
                what, hint = f"lora.{name} is no regular expression", "list names instead: [q_proj, v_proj]"
                yield f"lora.{name}", Problem(what=what, why=str(error), hint=hint)


def _beginning(lora: Mapping[str, Any]) -> Found:
    """How the adapter's weights begin."""
    path, kind, rank = "lora.init_lora_weights", lora.get("init_lora_weights"), lora.get("r", 8)
    if kind in _PASSES:
        what = f"lora.init_lora_weights: {kind} would not begin as {_PASSES[kind]} does"
        why = f"{_PASSES[kind]} takes a pass over the data before training, which TRL's trainers do not make"
        yield path, Problem(what=what, why=why, hint="choose another, such as pissa or olora")
    elif kind == "loftq" and not lora.get("loftq_config"):
        what, hint = "lora.init_lora_weights: loftq needs lora.loftq_config", "set lora.loftq_config: {loftq_bits: 4}"
        yield path, Problem(what=what, why="PEFT refuses it without", hint=hint)
    elif kind == "orthogonal" and isinstance(rank, int) and rank % 2 and not lora.get("rank_pattern"):
        what, why = f"lora.init_lora_weights: orthogonal needs an even rank, not {rank}", "PEFT halves it"
        yield path, Problem(what=what, why=why, hint="set an even lora.r")

"""What was really active: the configuration TRL resolved, and what the built trainer shows of itself.

Once when the trainer is built, and again after the first step, when gradient checkpointing, compilation, patched
kernels and the optimizer's state are there to be looked at; the second record completes the first.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.measure.adapting import adapters
from harness.measure.attending import Kernels
from harness.measure.optimizing import optimizer_facts
from harness.measure.probe import Probe
from harness.measure.recorder import Recorder
from harness.records.events import Event
from harness.records.fingerprint import of_value
from harness.records.secrets import names_a_secret, plain

# Where the run happened to lie, and what services it would tell, decide no result; tokens are nobody's business.
_LEFT_OUT = ("output_dir", "logging_dir", "run_name")

_WRAPPERS = ("accelerate", "torch", "functools")


class Active(Probe):
    """Records what is active once the trainer is built, and what only shows in training after the first step."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._trainer: Any = None
        self._kernels = Kernels()

    def attached(self, trainer: Any, method: Any) -> None:
        self._trainer = trainer
        self._record(active(trainer, method))

    def batch_begin(self, batch: Mapping[str, Any]) -> None:
        if self._trainer is not None and not compiles(self._trainer):
            self._kernels.watch()

    def step_end(self, event: Event) -> None:
        if self._trainer is not None:
            trainer, self._trainer = self._trainer, None
            self._kernels.stop()
            self._record(in_training(trainer, self._kernels.found))

    def phase_end(self, name: str) -> None:
        """A first step that fails, out of memory perhaps, ends its phase too."""
        self._kernels.stop()

    def _record(self, found: tuple[dict[str, Any], dict[str, str]]) -> None:
        values, unread = found
        self.recorder.add("active", values=values)
        if unread:
            said = ", ".join(f"{name} ({why})" for name, why in unread.items())
            self.recorder.note("info", f"of what was active this could not be read: {said}")


def active(trainer: Any, method: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """JSON-able facts of a built trainer by name, each read from the trainer or the model, never from the suite.

    And what could not be read, by name, with the reason; a fact that the trainer does not have is left out quietly.
    """
    return _gather(
        {
            "trainer": lambda: type(trainer).__name__,
            "scheduler": lambda: _text(_arg(trainer, "lr_scheduler_type")),
            "attention": lambda: getattr(trainer.model.config, "_attn_implementation", None),
            "attention_backends": lambda: attention_backends(trainer),
            "dtype": lambda: str(next(trainer.model.parameters()).dtype).removeprefix("torch."),
            "dtypes": lambda: dtypes(trainer.model.parameters()),
            "trained_dtypes": lambda: dtypes(weight for weight in trainer.model.parameters() if weight.requires_grad),
            "mixed_precision": lambda: mixed_precision(trainer),
            "quantization": lambda: _text(getattr(trainer.model, "quantization_method", None)),
            "device": lambda: str(trainer.args.device),
            "world_size": lambda: int(_arg(trainer, "world_size") or 1),
            "batch": lambda: batch(trainer),
            "data_loader": lambda: data_loader(trainer),
            "gradient_checkpointing": lambda: checkpointing(trainer) or bool(_arg(trainer, "gradient_checkpointing")),
            "activation_offloading": lambda: offloading(trainer),
            "packing": lambda: bool(_arg(trainer, "packing")),
            "packing_strategy": lambda: _text(_arg(trainer, "packing_strategy")) if _arg(trainer, "packing") else None,
            "padding_free": lambda: padding_free(trainer),
            "completion_only_loss": lambda: getattr(trainer, "completion_only_loss", None),
            "assistant_only_loss": lambda: _arg(trainer, "assistant_only_loss"),
            "loss_type": lambda: plain(_arg(trainer, "loss_type")) or method.name,
            "loss_weights": lambda: plain(getattr(trainer, "loss_weights", None)),
            "reference": lambda: reference_kind(trainer, method),
            "tokenizer": lambda: tokenizer(trainer),
            "train_rows": lambda: _rows(trainer.train_dataset),
            "eval_rows": lambda: _rows(trainer.eval_dataset),
            "adapter": lambda: adapters(trainer.model),
            "trainable_parameters": lambda: parameter_counts(trainer.model)["trainable_parameters"],
            "total_parameters": lambda: parameter_counts(trainer.model)["total_parameters"],
            "numerics": lambda: numerics(str(trainer.args.device)),
            "config": lambda: sanitised(trainer.args.to_dict()),
        }
    )


def in_training(trainer: Any, kernels: list[str] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """The facts that show only once a step was made; as `active`. `kernels`: of attention, as seen in that step."""
    return _gather(
        {
            "attention_kernels": lambda: kernels,
            "gradient_checkpointing": lambda: checkpointing(trainer),
            "checkpointing": lambda: checkpointing_details(trainer.model),
            "activation_offloading": lambda: offloading(trainer),
            "compiled": lambda: compiled(trainer),
            "liger": lambda: any(_is_liger(origin) for origin in (patched(trainer.model) or {}).values()),
            "patched": lambda: patched(trainer.model),
            "max_steps": lambda: getattr(trainer.state, "max_steps", None),
            **optimizer_facts(trainer),
        }
    )


def _gather(readers: Mapping[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the readers find, without what is not there (None), and why others failed: a fact never ends a training."""
    values: dict[str, Any] = {}
    unread: dict[str, str] = {}
    for name, reader in readers.items():
        try:
            value = reader()
        except Exception as error:  # a trainer of another version, or a stand-in, is made otherwise
            unread[name] = type(error).__name__
            continue
        if value is not None:
            values[name] = value
    return values, unread


def parameter_counts(model: Any) -> dict[str, int]:
    """Trainable and total parameters; tied weights count once."""
    trainable = total = 0
    for weight in model.parameters():
        total += elements(weight)
        trainable += elements(weight) if weight.requires_grad else 0
    return {"trainable_parameters": trainable, "total_parameters": total}


def elements(weight: Any) -> int:
    """How many numbers a weight stands for: those of bitsandbytes' 4 bits lie two and more in one that it stores."""
    shape = getattr(getattr(weight, "quant_state", None), "shape", None)
    return int(weight.numel() if shape is None else math.prod(shape))


def dtypes(weights: Iterable[Any]) -> list[str]:
    """The dtypes of these weights, the one with most elements first."""
    found: dict[str, int] = {}
    for weight in weights:
        name = str(weight.dtype).removeprefix("torch.")
        found[name] = found.get(name, 0) + elements(weight)
    return sorted(found, key=lambda name: (-found[name], name))


def attention_backends(trainer: Any) -> list[str] | None:
    """The kernels that torch's scaled_dot_product_attention may choose from here; None with other attention."""
    import torch

    if getattr(trainer.model.config, "_attn_implementation", None) != "sdpa":
        return None
    switches = torch.backends.cuda
    known = {"flash": switches.flash_sdp_enabled, "math": switches.math_sdp_enabled}  # those there are on a CPU
    if str(trainer.args.device).startswith("cuda"):
        known |= {"cudnn": switches.cudnn_sdp_enabled, "memory_efficient": switches.mem_efficient_sdp_enabled}
    return sorted(name for name, enabled in known.items() if enabled())


def batch(trainer: Any) -> dict[str, int] | None:
    """Rows of a forward on one device, micro-batches of a step, and rows of a step over all devices."""
    per_device = _arg(trainer, "train_batch_size") or _arg(trainer, "per_device_train_batch_size")
    if per_device is None:
        return None
    accumulation = int(_arg(trainer, "gradient_accumulation_steps") or 1)
    processes = int(_arg(trainer, "world_size") or 1)
    return {
        "rows": int(per_device),
        "accumulation": accumulation,
        "rows_per_step": int(per_device) * accumulation * processes,
    }


def data_loader(trainer: Any) -> dict[str, Any] | None:
    """Workers of the data loader and how they hand batches over."""
    names = ("num_workers", "pin_memory", "persistent_workers", "prefetch_factor")
    found = {name: _arg(trainer, f"dataloader_{name}") for name in names}
    return {name: value for name, value in found.items() if value is not None} or None


def tokenizer(trainer: Any) -> dict[str, Any] | None:
    """What the trainer writes rows with: its tokens for the end and for padding, the side it pads, its template's hash.

    The resolved configuration does not tell: Hugging Face writes <EOS_TOKEN> there in place of the token.
    """
    found = getattr(trainer, "processing_class", None)
    if found is None:
        return None
    found = getattr(found, "tokenizer", found)  # a processor holds one
    template = getattr(found, "chat_template", None)
    return {
        "kind": type(found).__name__,
        "eos_token": _text(getattr(found, "eos_token", None)),
        "pad_token": _text(getattr(found, "pad_token", None)),
        "padding_side": getattr(found, "padding_side", None),
        "chat_template": of_value(template)[:10] if template else None,
    }


def checkpointing(trainer: Any) -> bool:
    """Whether the model recomputes activations."""
    return bool(getattr(trainer.model, "is_gradient_checkpointing", False))


def checkpointing_details(model: Any) -> dict[str, Any] | None:
    """How many layers recompute, and how; None where none does.

    `use_reentrant` as torch takes it. `selective`: results of attention are kept. `offload`: what is saved for the
    recomputation lies on the host.
    """
    on = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False) is True]
    if not on:
        return None
    # The stack that holds the layers carries the flag too, and recomputes nothing itself.
    layers = [one for one in on if any(base.__name__ == "GradientCheckpointingLayer" for base in type(one).__mro__)]
    functions = (getattr(module, "_gradient_checkpointing_func", None) for module in on)
    function = next((function for function in functions if function is not None), None)
    options = getattr(function, "keywords", {})
    told = {name: plain(value) for name, value in options.items() if not callable(value)}
    if told.get("use_reentrant") is None:
        told["use_reentrant"] = True  # torch's own, with a warning
    if "context_fn" in options:
        told["selective"] = True
    if _is_offloading(function):
        told["offload"] = True
    return {"layers": len(layers), **told}


def _is_offloading(function: Any) -> bool:
    """Whether it is transformers' function around torch's checkpoint, which no option of it shows."""
    name = str(getattr(getattr(function, "func", None), "__qualname__", ""))
    return name.endswith("gradient_checkpointing_enable.<locals>.checkpoint_func")


def mixed_precision(trainer: Any) -> str | None:
    """What accelerate computes in beside the weights' dtype; `no` too where it takes the word and applies no autocast.

    It does so for fp16 on a CPU. DeepSpeed and its like have a mixed precision of their own.
    """
    accelerator = getattr(trainer, "accelerator", None)
    alone = _text(getattr(accelerator, "distributed_type", None)) in ("NO", "MULTI_CPU", "MULTI_GPU")
    if alone and getattr(accelerator, "native_amp", None) is False:
        return "no"
    return _text(getattr(accelerator, "mixed_precision", None))


def offloading(trainer: Any) -> bool:
    """Whether activations are moved to the host: TRL's context is none that does nothing."""
    context = getattr(trainer, "maybe_activation_offload_context", None)
    return context is not None and type(context).__name__ != "nullcontext"


def padding_free(trainer: Any) -> bool:
    """Whether batches are flattened into one row: what the collator does, else what the trainer says of itself."""
    collator = getattr(trainer, "data_collator", None)
    return bool(getattr(collator, "padding_free", getattr(trainer, "padding_free", False)))


def compiled(trainer: Any) -> bool:
    """Whether torch.compile stands in front of the model or of any module of it, and was not switched off."""
    if _compiler_off():
        return False
    outer = getattr(trainer, "model_wrapped", trainer.model)
    if type(outer).__name__ == "OptimizedModule":
        return True
    return any(getattr(module, "_compiled_call_impl", None) is not None for module in trainer.model.modules())


def _compiler_off() -> bool:
    """torch then takes every call of what it compiled as it came, without a word: TORCH_COMPILE_DISABLE=1, say."""
    dynamo = sys.modules.get("torch._dynamo")
    return os.environ.get("TORCHDYNAMO_DISABLE") == "1" or bool(dynamo is not None and dynamo.config.disable)


def compiles(trainer: Any) -> bool:
    """Whether accelerate will compile the model."""
    plugin = getattr(getattr(getattr(trainer, "accelerator", None), "state", None), "dynamo_plugin", None)
    return plugin is not None and plugin.backend.value != "NO"


def patched(model: Any) -> dict[str, str] | None:
    """Classes of modules whose forward was replaced, and the Python module that replaced it; None where none was.

    This is how Liger, hub kernels and TRL's own language-model head show. Autocast wraps too, and is told apart.
    """
    found = {type(module).__name__: origin for module in model.modules() if (origin := _replaced_by(module))}
    return dict(sorted(found.items())) or None


def _replaced_by(module: Any) -> str | None:
    """Where this one module's forward was written, if not in its class: wrappers keep the name of what they wrap."""
    own = type(module).forward
    forward = vars(module).get("forward", own)
    while forward is not None:
        function = getattr(forward, "__func__", forward)
        if function is own:
            break
        origin = str(getattr(function, "__globals__", {}).get("__name__") or type(function).__module__)
        if origin.partition(".")[0] not in _WRAPPERS:
            return origin
        forward = getattr(function, "__wrapped__", None)
    return type(module).__module__ if _is_liger(type(module).__module__) else None


def _is_liger(origin: str) -> bool:
    return origin.partition(".")[0] == "liger_kernel"


def numerics(device: str) -> dict[str, Any]:
    """torch's switches for determinism and precision that are set in this process; CUDA's where the device is one."""
    import torch

    backends = torch.backends
    readers: dict[str, Callable[[], Any]] = {
        "deterministic": torch.are_deterministic_algorithms_enabled,
        "matmul_precision": torch.get_float32_matmul_precision,
    }
    if device.startswith("cuda"):
        readers |= {
            "tf32_matmul": lambda: backends.cuda.matmul.fp32_precision == "tf32",
            "tf32_convolution": lambda: backends.cudnn.conv.fp32_precision == "tf32",
            "bf16_reduced_precision": lambda: backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
            "cudnn_benchmark": lambda: backends.cudnn.benchmark,
            "cudnn_deterministic": lambda: backends.cudnn.deterministic,
        }
    # torch refuses to answer by an older name once a newer one was set; that switch is then told by the newer one.
    values, _ = _gather(readers)
    if "matmul_precision" not in values:
        values["matmul_precision"] = str(backends.fp32_precision)
    return {name: plain(value) for name, value in values.items()}


def reference_kind(trainer: Any, method: Any) -> str | None:
    """`copy`: a second model; `adapter_off`: the base without its adapter; `precomputed`; None: the method has none."""
    if not method.reference:
        return None
    if getattr(trainer.args, "precompute_ref_log_probs", False):
        return "precomputed"
    return "copy" if getattr(trainer, "ref_model", None) is not None else "adapter_off"


def sanitised(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without places and secrets, its values JSON-able."""
    kept = {name: value for name, value in config.items() if name not in _LEFT_OUT}
    return {name: plain(value) for name, value in kept.items() if not _is_secret(name, value)}


def _is_secret(name: str, value: Any) -> bool:
    return names_a_secret(name) and isinstance(value, str)


def _arg(trainer: Any, name: str) -> Any:
    return getattr(trainer.args, name, None)


def _text(value: Any) -> str | None:
    return None if value is None else str(getattr(value, "value", value))


def _rows(dataset: Any) -> int | None:
    return len(dataset) if dataset is not None and hasattr(dataset, "__len__") else None

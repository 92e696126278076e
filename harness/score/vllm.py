"""The vllm backend: one engine for all checkpoints of a job. Imported by the scoring child alone, where vLLM is.

The engine starts once, on the base of the first checkpoint. Adapters are LoRA requests beside their base, named by the
hash of their weights; other weights of the architecture are given to the running engine. It runs in this process: with
a process of its own vLLM's imports would be paid for twice, and a killed child could leave it behind.
"""

from __future__ import annotations

import gc
import importlib.metadata
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

# Before vLLM is imported: it reads them then.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; its default takes half of the machine's memory

_version = importlib.metadata.version


def _vllm_version(distribution_name: str) -> str:
    """lm-eval asks for the version of `vllm`; the CPU build goes by another name, and must say `cpu` to be taken so."""
    try:
        return _version(distribution_name)
    except importlib.metadata.PackageNotFoundError:
        if distribution_name != "vllm":
            raise
        return f"{_version('vllm-cpu')}+cpu"


importlib.metadata.version = _vllm_version

from harness import models  # noqa: E402
from harness.errors import ModelError  # noqa: E402
from harness.records.fingerprint import of_value  # noqa: E402
from harness.records.run_folder import read_json  # noqa: E402
from harness.score import canary, vllm_cpu  # noqa: E402
from harness.score.encoding import Watched  # noqa: E402
from harness.score.jobs import Job, JobCheckpoint  # noqa: E402
from harness.score.opened import Opened, changes_nothing  # noqa: E402
from harness.score.preflight import LINEAR, allowed_rank  # noqa: E402

_ASIDE = {"enable_lora", "max_lora_rank", "max_loras", "lora_target_modules", "model", "pretrained", "dtype"}
"""Engine settings that follow from the checkpoints."""


class VllmOpener:
    """Holds the engine. `job.engine` are settings of the user's for vLLM's `LLM`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._lm: Any = None
        self._began: str | None = None  # the weights the engine began with, as a folder
        self._there: str | None = None  # the weights that are in it
        self._ids: dict[str, int] = {}  # an id per adapter content: vLLM answers a used one with the earlier adapter
        self._made: dict[str, str] = {}  # bases that had to be written first, by what they are
        self._spoilt = False  # an answer since the last wiping was no number
        self._work = Path(tempfile.mkdtemp(prefix="harness-vllm-", dir=job.scratch))

    @contextmanager
    def open(self, checkpoint: JobCheckpoint) -> Iterator[Opened]:
        """The checkpoint's weights in the engine, which starts now if it has not."""
        if checkpoint.way == "adapter":
            lm = self._give(self._base_folder(checkpoint))
            lm.lora_request = self._request(checkpoint)
            try:
                yield Opened(lm=lm, served="adapter", null=changes_nothing(Path(checkpoint.checkpoint)))
            finally:
                lm.lora_request = None
        elif checkpoint.way in ("merged", "alone"):
            with self._merged(checkpoint) as opened:
                yield opened
        else:
            fresh = self._lm is None
            lm = self._give(str(Path(checkpoint.checkpoint).resolve()))
            yield Opened(lm=lm, served="base" if fresh or self._there == self._began else "reloaded")

    def base(self, checkpoint: JobCheckpoint) -> AbstractContextManager[Any] | None:
        """The engine on an adapter's base, without the adapter; None where that is of another build."""
        if checkpoint.base is None or checkpoint.way == "alone":
            return None
        return self._bare(self._base_folder(checkpoint))

    def again(self, checkpoint: JobCheckpoint) -> AbstractContextManager[Opened] | None:
        """An adapter merged into its base."""
        return self._merged(checkpoint) if checkpoint.way == "adapter" else None

    def first(self) -> AbstractContextManager[Any] | None:
        """The engine on the weights that it began with."""
        return None if self._began is None else self._bare(self._began)

    def lives(self) -> bool:
        """Whether the engine still answers.

        What it was doing when it failed stays in it, unfinished: whatever it is asked next, it then tries that again
        and never comes to an end (vLLM 0.32 in its caller's process). What it refuses beforehand leaves nothing.
        """
        if self._lm is None:
            return True
        try:
            if self._lm.model.llm_engine.has_unfinished_requests():
                return False
            request, self._lm.lora_request = self._lm.lora_request, None
            try:
                canary.sing(self._lm)
            finally:
                self._lm.lora_request = request
        except Exception:
            return False
        return True

    def close(self) -> None:
        """Deletes what was written for the engine."""
        shutil.rmtree(self._work, ignore_errors=True)

    @contextmanager
    def _bare(self, folder: str) -> Iterator[Any]:
        lm = self._give(folder)
        request, lm.lora_request = lm.lora_request, None
        try:
            yield lm
        finally:
            lm.lora_request = request

    @contextmanager
    def _merged(self, checkpoint: JobCheckpoint) -> Iterator[Opened]:
        folder = Path(tempfile.mkdtemp(dir=self._work))
        try:
            null = changes_nothing(Path(checkpoint.checkpoint))
            self._write_merged(Path(checkpoint.checkpoint), folder)
            lm = self._give(str(folder))
            lm.lora_request = None
            own = ", by an engine of its own" if checkpoint.way == "alone" else ""
            notes = () if checkpoint.why is None else (f"merged into its base before scoring{own}: {checkpoint.why}",)
            yield Opened(lm=lm, served="merged", notes=notes, null=null)
        finally:
            if self._began != str(folder):  # else it is asked once more at the end
                shutil.rmtree(folder, ignore_errors=True)

    def _write_merged(self, checkpoint: Path, folder: Path) -> None:
        model, tokenizer = models.load_checkpoint(checkpoint, device="cpu")
        models.save(model.eval(), tokenizer, folder, None)
        del model
        gc.collect()

    def _base_folder(self, checkpoint: JobCheckpoint) -> str:
        """An adapter's base as a folder with whole weights."""
        base = dict(checkpoint.base or {})
        if "path" in base and _as_it_lies(Path(base["path"]), base.get("dtype")):
            return str(Path(base["path"]).resolve())
        key = of_value(base)
        if key not in self._made:
            folder = Path(tempfile.mkdtemp(dir=self._work))
            if "path" in base and (Path(base["path"]) / "adapter_config.json").is_file():
                self._write_merged(Path(base["path"]), folder)
            else:
                model, tokenizer = models.load(base, root=Path(checkpoint.checkpoint), device="cpu")
                own = Path(checkpoint.checkpoint)
                if (own / "tokenizer_config.json").is_file():  # it may have been given tokens, or another template
                    tokenizer = models.load_tokenizer({"path": str(own)}, root=Path())
                models.save(model.eval(), tokenizer, folder, None)
                del model
                gc.collect()
            self._made[key] = str(folder)
        return self._made[key]

    def _request(self, checkpoint: JobCheckpoint) -> Any:
        from vllm.lora.request import LoRARequest

        content = f"{checkpoint.weights_hash or checkpoint.key}"
        number = self._ids.setdefault(content, len(self._ids) + 1)
        return LoRARequest(content, number, str(Path(checkpoint.checkpoint).resolve()))

    def _give(self, folder: str) -> Any:
        """The engine with the weights of this folder in it, and nothing of others."""
        if self._lm is None:
            self._lm = self._start(folder)
            self._began = self._there = folder
            return self._lm
        if self._spoilt:
            self._lm.model.collective_rpc(_wipe)
            self._lm.model.reset_prefix_cache()  # else it would take what was wiped for what it had computed
            self._spoilt = False
        if self._there != folder:
            from vllm.platforms import current_platform

            _check_fit(folder, str(self._began))
            self._there = None  # neither the old nor the new, until all of them are there
            self._lm.model.collective_rpc("reload_weights", kwargs={"weights_path": folder})
            if current_platform.is_cpu():
                self._lm.model.apply_model(vllm_cpu.pack_again)
            # Otherwise it would answer from what it computed with other weights.
            self._lm.model.reset_prefix_cache()
            self._there = folder
        return self._lm

    def _start(self, folder: str) -> Any:
        from lm_eval.models.vllm_causallms import VLLM
        from vllm.platforms import current_platform

        if current_platform.is_cpu():
            vllm_cpu.one_thread_where_it_is_small(Path(folder))
            if any(one.way == "adapter" for one in self._job.checkpoints):
                vllm_cpu.apply_one_adapter()

        class Model(Watched, VLLM):
            """lm-eval's own vLLM model, watched for prompts that do not arrive whole."""

        lm = Model(pretrained=folder, **self.settings(read_json(Path(folder) / "config.json") or {}))
        lm.model.generate = self._heard(lm.model.generate)
        return lm

    def _heard(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        """The engine's `generate`, which notices answers that are no numbers.

        NaN anywhere in a request is in everything after it, so the probability of the last token tells of all.
        """

        def generate_and_hear(prompts: Any, sampling_params: Any, **others: Any) -> Any:
            for params in sampling_params:
                params.logprobs = params.logprobs or 0  # the probability of the token itself
            outputs = generate(prompts, sampling_params=sampling_params, **others)
            self._spoilt = self._spoilt or any(map(_is_odd, outputs))
            return outputs

        return generate_and_hear

    def settings(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What lm-eval's vLLM model is told, for a base with this config.json."""
        adapters = [one for one in self._job.checkpoints if one.way == "adapter"]
        chosen: dict[str, Any] = {
            # vLLM's `auto` would halve the precision of float32 weights.
            "dtype": str(config.get("dtype") or config.get("torch_dtype") or "auto"),
            "enforce_eager": True,  # graphs cost more to capture than scoring takes
            "seed": 1234,
            **{key: value for key, value in self._job.engine.items() if key not in _ASIDE},
        }
        if adapters:
            modules = sorted({name for one in adapters for name in one.modules} & LINEAR)
            chosen |= {
                "enable_lora": True,
                "max_loras": 1,
                "max_lora_rank": allowed_rank(max(one.rank for one in adapters)),
                "lora_target_modules": modules,
            }
        return chosen


def _as_it_lies(folder: Path, dtype: str | None) -> bool:
    """Whether an engine can begin with this folder: whole weights, in the dtype that the adapter was trained on."""
    config = read_json(folder / "config.json")
    if config is None or (folder / "adapter_config.json").is_file():
        return False
    return dtype in (None, "auto", config.get("dtype") or config.get("torch_dtype"))


def _is_odd(output: Any) -> bool:
    """Whether a request's last token has a probability that is no number."""
    last = [one.logprobs[-1] for one in output.outputs if one.logprobs]
    return any(math.isnan(token.logprob) for tokens in last for token in tokens.values())


def _wipe(worker: Any) -> None:
    """Clears the engine's cache of keys and values.

    What a request has left in a block is multiplied by zero when the block is used again, and zero times NaN is NaN:
    after weights that gave NaN, several of the next checkpoints did on some documents (vLLM 0.32, CPU build).
    """
    caches = list(worker.model_runner.kv_caches)
    while caches:
        cache = caches.pop()
        if isinstance(cache, list | tuple):
            caches += cache
        else:
            cache.zero_()


def _check_fit(folder: str, began: str) -> None:
    """Weights of another build are taken by an engine without a word, as far as they fit.

    Raises:
        ModelError: these are of another build than those the engine began with.
    """
    here, there = (models.meaning(read_json(Path(one) / "config.json") or {}) for one in (folder, began))
    other = [name for name in _BUILD if here.get(name) != there.get(name)]
    if other:
        said = "; ".join(f"its {name} is {here.get(name)}, the engine's {there.get(name)}" for name in other)
        raise ModelError.of(
            f"the weights in {folder} do not fit the engine that runs",
            why=said,
            hint="score it by itself: harness score FOLDER --tasks …",
        )


_BUILD = ("architectures", "vocab_size", "tie_word_embeddings", "hidden_size", "num_hidden_layers")

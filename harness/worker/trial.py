"""Trains one trial: from spec.json to a checkpoint, an event log and an outcome. Runs in a worker process."""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import FolderError
from harness.measure import Diverged, Recorder, attach, environment, health, oom, start_probes, summarise
from harness.measure.divergence import Tolerance, tolerate
from harness.measure.facts import disturbed, facts
from harness.measure.probe import Probe
from harness.measure.redact import redact_file, redacted, redactor
from harness.measure.sampling.beside import DeviceSampling
from harness.methods import METHODS, Method
from harness.records.events import last_phase, read_events
from harness.records.outcome import Outcome, OutcomeName
from harness.records.run_folder import Attempt, RunFolder
from harness.records.spec import Spec
from harness.worker.attempt import COLD_START
from harness.worker.attend import describe, is_certain
from harness.worker.config import resolve
from harness.worker.place import refuse_elsewhere, within
from harness.worker.ranks import own_device, rank_here
from harness.worker.rows import beyond_embedding, check_rows, check_steps
from harness.worker.saving import Saving
from harness.worker.telling import check_head, check_processes, in_our_words, warnings_noted
from harness.worker.unheeded import unheeded

# Once, where this module is imported: the nursery does so before it forks, and every worker finds the answer ready.
environment.warm()


def run_trial(folder: RunFolder, attempt: Attempt) -> Outcome:
    """Trains the trial of `folder` as its `attempt`, and says how it ended; outcome.json is the caller's to write.

    What goes wrong in the training is an outcome (`oom`, `diverged`, `crashed`), its traceback in worker.log. A
    `Stopped` or KeyboardInterrupt passes through, with the event log closed behind it.

    Raises:
        FolderError: the folder holds no readable spec.json.
    """
    value = folder.spec()
    if value is None:
        raise FolderError.of(f"{folder.path} holds no trial", why="there is no readable spec.json in it")
    started, clock = datetime.now(UTC), time.monotonic()
    redact = redactor()
    scratch = attempt.path / (f"scratch.rank{attempt.rank}" if attempt.rank else "scratch")
    name: OutcomeName = "ok"
    cause: str | None = None
    certain = False
    try:
        spec = Spec.from_json(value)
        with (
            Recorder(attempt.events, redact=redact) as recorder,
            DeviceSampling(recorder, attempt.device_log, spec.device_hz) as sampling,
        ):
            trial = _Trial(folder, spec, recorder, scratch, sampling, main=attempt.rank == 0)
            try:
                trial.run()
            except Exception as error:
                name, cause = classify(error, recorder.region or recorder.phase_now)
                certain = name == "crashed" and is_certain(error)
                if name == "oom":
                    recorder.add("oom", phase=recorder.region or recorder.phase_now, values=oom.details(error))
                _log(attempt, redact(traceback.format_exc()))
            if attempt.rank == 0:
                trial.examine(attempt)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if attempt.rank == 0:
            folder.unpublished().clear()
            redact_file(attempt.log, redact)
    events = attempt.all_events()
    return Outcome(
        outcome=name,
        attempt=attempt.number,
        started_at=started.isoformat(timespec="milliseconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        duration_s=time.monotonic() - clock,
        phase=last_phase(events),
        cause=redact(cause) if cause else None,
        certain=certain,
        summary=summarise(events),
        facts=facts(events),
        disturbed=disturbed(events),
        weights_hash=trial.left.weights_hash,
        step_hashes=trial.left.step_hashes,
        data_fingerprint=trial.left.data_fingerprint,
        environment=trial.left.environment,
    )


def classify(error: Exception, phase: str | None = None) -> tuple[OutcomeName, str]:
    """The outcome that an error amounts to, and its cause in one line; `phase` is where it struck."""
    if isinstance(error, Diverged):
        return "diverged", str(error)
    told = oom.details(error)
    if told is not None:
        return "oom", oom.in_words(told, phase)
    return "crashed", describe(error)


@dataclass(slots=True)
class _Left:
    """What an attempt leaves behind so far."""

    weights_hash: str | None = None
    step_hashes: Mapping[str, str] = field(default_factory=dict)
    data_fingerprint: str | None = None
    environment: str | None = None


class _Trial:
    """One attempt, phase by phase; only the `main` process writes what there is one of."""

    def __init__(
        self, folder: RunFolder, spec: Spec, recorder: Recorder, scratch: Path, sampling: Probe, *, main: bool = True
    ) -> None:
        self.folder = folder
        self.spec = spec
        self.recorder = recorder
        self.scratch = scratch
        self.left = _Left()
        self._main = main
        self._sampling = sampling
        self._root = Path(spec.suite_file).parent
        self._start = folder.path / spec.start if spec.start else None

    def run(self) -> None:
        refuse_elsewhere(self.spec)
        if rank_here().size > 1:  # each began at a moment of its own, and their events are told together
            self.recorder.add("process", origin=time.monotonic() - self.recorder.now())
        probes = [*start_probes(self.recorder), self._sampling]
        self._divergence = tolerate(probes, Tolerance.of(self.spec))
        if cold := os.environ.get(COLD_START):
            self.recorder.note("warning", f"started in a fresh process, imports and all: {cold}")
        if "transformers" not in sys.modules:  # else a nursery has loaded them, and their pages are shared with it
            self.recorder.add("process", own_libraries=True)
        try:
            with self.recorder.phase("import"):
                self._import()
            with self.recorder.phase("model"):
                model, tokenizer = self._model()
        finally:
            self._environment()
        base = {"model": self.spec.model, "root": self._root, "start": self._start}
        saving = Saving(self.folder, tokenizer, base)
        if self._main:
            self.folder.unpublished().clear()  # of an attempt that was killed
        if self.spec.kind != "floor" and self.spec.method is not None:
            model = self._train(METHODS[self.spec.method], model, tokenizer, probes, saving)
        if self._main and self.spec.checkpoint != "none":
            with self.recorder.phase("save"):
                saving.at_end(model)
            self.left.weights_hash, self.left.step_hashes = saving.weights_hash, saving.step_hashes

    def examine(self, attempt: Attempt) -> None:
        """Records what the curves show of the training's health."""
        self.recorder.flush()
        for finding in health.findings(read_events(attempt.events)):
            self.recorder.add("finding", **asdict(finding))

    def _import(self) -> None:
        """The training stack; in a worker forked from a nursery it is there already."""
        import torch
        import transformers

        self._cuda = bool(torch.cuda.is_available()) and not self.spec.train.get("use_cpu", False)
        if self._cuda and (device := own_device()) is not None:
            torch.cuda.set_device(device)
        transformers.set_seed(self.spec.seed)

    def _model(self) -> tuple[Any, Any]:
        from harness.models.load import load, load_checkpoint

        device = "cuda" if self._cuda else "cpu"
        if self._start is None:
            return load(self.spec.model, root=self._root, device=device)
        kept = {name: self.spec.model.get(name) for name in ("dtype", "attn_implementation")}
        return load_checkpoint(self._start, device=device, **kept)

    def _environment(self) -> None:
        captured = redacted(environment.capture(environment=within()), redactor())
        self.left.environment = captured["hash"]
        if self._main:
            self.folder.write_environment(captured)

    def _train(self, method: Method, model: Any, tokenizer: Any, probes: list[Probe], saving: Saving) -> Any:
        """Trains and returns the trained model (a PEFT model when the trial has an adapter)."""
        with self.recorder.phase("data"):
            prepared = self._data(method, tokenizer)
        with self.recorder.phase("trainer"):
            rows = len(prepared.eval) if prepared.eval is not None else 0
            config = resolve(self.spec, method, scratch=self.scratch, cuda=self._cuda, eval_rows=rows)
            for note in config.notes:
                self.recorder.note("info", note)
            check_processes(self.spec, rank_here().size)
            with in_our_words(self.spec, model), warnings_noted(self._warn):
                trainer = method.build(
                    model=model,
                    tokenizer=tokenizer,
                    prepared=prepared,
                    config=config.kwargs,
                    lora=_lora(self.spec.lora),
                    reference=self.spec.reference,
                )
            check_head(method, trainer)
            for note in check_rows(prepared, trainer):
                self.recorder.note("warning", note)
            saving.on_the_way(trainer, main=self._main)
            for note in (*beyond_embedding(model, tokenizer), *unheeded(self.spec, trainer, prepared.format)):
                self.recorder.note("warning", note)
            attach(trainer, self.recorder, method, self.spec.warmup_steps, probes)
        with self.recorder.phase("train"):
            trainer.train()
            check_steps(trainer)
            self._divergence.check_weights(trainer.model, trainer.state.global_step)
        if rows and not _evaluated_last(trainer):
            trainer.evaluate()
        trainer.accelerator.wait_for_everyone()  # each rank has written its steps; the main one reads them all
        return trainer.accelerator.unwrap_model(trainer.model)

    def _warn(self, text: str) -> None:
        self.recorder.note("warning", text)

    def _data(self, method: Method, tokenizer: Any) -> Any:
        from harness.data import load

        prepared = load(
            self.spec.data or {},
            method.formats,
            root=self._root,
            tokenizer=None if self.spec.train.get("chat_template_path") else tokenizer,  # TRL sets that template later
            template_columns=method.template_columns,
        )
        self.left.data_fingerprint = prepared.fingerprint
        for note in prepared.notes:
            self.recorder.note("info", note)
        return prepared


def _lora(fields: Mapping[str, Any] | None) -> Any:
    """PEFT's LoraConfig of a suite's `lora`; None trains all weights."""
    if fields is None:
        return None
    from peft import LoraConfig

    return LoraConfig(**{"task_type": "CAUSAL_LM", **fields})


def _evaluated_last(trainer: Any) -> bool:
    """Whether the trainer evaluated after its last step."""
    last = trainer.state.global_step
    return any("eval_loss" in entry and entry.get("step") == last for entry in trainer.state.log_history)


def _log(attempt: Attempt, text: str) -> None:
    with attempt.log.open("a", encoding="utf-8") as log:
        log.write(text)

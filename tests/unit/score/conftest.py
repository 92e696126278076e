"""Run folders as training leaves them, without training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import models
from harness.records.outcome import Outcome, OutcomeName
from harness.records.run_folder import RunFolder
from harness.score.debug import MARKER

MakeFolder = Callable[..., RunFolder]


@pytest.fixture
def run_folder(tmp_path: Path) -> MakeFolder:
    """Makes a run folder whose checkpoint is the debug engine's, or (weights given) looks like a model's.

    Its weights' first line is `weights`; the name follows, unless they are to be the `same` as others'.
    """

    def make(
        name: str,
        *,
        outcome: OutcomeName = "ok",
        weights: bytes | None = None,
        cell: str | None = None,
        kind: str = "cell",
        same: bool = False,
    ) -> RunFolder:
        folder = RunFolder(tmp_path / "suite" / name)
        folder.checkpoint.mkdir(parents=True)
        if weights is None:
            (folder.checkpoint / MARKER).write_text(json.dumps({"trial": name}))
        else:
            (folder.checkpoint / "config.json").write_text('{"model_type": "fake"}')
            content = weights if same else weights + b"\n" + name.encode()
            (folder.checkpoint / "model.safetensors").write_bytes(content)
        spec = {"name": name, "trial_id": name, "cell_id": cell or name, "kind": kind}
        folder.spec_file.write_text(json.dumps(spec))
        known = f"weights of {name}" if weights is None else models.weights_hash(folder.checkpoint)
        folder.new_attempt().close(
            Outcome(outcome=outcome, attempt=1, started_at="", ended_at="", duration_s=1.0, weights_hash=known)
        )
        return folder

    return make

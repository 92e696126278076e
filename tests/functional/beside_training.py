"""A training that takes a while and leaves what the fake scoring child takes for a model; for a nursery's `--train`."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime

from harness import models
from harness.records.events import encode
from harness.records.outcome import Outcome
from harness.records.run_folder import Attempt, RunFolder


def train(folder: RunFolder, attempt: Attempt) -> Outcome:
    """The floor takes no time, others SECONDS, or as long as nothing is scored yet (UNTIL_SCORED).

    The checkpoint's weights are the orders of the fake child, which ORDERS gives by a part of the trial's name.
    """
    spec = folder.spec() or {}
    began, at = time.monotonic(), datetime.now(UTC)
    with attempt.events.open("w", encoding="utf-8") as events:
        seen = {"kind": "active", "t": 0.0, "values": {"devices": os.environ.get("CUDA_VISIBLE_DEVICES")}}
        events.write(encode(seen))
    name = str(spec.get("name"))
    if name != "floor":
        time.sleep(float(os.environ["SECONDS"]))
        patience = time.monotonic() + (60 if "UNTIL_SCORED" in os.environ else 0)
        while time.monotonic() < patience and not list(folder.path.parent.glob("*/scores/*/score.json")):
            time.sleep(0.05)
    orders = json.loads(os.environ.get("ORDERS", "{}"))
    order = next((order for part, order in orders.items() if part in name), "fine")
    folder.checkpoint.mkdir(parents=True, exist_ok=True)
    (folder.checkpoint / "config.json").write_text('{"model_type": "fake"}')
    (folder.checkpoint / "model.safetensors").write_text(f"{order}\n{name}")
    return Outcome(
        outcome="ok",
        attempt=attempt.number,
        started_at=at.isoformat(timespec="milliseconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        duration_s=time.monotonic() - began,
        weights_hash=models.weights_hash(folder.checkpoint),
    )

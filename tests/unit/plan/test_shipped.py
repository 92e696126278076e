"""The suites that ship, cell by cell, held against the installed TRL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.methods import METHODS, catalog
from harness.methods.build import load_class
from harness.plan import estimate, expand
from harness.records.plan import Plan
from harness.suite import read
from tests.unit.plan.made import suite

SUITES = Path(__file__).parents[3] / "suites"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpu_smoke", "memory", "memory-cpu", "throughput", "throughput-cpu"])
def test_no_two_cells_of_a_suite_are_one_to_trl(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")  # a config that compiles sets it for good
    names: dict[str, list[str]] = {}
    for cell in _plan(name).cells:
        names.setdefault(_resolved(cell.config, tmp_path), []).append(cell.name)
    assert [alike for alike in names.values() if len(alike) > 1] == []


@pytest.mark.parametrize("name", ["gpu_smoke", "throughput"])
def test_compiling_is_all_that_a_compiled_cell_changes(name: str) -> None:
    cells = [cell for cell in _plan(name).cells if cell.config["train"].get("torch_compile")]
    assert cells
    assert [cell.name for cell in cells if cell.config["train"].get("tf32") is not False] == []


def test_the_claim_about_8_bits_is_tried_beside_a_state_of_32() -> None:
    file, known = SUITES / "claims.yaml", catalog.load()
    found = read(file, catalog=known).suite or suite()
    (claim,) = [claim for claim in found.claims if "8-bit optimizers" in claim.says]
    (cell,) = [cell for cell in expand(found, known).cells if cell.levels["setup"] == claim.levels[0]]
    predicted = estimate(cell, file.parent, known)
    assert predicted.optimizer is not None
    assert predicted.weights is not None
    assert predicted.optimizer / (predicted.weights / 2) == pytest.approx(2 * 32 / 8, rel=0.01)  # two of 32 bits


def _plan(name: str) -> Plan:
    known = catalog.load()
    return expand(read(SUITES / f"{name}.yaml", catalog=known).suite or suite(), known)


def _resolved(config: Mapping[str, Any], folder: Path) -> str:
    """A cell as TRL's config class resolves it: values by other names of theirs are one. On a CPU, so without bf16."""
    method = METHODS[config["method"]]
    here = {"output_dir": str(folder), "use_cpu": True, "bf16": False}
    made = load_class(method.config_class)(**method.accepted({**config["train"], **here}))
    rest = {name: value for name, value in config.items() if name != "train"}
    return json.dumps([rest, made.to_dict()], sort_keys=True, default=str)

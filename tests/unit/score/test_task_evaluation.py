"""Tasks asked of real tiny models, against lm-eval's own `simple_evaluate`: what its command line calls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import models
from harness.errors import InputError, ModelError
from harness.records import suite
from harness.score.jobs import JobTask
from harness.score.scorefiles import flags_of
from harness.score.taskfiles import FOLDER, resolve
from harness.score.tasktemplate import hash_of, template_hash

pytestmark = pytest.mark.slow

UTILS = """
import random
import datasets

def load(**_):
    rows = [
        {"question": f"What is {n} + 1?", "choices": [str(n + 1), "no", f"{n}"], "answer": n % 2, "target": str(n + 1)}
        for n in range(14)
    ]
    return {"test": datasets.Dataset.from_list(rows), "train": datasets.Dataset.from_list(rows[::-1])}

def shuffled(rows):
    order = list(range(len(rows)))
    random.shuffle(order)
    return rows.select(order)

def rewards(doc, results):
    return {"score": random.random()}

def raises(doc, results):
    raise RuntimeError("no such luck")

def unlike(doc, results):
    return {"score": float("nan") if doc["answer"] else 1.0}

def none(**_):
    return {"test": datasets.Dataset.from_list([{"question": "", "target": ""}]).select([])}
"""
CHOICES = """
task: choices
custom_dataset: !function utils.load
output_type: multiple_choice
test_split: test
fewshot_split: train
description: "Answer the questions.\\n\\n"
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metadata: {source_field: answer}
"""
WRITTEN = """
task: written
custom_dataset: !function utils.load
output_type: generate_until
test_split: test
fewshot_split: test
doc_to_text: question
doc_to_target: target
target_delimiter: "\\n"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8, do_sample: false}
filter_list:
  - {name: all, filter: [{function: take_first}]}
  - {name: number, filter: [{function: regex, regex_pattern: "([0-9]+)"}, {function: take_first}]}
"""
DRAWN = """
task: drawn
include: choices.yaml
process_docs: !function utils.shuffled
process_results: !function utils.rewards
metric_list: [{metric: score, aggregation: mean, higher_is_better: true}]
"""
SUM = """
task: sum
custom_dataset: !function utils.load
output_type: loglikelihood
test_split: test
doc_to_text: question
doc_to_target: target
num_fewshot: 0
"""
ASKED: list[dict[str, Any]] = [
    {},
    {"limit": 5},
    {"num_fewshot": 3},
    {"num_fewshot": 2, "system_instruction": "Be brief.", "limit": 7},
    {"apply_chat_template": True},
    {"apply_chat_template": True, "num_fewshot": 3, "limit": 9},
    {"apply_chat_template": True, "num_fewshot": 2, "fewshot_as_multiturn": False},
    {"apply_chat_template": True, "num_fewshot": 2, "system_instruction": "Be brief.", "limit": 6},
]


@dataclass(frozen=True, slots=True)
class Here:
    """A folder of tasks, a tiny model as lm-eval opens it, and as ours does."""

    root: Path
    theirs: Any
    ours: Any

    def flags(self, **asked: Any) -> dict[str, Any]:
        return flags_of(suite.Score(tasks=["t"], batch_size=8, **asked))

    def tasks(self, *names: str) -> list[JobTask]:
        places = {name: FOLDER if (FOLDER / f"{name}.yaml").is_file() else self.root for name in names}
        return [JobTask(name=name, path=str(places[name] / f"{name}.yaml"), hash="h") for name in names]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Here:
    import torch
    from lm_eval.models.huggingface import HFLM

    from harness.score.hf import _Model

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("tasks")
    (root / "utils.py").write_text(UTILS)
    for text in (CHOICES, WRITTEN, DRAWN, SUM):
        (root / f"{text.split()[1]}.yaml").write_text(text)
    model, tokenizer = models.load({"shape": "tiny", "seed": 0}, root=root, device="cpu")
    opened = {"pretrained": model.eval(), "tokenizer": tokenizer, "backend": "causal", "batch_size": 8}
    return Here(root, HFLM(**opened), _Model(**opened))


def _evaluator(here: Here, *names: str, **asked: Any) -> Any:
    from harness.score.evaluation import Evaluator

    return Evaluator(here.tasks(*names), here.flags(**asked))


def _theirs(here: Here, name: str, **asked: Any) -> Mapping[str, Any]:
    """lm-eval's own answer, without the description of the machine, which it asks several programs for.

    Its command line gives `fewshot_as_multiturn` as `flags_of` does.
    """
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    (task,) = here.tasks(name)
    options = {key: value for key, value in here.flags(**asked).items() if key != "batch_size"}
    manager = TaskManager(include_defaults=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        answer = simple_evaluate(
            model=here.theirs, tasks=[task.path], task_manager=manager, bootstrap_iters=0, **options
        )
    assert answer is not None
    return dict(answer)


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: "-".join(asked) or "plain")
@pytest.mark.parametrize("name", ["choices", "written", "drawn", "arithmetic_mc"])
def test_it_is_what_lm_eval_would_say(here: Here, name: str, asked: dict[str, Any]) -> None:
    if name == "arithmetic_mc":
        asked = {"limit": 10, **asked}
    found = _evaluator(here, name, **asked).evaluate(here.ours, name)
    theirs = _theirs(here, name, **asked)
    expected = {
        key.removesuffix(",none").replace(",", "@"): value
        for key, value in theirs["results"][name].items()
        if isinstance(value, float) and "_stderr" not in key
    }
    assert found.metrics == expected
    assert expected
    _same_documents(found.documents, theirs["samples"][name])


def _same_documents(ours: Sequence[Any], theirs: Sequence[Mapping[str, Any]]) -> None:
    by_document: dict[int, Mapping[str, Any]] = {}
    for sample in theirs:
        by_document.setdefault(sample["doc_id"], sample)
    assert [document.index for document in ours] == sorted(by_document)
    for document in ours:
        sample = by_document[document.index]
        for name in ("doc_hash", "prompt_hash", "target_hash"):
            assert getattr(document, name) == sample[name]
        if document.logprobs:
            assert document.logprobs == [response[0] for response in sample["filtered_resps"]]
        else:
            assert document.response == sample["filtered_resps"][0]


def test_documents_of_one_source_have_its_hash(here: Here) -> None:
    found = _evaluator(here, "choices", limit=6).evaluate(here.ours, "choices")

    sources = [document.source_hash for document in found.documents]
    assert sources[0::2] == sources[:1] * 3
    assert sources[1::2] == sources[1:2] * 3
    assert None not in sources
    assert sources[0] != sources[1]


def test_a_task_asked_again_is_asked_the_same(here: Here) -> None:
    evaluator = _evaluator(here, "drawn", "choices", num_fewshot=3)
    first = evaluator.evaluate(here.ours, "drawn")
    evaluator.evaluate(here.ours, "choices")
    assert evaluator.evaluate(here.ours, "drawn") == first


@pytest.mark.parametrize("asked", [{}, {"num_fewshot": 3}, {"num_fewshot": 2, "apply_chat_template": True}])
@pytest.mark.parametrize("indexes", [[0, 1, 2], [7], [12, 3, 3, 11]])
def test_chosen_documents_are_asked_as_among_all(here: Here, asked: dict[str, Any], indexes: list[int]) -> None:
    evaluator = _evaluator(here, "choices", "written", **asked)
    for name in ("choices", "written"):
        whole = evaluator.evaluate(here.ours, name).documents
        some = evaluator.evaluate(here.ours, name, indexes=indexes).documents
        assert [document.index for document in some] == sorted(set(indexes))
        for document in some:
            other = whole[document.index]
            assert (document.prompt_hash, document.doc_hash) == (other.prompt_hash, other.doc_hash)
            assert document.logprobs == pytest.approx(other.logprobs, abs=1e-4)  # other batches, other padding
        assert len(evaluator.evaluate(here.ours, name).documents) == len(whole)


@pytest.mark.parametrize("indexes", [[], [14]])
def test_documents_that_are_not_there_cannot_be_chosen(here: Here, indexes: list[int]) -> None:
    with pytest.raises((ValueError, AssertionError)):
        _evaluator(here, "choices").evaluate(here.ours, "choices", indexes=indexes)


def test_the_template_hash_is_over_template_and_system_prompt(here: Here, tmp_path: Path) -> None:
    tokenizer = here.ours.tokenizer
    tokenizer.save_pretrained(str(tmp_path))
    known: list[str | None] = []
    every: list[dict[str, Any]] = [{}, {"system_instruction": "Be brief."}, {"apply_chat_template": True}, ASKED[-1]]
    for asked in every:
        found = _evaluator(here, "choices", **{**asked, "limit": 1}).evaluate(here.ours, "choices").template_hash
        assert found == template_hash(tmp_path, here.flags(**asked))
        known.append(found)
    assert known[0] is None
    assert known[2] == hash_of(tokenizer.chat_template, None)
    assert len(set(known)) == 4


@pytest.fixture
def templates(here: Here) -> Iterator[Any]:
    """The tokenizer, whose chat template is put back."""
    before = here.ours.tokenizer.chat_template
    yield here.ours.tokenizer
    here.ours.tokenizer.chat_template = before


def test_a_template_is_taken_by_its_name(here: Here, templates: Any, tmp_path: Path) -> None:
    own = templates.chat_template
    templates.chat_template = {
        "default": own,
        "short": "{% for message in messages %}{{ message.content }}{% endfor %}",
    }
    both = templates.chat_template
    templates.save_pretrained(str(tmp_path))
    found = {}
    for name in (True, "default", "short"):
        evaluator = _evaluator(here, "choices", apply_chat_template=name, limit=2)
        found[name] = evaluator.evaluate(here.ours, "choices")
        assert found[name].template_hash == template_hash(tmp_path, here.flags(apply_chat_template=name))
        assert templates.chat_template == both
    assert found[True] == found["default"]
    assert found["short"].documents[0].prompt_hash != found["default"].documents[0].prompt_hash
    assert any("'short' was applied" in note for note in found["short"].notes)
    assert not any("was applied" in note for note in found["default"].notes)
    with pytest.raises(ModelError, match="no chat template 'shrt'"):
        _evaluator(here, "choices", apply_chat_template="shrt").evaluate(here.ours, "choices")


def test_a_model_without_a_template_fails(here: Here, templates: Any) -> None:
    templates.chat_template = None
    with pytest.raises(ModelError, match="has no chat template"):
        _evaluator(here, "choices", apply_chat_template=True).evaluate(here.ours, "choices")
    assert _evaluator(here, "choices", limit=1).evaluate(here.ours, "choices").template_hash is None


def test_a_system_prompt_that_the_template_refuses_is_noted(here: Here, templates: Any) -> None:
    templates.chat_template = (
        "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ message.content }}{% endfor %}"
    )
    evaluator = _evaluator(here, "choices", apply_chat_template=True, system_instruction="Be brief.", limit=2)
    (note,) = evaluator.evaluate(here.ours, "choices").notes
    assert "takes no system prompt" in note


class _Model:
    """An lm-eval model object that answers what it is told to."""

    rank, world_size = 0, 1

    def __init__(self, *, logprob: float = -1.0, text: str = "") -> None:
        self._logprob = logprob
        self._text = text

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        return [(self._logprob, False) for _ in requests]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        return [self._text for _ in requests]


@pytest.mark.parametrize("logprob", [math.nan, -math.inf])
def test_logprobs_that_are_no_numbers_are_kept_and_noted(here: Here, logprob: float) -> None:
    found = _evaluator(here, "choices", "sum", limit=4).evaluate(_Model(logprob=logprob), "choices")
    assert [str(value) for value in found.documents[0].logprobs] == [str(logprob)] * 3
    assert "4 of 4 documents have log-probabilities that are no finite numbers" in found.notes
    found = _evaluator(here, "sum", limit=4).evaluate(_Model(logprob=logprob), "sum")
    assert "perplexity" not in found.metrics
    assert any(note.startswith("perplexity came out as") for note in found.notes)


@pytest.mark.parametrize(("text", "empty"), [("", True), (" \n", True), ("1", False)])
def test_empty_generations_are_noted(here: Here, text: str, empty: bool) -> None:
    found = _evaluator(here, "written", limit=4).evaluate(_Model(text=text), "written")
    assert ("4 of 4 generations are empty" in found.notes) is empty
    assert found.metrics["exact_match@all"] == (0.25 if text == "1" else 0.0)


def test_what_a_task_raises_is_raised(here: Here) -> None:
    (here.root / "raises.yaml").write_text(
        "include: choices.yaml\ntask: raises\nprocess_results: !function utils.raises\n"
    )
    with pytest.raises(RuntimeError, match="no such luck"):
        _evaluator(here, "raises").evaluate(_Model(), "raises")


def test_a_task_without_documents_raises(here: Here) -> None:
    (here.root / "none.yaml").write_text("include: written.yaml\ntask: none\ncustom_dataset: !function utils.none\n")
    with pytest.raises(IndexError):
        _evaluator(here, "none").evaluate(_Model(), "none")


def test_a_mark_that_is_no_number_is_noted(here: Here) -> None:
    (here.root / "unlike.yaml").write_text(
        "include: choices.yaml\ntask: unlike\nprocess_results: !function utils.unlike\n"
        "metric_list: [{metric: score, aggregation: mean, higher_is_better: true}]\n"
    )
    found = _evaluator(here, "unlike").evaluate(_Model(), "unlike")
    assert found.metrics == {}
    assert found.notes == ("score came out as nan",)


def test_code_of_the_models_runs_only_where_that_is_allowed(here: Here) -> None:
    (here.root / "unsafe.yaml").write_text("include: choices.yaml\ntask: unsafe\nunsafe_code: true\n")
    with pytest.raises(ValueError, match="marked as unsafe"):
        _evaluator(here, "unsafe").evaluate(_Model(), "unsafe")
    asked = {"confirm_run_unsafe_code": True, "limit": 2}
    assert _evaluator(here, "unsafe", **asked).evaluate(_Model(), "unsafe").documents


def test_a_dataset_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub.constants

    from harness.score.evaluation import Evaluator

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    tasks = [JobTask(name=task.name, path=str(task.path), hash="h") for task in resolve(["ai2_arc", "gsm8k"], Path())]
    evaluator = Evaluator(tasks, flags_of(suite.Score(tasks=["t"])))
    for task, dataset in (("arc_easy", "allenai/ai2_arc ARC-Easy"), ("gsm8k", "openai/gsm8k main")):
        for _ in range(2):
            with pytest.raises(InputError) as caught:
                evaluator.evaluate(_Model(), task)
            (problem,) = caught.value.problems
            assert f"{task!r} needs the dataset {dataset}, which cannot be had here" in problem.what
            assert "HF_HUB_OFFLINE" in str(problem.hint)


def test_a_hub_that_cannot_be_reached_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub.constants

    from harness.score.evaluation import Evaluator

    asked: list[tuple[str, bool]] = []

    def unreachable(path: str, **_: Any) -> None:
        asked.append((path, datasets.config.HF_HUB_OFFLINE and huggingface_hub.constants.HF_HUB_OFFLINE))
        raise ConnectionError(f"Couldn't reach {path!r} on the Hub")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.load.dataset_module_factory", unreachable)
    tasks = [JobTask(name=task.name, path=str(task.path), hash="h") for task in resolve(["gsm8k", "piqa"], Path())]
    evaluator = Evaluator(tasks, flags_of(suite.Score(tasks=["t"])))
    for task in ("gsm8k", "piqa", "gsm8k"):
        with pytest.raises(InputError, match="connect to the network"):
            evaluator.evaluate(_Model(), task)
    assert asked == [("openai/gsm8k", False), ("baber/piqa", True)]
    assert datasets.config.HF_HUB_OFFLINE is False

"""The preview shows what TRL really does: held against the labels its trainers make. Imports TRL, hence slow."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.data import load
from harness.data.preview import Preview, Sequence, preview
from harness.errors import DataError
from harness.methods import METHODS
from harness.models.load import load as load_model
from harness.models.tokenizer import build

pytestmark = pytest.mark.slow

N = 6
Marked = list[tuple[int, bool]]


def _prepared(method: str, **data: Any) -> Any:
    return load({"source": "pydoc", "rows": 40, **data}, METHODS[method].formats, root=Path())


def _trainer(method: str, prepared: Any, tmp_path: Path, train: dict[str, Any], template: str | None = None) -> Any:
    model, tokenizer = load_model(
        {"shape": "tiny", "overrides": {"num_hidden_layers": 1, "hidden_size": 32}}, root=Path(), device="cpu"
    )
    tokenizer.chat_template = template or tokenizer.chat_template
    config = {"output_dir": str(tmp_path), "report_to": [], "use_cpu": True, "bf16": False, **train}
    return METHODS[method].build(model=model, tokenizer=tokenizer, prepared=prepared, config=config, lora=None)


def _marked(sequence: Sequence) -> Marked:
    return [(token.id, token.carries_loss) for token in sequence.tokens]


def _labelled(ids: Any, carries: Any) -> Marked:
    """TRL's ids and loss flags; the first position is never predicted, whatever its label."""
    return [
        (int(number), bool(bit) and place > 0) for place, (number, bit) in enumerate(zip(ids, carries, strict=True))
    ]


def _sft_truth(trainer: Any) -> list[dict[str, Marked]]:
    rows = trainer.train_dataset
    return [
        {"text": _labelled(row["input_ids"], [label != -100 for label in row["labels"]])}
        for row in rows.select(range(min(N, len(rows))))
    ]


def _dpo_truth(trainer: Any) -> list[dict[str, Marked]]:
    rows = trainer.train_dataset
    truth = []
    for row in rows.select(range(min(N, len(rows)))):
        batch = trainer.data_collator([row])
        made = {}
        for place, name in enumerate(("chosen", "rejected")):
            real = batch["attention_mask"][place].bool()
            made[name] = _labelled(batch["input_ids"][place][real], batch["completion_mask"][place][real])
        truth.append(made)
    return truth


def _orpo_truth(trainer: Any) -> list[dict[str, Marked]]:
    truth = []
    for row in trainer.train_dataset.select(range(N)):
        chosen = _labelled(row["chosen_input_ids"], [True] * len(row["chosen_input_ids"]))
        rejected = _labelled(row["rejected_input_ids"], [label != -100 for label in row["rejected_labels"]])
        truth.append({"chosen": chosen, "rejected": rejected})
    return truth


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("sft", {}, {}),
    ("sft", {}, {"max_length": 48}),
    ("sft", {}, {"completion_only_loss": False}),
    ("sft", {"format": "language_modeling"}, {}),
    ("sft", {"conversational": True}, {}),
    ("sft", {"conversational": True}, {"assistant_only_loss": True}),
    ("sft", {"conversational": True, "format": "language_modeling"}, {"assistant_only_loss": True, "max_length": 60}),
    ("dpo", {}, {}),
    ("dpo", {}, {"max_length": 48}),
    ("dpo", {"conversational": True}, {}),
    ("orpo", {}, {}),
    ("orpo", {}, {"max_length": 48}),
    ("orpo", {"conversational": True}, {}),
]


@pytest.mark.parametrize(("method", "data", "train"), CASES)
def test_the_marked_tokens_are_those_of_trl(
    tmp_path: Path, method: str, data: dict[str, Any], train: dict[str, Any]
) -> None:
    prepared = _prepared(method, **data)
    truth = {"sft": _sft_truth, "dpo": _dpo_truth, "orpo": _orpo_truth}[method]
    expected = truth(_trainer(method, prepared, tmp_path, train))
    shown = [one for one in preview(prepared, build(), method, 2 * N, train) if not one.dropped]
    assert len(expected) == N
    for one, marked in zip(shown, expected, strict=False):
        assert {sequence.name: _marked(sequence) for sequence in one.sequences} == marked


# The built-in template writes neither tools nor their calls; this one writes all that a row has.
TEMPLATE = (
    "{% if tools is not none and tools is defined %}{{ 'tools ' + (tools | tojson) + '\\n' }}{% endif %}"
    "{% if mood %}{{ mood + '\\n' }}{% endif %}"
    "{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ (message | tojson) + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ (message | tojson) + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n<|im_start|>assistant\\n' }}{% endif %}"
)


def _call(arguments: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": arguments}}], **more}


_ASKED = {"role": "user", "content": "where?"}
PAIRS: list[dict[str, Any]] = [
    {"prompt": [_ASKED], "chosen": [_call({"city": "P"})], "rejected": [_call({"x": None})]},
    {"prompt": [{**_ASKED, "name": "me"}], "chosen": [_call({"x": 0.1234567890123456})], "rejected": [_call("P")]},
    {
        "prompt": [_ASKED],
        "chosen": [_call({"x": 1}), {"role": "tool", "content": "here", "name": "look"}],
        "rejected": [_call({"city": 1}, reasoning_content="hm")],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"city": {"type": "string"}}}}],
    },
    {
        "prompt": [_ASKED],
        "chosen": [_call({})],
        "rejected": [{"role": "assistant", "content": "no"}],
        "tools": '[{"type": "function", "function": {"name": "see", "maximum": 0.002991}}]',
        "chat_template_kwargs": {"mood": "glad"},
    },
]


def _with_tools(tmp_path: Path, method: str, rows: list[dict[str, Any]] = PAIRS, **data: Any) -> Any:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    known = METHODS[method]
    return load({"path": "rows.jsonl", **data}, known.formats, root=tmp_path, template_columns=known.template_columns)


def _rendered(row: dict[str, Any], answer: str, *, tools: bool = True) -> str:
    """A pair as its template writes it, from the row as it is written."""
    given = row.get("tools") if tools else None
    return str(
        _tokenizer().apply_chat_template(
            row["prompt"] + row[answer],
            tokenize=False,
            tools=json.loads(given) if isinstance(given, str) else given,
            **row.get("chat_template_kwargs", {}),
        )
    )


def _tokenizer() -> Any:
    tokenizer = build()
    tokenizer.chat_template = TEMPLATE
    return tokenizer


@pytest.mark.parametrize("data", [{}, {"format": "language_modeling"}])
def test_sft_trains_on_the_row_as_the_template_writes_it(tmp_path: Path, data: dict[str, Any]) -> None:
    trainer = _trainer("sft", _with_tools(tmp_path, "sft", **data), tmp_path, {}, TEMPLATE)
    said = [trainer.processing_class.decode(row["input_ids"]) for row in trainer.train_dataset]
    assert said == [_rendered(row, "chosen") for row in PAIRS]


def test_dpo_trains_on_the_row_as_the_template_writes_it(tmp_path: Path) -> None:
    trainer = _trainer("dpo", _with_tools(tmp_path, "dpo"), tmp_path, {}, TEMPLATE)
    for answer in ("chosen", "rejected"):
        said = [
            trainer.processing_class.decode(row["prompt_ids"] + row[f"{answer}_ids"]) for row in trainer.train_dataset
        ]
        assert said == [_rendered(row, answer) for row in PAIRS]


def test_orpo_trains_on_the_row_as_the_template_writes_it_without_tools(tmp_path: Path) -> None:
    prepared = _with_tools(tmp_path, "orpo")
    prepared = replace(prepared, eval=prepared.train.select([1, 3]))
    trainer = _trainer("orpo", prepared, tmp_path, {}, TEMPLATE)
    for answer in ("chosen", "rejected"):
        for rows, given in ((trainer.train_dataset, PAIRS), (trainer.eval_dataset, PAIRS[1::2])):
            said = [trainer.processing_class.decode(row[f"{answer}_input_ids"]) for row in rows]
            assert said == [_rendered(row, answer, tools=False) for row in given]


TOOL_CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("sft", {}, {}),
    ("sft", {}, {"assistant_only_loss": True}),
    ("sft", {"format": "language_modeling"}, {"assistant_only_loss": True, "max_length": 300}),
    ("dpo", {}, {}),
    ("orpo", {}, {}),
]


@pytest.mark.parametrize(("method", "data", "train"), TOOL_CASES)
def test_tools_and_their_calls_are_marked_as_trl_does(
    tmp_path: Path, method: str, data: dict[str, Any], train: dict[str, Any]
) -> None:
    rows = [*PAIRS, *({**row, "prompt": [{**_ASKED, "content": f"{n}?"}]} for n, row in enumerate(PAIRS))]
    prepared = _with_tools(tmp_path, method, rows, **data)
    truth = {"sft": _sft_truth, "dpo": _dpo_truth, "orpo": _orpo_truth}[method]
    expected = truth(_trainer(method, prepared, tmp_path, train, TEMPLATE))
    shown = [one for one in preview(prepared, _tokenizer(), method, N, train) if not one.dropped]
    assert [{sequence.name: _marked(sequence) for sequence in one.sequences} for one in shown] == expected
    whole = "".join(sequence.rendered for one in shown for sequence in one.sequences)
    assert ("glad" in whole, "0.002991}" in whole) == (True, method != "orpo")


def _said(one: Preview, name: str = "text") -> str:
    (sequence,) = [sequence for sequence in one.sequences if sequence.name == name]
    return "".join(f"[{token.text}]" if token.carries_loss else token.text for token in sequence.tokens)


def test_what_carries_loss_reads_as_one_expects() -> None:
    data = {"source": "arithmetic", "rows": 1}
    plain = preview(load(data, METHODS["sft"].formats, root=Path()), build(), "sft", 1)[0]
    question, answer = plain.row["prompt"], plain.row["completion"]
    assert _said(plain) == question + "".join(f"[{digit}]" for digit in answer) + "[<|im_end|>]"
    pair = preview(load(data, METHODS["dpo"].formats, root=Path()), build(), "dpo", 1)[0]
    assert _said(pair, "rejected").startswith(question + "[")


def test_rows_that_trl_drops_are_marked() -> None:
    shown = preview(_prepared("sft"), build(), "sft", 5, {"max_length": 4})
    assert all(one.dropped for one in shown)
    assert all(sequence.cut > 0 for one in shown for sequence in one.sequences)


def test_packing_cuts_what_is_too_long_for_a_row_and_drops_nothing(tmp_path: Path) -> None:
    train = {"max_length": 24, "packing": True}
    prepared = _prepared("sft", rows=1)
    (one,) = preview(prepared, build(), "sft", 1, train)
    (packed,) = _trainer("sft", prepared, tmp_path, train).train_dataset
    assert _marked(one.sequences[0]) == _labelled(packed["input_ids"], [label != -100 for label in packed["labels"]])
    assert not one.dropped
    assert len(one.sequences[0].tokens) == 24
    (split,) = preview(prepared, build(), "sft", 1, {**train, "packing_strategy": "bfd_split"})
    assert split.sequences[0].cut == 0


def test_letters_of_several_tokens_stay_whole(tmp_path: Path) -> None:
    row = {"prompt": "東京 ", "completion": "\u202eé🙂👩‍🚀 ok"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), encoding="utf-8")
    prepared = load({"path": "rows.jsonl"}, METHODS["sft"].formats, root=tmp_path)
    (one,) = preview(prepared, build(), "sft", 1)
    tokens = one.sequences[0].tokens
    assert len(tokens) > len(row["prompt"] + row["completion"]) + 1  # or nothing here takes several
    assert "".join(token.text for token in tokens if not token.carries_loss) == row["prompt"]
    assert "".join(token.text for token in tokens if token.carries_loss) == row["completion"] + "<|im_end|>"


def test_spaces_stay_that_a_tokenizer_leaves_out_at_the_beginning(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({"?": 0, "</s>": 1, "\u2581two": 2, "\u2581words": 3}, unk_token="?"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()  # as Llama's
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>")
    (tmp_path / "rows.jsonl").write_text('{"text": "two words"}\n', encoding="utf-8")
    (one,) = preview(load({"path": "rows.jsonl"}, METHODS["sft"].formats, root=tmp_path), tokenizer, "sft", 1)
    assert [token.text for token in one.sequences[0].tokens] == ["two", " words", "</s>"]


def test_a_row_that_trl_ends_the_training_for_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"messages": [{"role": "user", "content": "anybody?"}]}\n', encoding="utf-8")
    prepared, train = load({"path": "rows.jsonl"}, METHODS["sft"].formats, root=tmp_path), {"assistant_only_loss": True}
    with pytest.raises(DataError, match="none does in 'anybody\\?'"):
        preview(prepared, build(), "sft", 1, train)
    with pytest.raises(RuntimeError, match="at least one example has no assistant tokens"):
        _trainer("sft", prepared, tmp_path, train)


def test_assistant_only_loss_needs_messages() -> None:
    with pytest.raises(DataError, match="conversational: true"):
        preview(_prepared("sft"), build(), "sft", 1, {"assistant_only_loss": True})


def test_an_unknown_method_has_no_preview() -> None:
    with pytest.raises(DataError, match="no preview"):
        preview(_prepared("sft"), build(), "ppo", 1)


def _show(job: dict[str, Any], tmp_path: Path) -> tuple[int, dict[str, Any]]:
    file = tmp_path / "job.json"
    whole = {
        "tokenizer": "harness.models.load:load_tokenizer",
        "model": {"shape": "tiny"},
        "method": "sft",
        "formats": list(METHODS["sft"].formats),
        "template_columns": list(METHODS["sft"].template_columns),
        "root": str(tmp_path),
        "n": 2,
        **job,
    }
    file.write_text(json.dumps([whole]))
    done = subprocess.run([sys.executable, "-m", "harness.data.show", str(file)], capture_output=True, check=False)
    (answer,) = json.loads(done.stdout)
    return done.returncode, answer


def test_the_module_prints_previews_or_problems(tmp_path: Path) -> None:
    code, shown = _show({"data": {"source": "arithmetic", "eval_fraction": 0.1}}, tmp_path)
    assert code == 0
    assert len(shown["previews"]) == 2
    assert shown["rows"] + shown["eval_rows"] == 4000
    assert any(token["carries_loss"] for token in shown["previews"][0]["sequences"][0]["tokens"])
    code, shown = _show({"data": {"path": "none.jsonl"}}, tmp_path)
    assert code == 2
    assert shown["problems"][0]["what"] == "the data file does not exist"
    assert shown["problems"][0]["where"].endswith("none.jsonl")

"""What moves a model's identity, and what does not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ModelError
from harness.models import identity, tokenizer_hash, weights_hash

MakeFolder = Callable[..., Path]
ROOT = Path()


@pytest.mark.parametrize(
    "other",
    [
        {"shape": "smollm2-135m"},
        {"shape": "tiny", "seed": 1},
        {"shape": "tiny", "dtype": "bfloat16"},
        {"shape": "tiny", "attn_implementation": "eager"},
        {"shape": "tiny", "overrides": {"num_hidden_layers": 2}},
    ],
)
def test_a_shape_is_its_facts_seed_dtype_kernel_and_overrides(other: dict[str, Any]) -> None:
    assert identity(other, ROOT) != identity({"shape": "tiny"}, ROOT)


def test_what_a_suite_leaves_out_is_the_default() -> None:
    spelled = {"shape": "tiny", "seed": 0, "overrides": {}, "dtype": "float32", "attn_implementation": None}
    assert identity(spelled, ROOT) == identity({"shape": "tiny"}, ROOT)


def test_a_hub_model_is_its_revision() -> None:
    assert identity({"hub": "a/b", "revision": "1"}, ROOT) != identity({"hub": "a/b", "revision": "2"}, ROOT)


def test_an_unknown_shape_names_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"did you mean 'qwen2\.5-0\.5b'") as caught:
        identity({"shape": "qwen2.5-05b"}, ROOT)
    assert caught.value.exit_code == 2


def test_a_folder_is_its_content_not_its_place(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder()
    before = identity({"path": "model"}, tmp_path)
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert identity({"path": "elsewhere"}, tmp_path) == before


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", "other"),
        ("config.json", '{"model_type": "qwen2", "hidden_size": 16}'),
        ("tokenizer.json", '{"other": 1}'),
        ("chat_template.jinja", "{{ messages }}"),
    ],
)
def test_weights_config_and_tokenizer_all_count(
    make_folder: MakeFolder, tmp_path: Path, file: str, content: str
) -> None:
    folder = make_folder()
    before = identity({"path": "model"}, tmp_path)
    (folder / file).write_text(content)
    assert identity({"path": "model"}, tmp_path) != before


def test_who_wrote_the_folder_does_not_count(make_folder: MakeFolder) -> None:
    facts = {"model_type": "qwen2", "hidden_size": 8}
    one = make_folder("one", config={**facts, "transformers_version": "5.17.0", "_name_or_path": "/here"})
    other = make_folder("other", config={**facts, "transformers_version": "5.19.0", "_name_or_path": "/there"})
    assert weights_hash(one) == weights_hash(other)


def test_training_leftovers_are_no_weights(make_folder: MakeFolder) -> None:
    folder = make_folder()
    before = weights_hash(folder)
    (folder / "training_args.bin").write_bytes(b"x")
    assert weights_hash(folder) == before


def test_shards_count_each(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"a")
    before = weights_hash(folder)
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"b")
    assert weights_hash(folder) != before


def test_an_adapter_is_its_weights_config_and_base(tmp_path: Path) -> None:
    def adapter(name: str, *, modules: list[str], base: str = "x", start: str = "../a") -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_bytes(b"a")
        config = {"r": 8, "target_modules": modules, "base_model_name_or_path": f"/{name}"}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "base.json").write_text(json.dumps({"model": {}, "start": start, "start_weights": base}))
        return weights_hash(folder)

    first = adapter("one", modules=["q_proj", "v_proj"])
    assert adapter("two", modules=["v_proj", "q_proj"], start="../../b") == first
    assert adapter("three", modules=["q_proj"]) != first
    assert adapter("four", modules=["q_proj", "v_proj"], base="y") != first


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_a_folder_that_lacks_something_says_what(
    make_folder: MakeFolder, tmp_path: Path, missing: str, said: str
) -> None:
    (make_folder() / missing).unlink()
    with pytest.raises(ModelError, match=said):
        identity({"path": "model"}, tmp_path)


def test_a_missing_folder_and_a_file_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        identity({"path": "nowhere"}, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="is not a folder"):
        identity({"path": "file"}, tmp_path)


def test_a_damaged_config_is_an_error_of_ours(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        weights_hash(folder)


def test_a_tokenizer_is_the_same_wherever_it_was_loaded_from(tmp_path: Path) -> None:
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}
    kinds: dict[str, dict[str, str | bool]] = {
        "a": {},
        "b": {"is_local": True, "local_files_only": True},
        "c": {"eos_token": "<|end|>"},
    }
    for name, more in kinds.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer_config.json").write_text(json.dumps({**said, **more}))
    assert tokenizer_hash(tmp_path / "a") == tokenizer_hash(tmp_path / "b") != tokenizer_hash(tmp_path / "c")
    (tmp_path / "a" / "tokenizer_config.json").write_text("{")
    assert tokenizer_hash(tmp_path / "a") != tokenizer_hash(tmp_path / "b")

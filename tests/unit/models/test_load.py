"""Models in memory: made from seeds, saved, reopened, adapters merged. Each imports torch, hence slow."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ModelError
from harness.models import identity, load, load_checkpoint, open_checkpoint, save, weights_hash

pytestmark = pytest.mark.slow

SMALL: Mapping[str, Any] = {"shape": "tiny", "overrides": {"num_hidden_layers": 1, "hidden_size": 32}}


def _small(seed: int = 0, **more: Any) -> tuple[Any, Any]:
    return load({**SMALL, "seed": seed, **more}, root=Path(), device="cpu")


def _logits(model: Any, tokenizer: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.tensor([tokenizer("max(12,34)=34")["input_ids"]])).logits.float()


def _adapted(model: Any, **fields: Any) -> Any:
    """A PEFT model whose adapter does something: LoRA starts out as nothing at all."""
    import torch
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(model, LoraConfig(**{"r": 2, "target_modules": "all-linear", **fields}))
    torch.manual_seed(7)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return adapted.eval()


def test_a_seed_gives_the_same_weights_and_leaves_the_random_state_alone() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    one, _ = _small()
    assert torch.equal(torch.rand(4), expected)
    again, _ = _small()
    other, _ = _small(seed=1)
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(one.model.embed_tokens.weight, other.model.embed_tokens.weight)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_dtype_is_the_one_asked_for(dtype: str) -> None:
    import torch

    model, _ = _small(dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}


def test_the_kernel_and_the_overrides_are_the_ones_asked_for() -> None:
    model, tokenizer = _small(attn_implementation="eager")
    assert model.config._attn_implementation == "eager"
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (1, 32)
    assert (model.config.eos_token_id, model.config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"overrides": {"num_layers": 2}}, "did you mean 'num_hidden_layers'"),
        ({"overrides": {"num_hidden_layers": "two"}}, "does not take these overrides"),
        ({"overrides": {"num_attention_heads": 1}}, "num_attention_heads 1 is no multiple of num_key_value_heads 2"),
        ({"overrides": {"vocab_size": 300}}, "vocab_size 300 is too small"),
        ({"attn_implementation": "nope"}, "cannot be built"),
    ],
)
def test_a_shape_that_cannot_be_is_an_error_of_ours(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load({"shape": "tiny", **bad}, root=Path(), device="cpu")


@pytest.mark.usefixtures("without_network")
def test_the_hub_out_of_reach_says_so() -> None:
    with pytest.raises(ModelError, match="cannot be reached"):
        load({"hub": "nobody/nothing-at-all"}, root=Path(), device="cpu")


def test_a_whole_model_comes_back_as_it_was(tmp_path: Path) -> None:
    import torch

    model, tokenizer = _small()
    save(model, tokenizer, tmp_path / "one", None)
    reopened, again = open_checkpoint(tmp_path / "one")
    assert torch.equal(_logits(reopened, again), _logits(model, tokenizer))
    save(reopened, again, tmp_path / "two", None)
    assert weights_hash(tmp_path / "two") == weights_hash(tmp_path / "one")
    as_path, _ = load({"path": "one"}, root=tmp_path, device="cpu")
    assert torch.equal(_logits(as_path, tokenizer), _logits(model, tokenizer))


def test_other_weights_have_another_hash(tmp_path: Path) -> None:
    for seed in (0, 1):
        save(*_small(seed=seed), tmp_path / str(seed), None)
    assert weights_hash(tmp_path / "0") != weights_hash(tmp_path / "1")


@pytest.mark.parametrize("fields", [{}, {"use_dora": True}, {"bias": "all"}])
def test_an_adapter_on_a_shape_comes_back_merged(tmp_path: Path, fields: dict[str, Any]) -> None:
    import torch

    model, tokenizer = _small()
    untrained = _logits(model, tokenizer)
    adapted = _adapted(model, **fields)
    expected = _logits(adapted, tokenizer)
    save(adapted, tokenizer, tmp_path / "checkpoint", {"model": SMALL, "root": tmp_path, "start": None})
    assert not list((tmp_path / "checkpoint").glob("model*.safetensors"))
    reopened, again = load_checkpoint(tmp_path / "checkpoint", device="cpu")
    assert torch.allclose(_logits(reopened.eval(), again), expected, atol=1e-4)
    assert not torch.allclose(expected, untrained, atol=1e-3)
    assert not any("lora" in name for name, _ in reopened.named_parameters())
    as_trained, again = open_checkpoint(tmp_path / "checkpoint")
    assert torch.equal(_logits(as_trained, again), expected), "merging rounds; what is scored is what was trained"


@pytest.mark.parametrize("fields", [{"target_modules": ["q_proj", "lm_head"]}, {"target_modules": ["embed_tokens"]}])
def test_an_adapter_on_one_of_two_layers_that_share_weights_leaves_the_other_alone(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    import torch

    model, tokenizer = _small()
    assert model.config.tie_word_embeddings
    adapted = _adapted(model, **fields)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.5)
    expected = _logits(adapted, tokenizer)
    save(adapted, tokenizer, tmp_path / "checkpoint", {"model": SMALL, "root": tmp_path, "start": None})
    reopened, again = load_checkpoint(tmp_path / "checkpoint", device="cpu")
    assert torch.allclose(_logits(reopened.eval(), again), expected, atol=1e-4)
    save(reopened, again, tmp_path / "whole", None)
    whole, again = load_checkpoint(tmp_path / "whole", device="cpu")
    assert torch.allclose(_logits(whole.eval(), again), expected, atol=1e-4)
    assert not whole.config.tie_word_embeddings


def test_adapters_on_adapters_survive_a_move(tmp_path: Path) -> None:
    """A LoRA stage, then a LoRA cell that starts from it; the results folder is moved as a whole."""
    import torch

    model, tokenizer = _small()
    first = tmp_path / "results" / "stage" / "checkpoint"
    save(_adapted(model), tokenizer, first, {"model": SMALL, "root": tmp_path, "start": None})
    started, _ = load_checkpoint(first, device="cpu")
    assert all(weight.requires_grad for weight in started.parameters()), "PEFT's merging leaves the base frozen"
    adapted = _adapted(started, r=4)
    expected = _logits(adapted, tokenizer)
    second = tmp_path / "results" / "cell" / "checkpoint"
    save(adapted, tokenizer, second, {"model": SMALL, "root": tmp_path, "start": first})
    shutil.move(tmp_path / "results", tmp_path / "moved")
    reopened, _ = open_checkpoint(tmp_path / "moved" / "cell" / "checkpoint")
    assert torch.allclose(_logits(reopened, tokenizer), expected, atol=1e-4)


def test_an_adapter_whose_base_changed_or_went_is_refused(tmp_path: Path) -> None:
    start, adapter = tmp_path / "start", tmp_path / "adapter"
    model, tokenizer = _small()
    save(model, tokenizer, start, None)
    save(_adapted(model), tokenizer, adapter, {"model": SMALL, "root": tmp_path, "start": start})
    shutil.rmtree(start)
    with pytest.raises(ModelError, match="is gone"):
        open_checkpoint(adapter)
    save(*_small(seed=5), start, None)
    with pytest.raises(ModelError, match="has changed"):
        open_checkpoint(adapter)


def test_an_adapter_keeps_the_dtype_and_kernel_of_its_base(tmp_path: Path) -> None:
    import torch

    base = {**SMALL, "dtype": "bfloat16", "attn_implementation": "eager"}
    model, tokenizer = load(base, root=tmp_path, device="cpu")
    save(_adapted(model), tokenizer, tmp_path / "adapter", {"model": base, "root": tmp_path, "start": None})
    reopened, _ = open_checkpoint(tmp_path / "adapter")
    assert reopened.dtype is torch.bfloat16
    assert reopened.config._attn_implementation == "eager"
    wide, _ = load_checkpoint(tmp_path / "adapter", device="cpu", dtype="float32", attn_implementation="sdpa")
    assert (wide.dtype, wide.config._attn_implementation) == (torch.float32, "sdpa")


def test_an_adapter_over_a_path_keeps_its_base_by_an_absolute_path(tmp_path: Path) -> None:
    model, tokenizer = _small()
    save(model, tokenizer, tmp_path / "models" / "base", None)
    based, _ = load({"path": "models/base"}, root=tmp_path, device="cpu")
    save(_adapted(based), tokenizer, tmp_path / "adapter", {"model": {"path": "models/base"}, "root": tmp_path})
    record = json.loads((tmp_path / "adapter" / "base.json").read_text())
    assert record["model"]["path"] == str((tmp_path / "models" / "base").resolve())
    open_checkpoint(tmp_path / "adapter")


def test_an_adapter_without_its_base_is_not_written(tmp_path: Path) -> None:
    model, tokenizer = _small()
    with pytest.raises(ModelError, match="has no base"):
        save(_adapted(model), tokenizer, tmp_path / "adapter", None)


def test_an_adapter_folder_can_be_named_as_a_model(tmp_path: Path) -> None:
    import torch

    model, tokenizer = _small()
    adapted = _adapted(model)
    expected = _logits(adapted, tokenizer)
    save(adapted, tokenizer, tmp_path / "adapter", {"model": SMALL, "root": tmp_path, "start": None})
    named, again = load({"path": "adapter"}, root=tmp_path, device="cpu")
    assert torch.allclose(_logits(named, again), expected, atol=1e-4)
    assert "weights" in identity({"path": "adapter"}, tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_cut_off_file_is_an_error_of_ours(tmp_path: Path, name: str) -> None:
    save(*_small(), tmp_path / "model", None)
    file = tmp_path / "model" / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load({"path": "model"}, root=tmp_path, device="cpu")

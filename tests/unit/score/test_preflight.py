"""What the files of a checkpoint say before an engine exists; adapters made by hand, without torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import models
from harness.errors import ModelError
from harness.score.preflight import LINEAR, RANKS, Preflight, allowed_rank, preflight

Tensors = Mapping[str, list[int]]
SHAPE = {"shape": "tiny", "overrides": {"num_hidden_layers": 2}}
CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 4,
    "lora_alpha": 8,
    "bias": "none",
    "use_dora": False,
    "init_lora_weights": True,
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "target_modules": ["q_proj", "v_proj"],
}
WHOLE = {"model_type": "qwen2", "vocab_size": 1024, "tie_word_embeddings": True, "hidden_size": 128}


def header(tensors: Tensors, *, length: int | None = None) -> bytes:
    """A safetensors file of zeros. `length` is what it says of its header."""
    entries, end = {}, 0
    for name, shape in tensors.items():
        size = 4
        for extent in shape:
            size *= extent
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(end)


def lora(*modules: str, rank: int = 4, layer: int = 0) -> dict[str, list[int]]:
    """Names and shapes of an adapter's matrices on these modules of one layer."""
    found: dict[str, list[int]] = {}
    for module in modules:
        place = f"base_model.model.model.layers.{layer}.self_attn.{module}"
        found |= {f"{place}.lora_A.weight": [rank, 128], f"{place}.lora_B.weight": [128, rank]}
    return found


HEAD = {
    "base_model.model.lm_head.lora_A.weight": [4, 128],
    "base_model.model.lm_head.lora_B.weight": [1024, 4],
    "base_model.model.lm_head.base_layer.weight": [1024, 128],
}

Make = Callable[..., Path]


@pytest.fixture
def adapter(tmp_path: Path) -> Make:
    """Makes an adapter; `on` is what its base.json says, or None for one written elsewhere."""

    def make(
        name: str = "adapter",
        tensors: Tensors | None = None,
        on: Mapping[str, Any] | None = None,
        *,
        foreign: bool = False,
        tokenizer: str | None = "words",
        **config: Any,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
        given = lora("q_proj", "v_proj") if tensors is None else tensors
        (folder / "adapter_model.safetensors").write_bytes(header(given))
        if not foreign:
            record = {"model": SHAPE, "start": None, "start_weights": None, **(on or {})}
            (folder / models.BASE_FILE).write_text(json.dumps(record))
        if tokenizer is not None:
            (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        return folder

    return make


@pytest.fixture
def whole(tmp_path: Path) -> Make:
    """Makes a whole checkpoint."""

    def make(name: str = "base", *, tokenizer: str = "words", **config: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({**WHOLE, **config}))
        (folder / "model.safetensors").write_bytes(header({"model.norm.weight": [128]}) + name.encode())
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        return folder

    return make


def starts_from(adapter: Path, start: Path) -> None:
    """As if its training had begun with the checkpoint `start`."""
    record = {"model": SHAPE, "start": f"../{start.name}", "start_weights": models.weights_hash(start)}
    (adapter / models.BASE_FILE).write_text(json.dumps(record))


def refused(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        preflight(folder)
    (problem,) = caught.value.problems
    return f"{problem.what}: {problem.why}"


def test_plain_lora_is_applied_beside_its_base(adapter: Make) -> None:
    found = preflight(adapter())
    assert (found.way, found.why, found.rank, found.modules) == ("adapter", None, 4, ("q_proj", "v_proj"))
    assert found.base == SHAPE


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"peft_type": "IA3"}, "it is no LoRA but IA3"),
        ({"use_dora": True}, "it is a DoRA adapter"),
        ({"modules_to_save": ["lm_head"]}, "it holds whole layers (modules_to_save)"),
        ({"rank_pattern": {"v_proj": 8}}, "its rank differs from layer to layer"),
        ({"alpha_pattern": {"v_proj": 8}}, "its scaling differs from layer to layer"),
        ({"fan_in_fan_out": True}, "its base stores weights transposed"),
        ({"lora_bias": True}, "its matrices have a bias"),
        ({"trainable_token_indices": [5]}, "it trains single tokens"),
        ({"target_parameters": ["experts"]}, "it changes parameters that are no layers"),
        ({"use_qalora": True}, "it is a QALoRA adapter"),
        ({"layer_replication": [[0, 1]]}, "it repeats layers of its base"),
        ({"init_lora_weights": "pissa"}, "its initialisation (pissa) changes the base too"),
        ({"bias": "all"}, "it trains biases"),
        ({"bias": "lora_only"}, "it trains biases"),
    ],
)
def test_what_vllm_cannot_apply_is_merged_with_its_reason(adapter: Make, config: dict[str, Any], why: str) -> None:
    found = preflight(adapter(**config))
    assert (found.way, found.why) == ("merged", why)


@pytest.mark.parametrize("initialisation", [True, False, None, "gaussian"])
def test_an_initialisation_that_leaves_the_base_alone_is_no_reason(adapter: Make, initialisation: Any) -> None:
    assert preflight(adapter(init_lora_weights=initialisation)).way == "adapter"


@pytest.mark.parametrize(
    ("tensors", "way", "why"),
    [
        (HEAD, "alone", "it changes lm_head, which vLLM does not adapt"),
        ({**lora("q_proj"), **HEAD}, "alone", "it changes lm_head, which vLLM does not adapt"),
        (lora("c_attn"), "merged", "it changes c_attn, which vLLM does not adapt"),
        (
            {**lora("q_proj"), "base_model.model.model.norm.weight": [128]},
            "merged",
            "it holds more than LoRA matrices: base_model.model.model.norm.weight",
        ),
        (
            {**lora("q_proj"), "base_model.model.model.embed_tokens.weight": [1030, 128]},
            "alone",
            "it holds more than LoRA matrices: base_model.model.model.embed_tokens.weight",
        ),
    ],
)
def test_what_an_adapter_changes_decides_too(adapter: Make, tensors: Tensors, way: str, why: str) -> None:
    found = preflight(adapter(tensors=tensors))
    assert (found.way, found.why) == (way, why)


def test_a_rank_that_vllm_cannot_hold_is_merged(adapter: Make) -> None:
    assert preflight(adapter("at", lora("q_proj", rank=512), r=512)).way == "adapter"
    above = preflight(adapter("above", lora("q_proj", rank=513), r=513))
    assert (above.way, above.why) == ("merged", "its rank, 513, is above the 512 that vLLM can hold")


@given(st.integers(1, RANKS[-1]))
def test_the_engine_is_given_the_smallest_rank_that_holds_an_adapters(rank: int) -> None:
    allowed = allowed_rank(rank)
    assert allowed in RANKS
    assert allowed >= rank
    assert all(other < rank for other in RANKS if other < allowed)


def test_an_adapter_without_tensors_is_refused(adapter: Make) -> None:
    assert "is empty: its weights file holds no tensor" in refused(adapter(tensors={}))


def test_an_adapter_without_weights_is_refused(adapter: Make) -> None:
    folder = adapter()
    (folder / "adapter_model.safetensors").unlink()
    assert "no weights in" in refused(folder)


def test_weights_of_an_older_format_are_merged(adapter: Make) -> None:
    folder = adapter()
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    found = preflight(folder)
    assert (found.way, found.why) == ("merged", "its weights are not in the safetensors format")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "unpack requires a buffer of 8 bytes"),
        (b"\x01\x02", "unpack requires a buffer of 8 bytes"),
        (header(lora("q_proj"), length=2**40), "its header is longer than the file"),
        (header(lora("q_proj"), length=11), "Unterminated string"),
        (header(lora("q_proj"))[:-1], "it is cut off"),
        (header(lora("q_proj"))[:40], "its header is longer than the file"),
        (struct.pack("<Q", 2) + b"[]", "no attribute 'items'"),
        (struct.pack("<Q", 8) + b'{"a": 1}', ""),
        (struct.pack("<Q", 9) + b'{"a": {}}', ""),
        (struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc", ""),
    ],
)
def test_a_damaged_file_is_refused(adapter: Make, content: bytes, why: str) -> None:
    folder = adapter()
    (folder / "adapter_model.safetensors").write_bytes(content)
    said = refused(folder)
    assert "adapter_model.safetensors is damaged" in said
    assert why in said


@pytest.mark.parametrize("content", ["", "[1]", "nonsense"])
def test_a_damaged_config_is_refused(adapter: Make, content: str) -> None:
    folder = adapter()
    (folder / "adapter_config.json").write_text(content)
    assert "cannot be read: adapter_config.json is no JSON object" in refused(folder)


def test_a_matrix_without_its_other_is_refused(adapter: Make) -> None:
    """PEFT leaves the missing one as it was made, with a warning alone."""
    tensors = lora("q_proj", "v_proj")
    for missing in [name for name in tensors if "v_proj" in name]:
        kept = {name: shape for name, shape in tensors.items() if name != missing}
        assert "is not whole: nothing belongs to its base_model" in refused(adapter(missing, kept))


def test_matrices_of_another_rank_than_the_config_says_are_refused(adapter: Make) -> None:
    """vLLM would scale them by the config's rank."""
    said = refused(adapter(tensors=lora("q_proj", rank=8), r=4))
    assert "its matrices are of rank 8, adapter_config.json says 4" in said
    mixed = {**lora("q_proj"), **lora("v_proj", rank=2)}
    assert "of rank 2, 4" in refused(adapter("mixed", mixed))
    assert preflight(adapter("said", mixed, rank_pattern={"v_proj": 2})).why == "its rank differs from layer to layer"


def test_an_adapter_stands_on_the_checkpoint_its_training_began_with(adapter: Make, whole: Make) -> None:
    base, folder = whole(), adapter()
    starts_from(folder, base)
    assert preflight(folder).base == {"path": str(base.resolve())}


def test_a_base_that_is_gone_is_refused(adapter: Make, whole: Make, tmp_path: Path) -> None:
    base, folder = whole(), adapter()
    starts_from(folder, base)
    base.rename(tmp_path / "elsewhere")
    assert "was trained from is gone" in refused(folder)


def test_a_base_with_other_weights_is_refused(adapter: Make, whole: Make) -> None:
    base, folder = whole(), adapter()
    starts_from(folder, base)
    (base / "model.safetensors").write_bytes(header({"model.norm.weight": [128]}) + b"others")
    assert "was trained from has changed" in refused(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": null}'])
def test_a_damaged_record_of_the_base_is_refused(adapter: Make, content: str) -> None:
    folder = adapter(base_model_name_or_path="Qwen/Qwen2.5-0.5B")
    (folder / models.BASE_FILE).write_text(content)
    assert "base.json is damaged" in refused(folder)


def test_an_adapter_from_elsewhere_names_its_base_itself(adapter: Make, whole: Make) -> None:
    base = whole()
    local = adapter("local", foreign=True, base_model_name_or_path=str(base))
    assert preflight(local).base == {"path": str(base.resolve())}
    hub = adapter("hub", foreign=True, base_model_name_or_path="Qwen/Qwen2.5-0.5B")
    assert preflight(hub).base == {"hub": "Qwen/Qwen2.5-0.5B", "revision": None, "dtype": "auto"}
    assert "does not say which model it is for" in refused(adapter("none", foreign=True))


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    assert "no model in" in refused(tmp_path)


def family(folder: Path, spec: Mapping[str, Any] | None = None) -> str:
    return preflight(folder, spec).family


def test_a_suites_checkpoints_are_one_family(adapter: Make, whole: Make) -> None:
    base = whole(transformers_version="5.19.0")
    on_base, on_shape, stacked = adapter("a"), adapter("b"), adapter("c")
    starts_from(on_base, base)
    starts_from(stacked, on_base)
    other = {**SHAPE, "attn_implementation": "sdpa", "seed": 5, "dtype": "float32"}
    trained = family(base, {"model": SHAPE})
    assert {family(one) for one in (on_base, on_shape, stacked)} == {trained}
    assert family(whole("other", _name_or_path="x"), {"model": other}) == trained


def test_a_run_folders_weights_are_told_apart_by_its_spec_wherever_they_are_named(adapter: Make, whole: Make) -> None:
    """As `harness score RUN_FOLDER …` names them: without a suite."""
    on_shape = adapter("run-a/checkpoint")
    base, step = whole("run-b/checkpoint", use_cache=False), whole("run-c/checkpoints/20")
    for run in (base.parent, step.parents[1]):
        (run / "spec.json").write_text(json.dumps({"model": SHAPE}))
    assert {family(base), family(step)} == {family(on_shape)}


HUB = {"hub": "some/model", "revision": "a" * 40, "dtype": "bfloat16"}


@pytest.fixture
def cached(whole: Make, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the hub's cache has of the model: an older config, as its owner wrote it."""
    import huggingface_hub

    folder = whole("cached", rope_theta=1e6, use_cache=True, eos_token_id=2, torch_dtype="bfloat16")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, file, revision: str(folder / file))
    return folder


def test_a_hubs_model_its_adapters_and_what_training_made_of_it_are_one_family(
    adapter: Make, whole: Make, cached: Path
) -> None:
    on_hub = adapter("a")
    (on_hub / models.BASE_FILE).write_text(json.dumps({"model": HUB, "start": None}))
    trained = whole("trained", rope_parameters={"rope_theta": 1e6}, use_cache=False, eos_token_id=2)
    assert family(trained, {"model": HUB}) == family(on_hub)
    started = adapter("b")
    starts_from(started, trained)
    record = json.loads((started / models.BASE_FILE).read_text())
    (started / models.BASE_FILE).write_text(json.dumps({**record, "model": HUB}))
    assert family(started) == family(on_hub)
    other_end = whole("other", rope_parameters={"rope_theta": 1e6}, eos_token_id=3)
    assert family(other_end, {"model": HUB}) != family(on_hub), "an engine has one set of tokens that end a text"
    assert family(trained, {"model": {**HUB, "dtype": "float32"}}) != family(on_hub)


def test_an_adapter_from_elsewhere_shares_the_engine_of_its_base(adapter: Make, whole: Make, cached: Path) -> None:
    foreign = adapter("a", foreign=True, base_model_name_or_path="some/model")
    assert family(foreign) == family(cached)


@pytest.mark.parametrize(
    "model",
    [{**SHAPE, "shape": "qwen2.5-0.5b"}, {**SHAPE, "dtype": "bfloat16"}, {"shape": "tiny", "overrides": {}}],
)
def test_another_build_is_another_family(whole: Make, model: dict[str, Any]) -> None:
    base = whole()
    assert family(base, {"model": SHAPE}) != family(base, {"model": model})


def test_what_training_made_of_a_shapes_vocabulary_counts(whole: Make) -> None:
    same, grown, parted = whole("same"), whole("grown", vocab_size=1030), whole("parted", tie_word_embeddings=False)
    assert len({family(one, {"model": SHAPE}) for one in (same, grown, parted)}) == 3


def test_an_adapter_on_the_vocabulary_shares_an_engine_with_its_like_alone(adapter: Make, whole: Make) -> None:
    grown = {**lora("q_proj"), "base_model.model.model.embed_tokens.weight": [1030, 128]}
    plain, head, rows = preflight(adapter("a")), preflight(adapter("b", HEAD)), preflight(adapter("c", grown))
    saved = {**lora("q_proj"), "base_model.model.lm_head.weight": [1024, 128]}
    assert len({plain.family, head.family, rows.family}) == 3
    assert preflight(adapter("d", saved, modules_to_save=["lm_head"])).family == head.family
    on_head = adapter("e")
    starts_from(on_head, adapter("f", HEAD))
    assert (preflight(on_head).way, preflight(on_head).family) == ("adapter", head.family)


def test_an_adapter_on_an_untied_head_needs_no_engine_of_its_own(adapter: Make, whole: Make) -> None:
    base, folder, plain = whole("untied", tie_word_embeddings=False), adapter("a", HEAD), adapter("b")
    for one in (folder, plain):
        starts_from(one, base)
    found = preflight(folder)
    assert (found.way, found.family) == ("merged", preflight(plain).family)


def test_the_tokenizer_is_the_adapters_own_or_its_bases(adapter: Make, whole: Make) -> None:
    base = whole(tokenizer="words")
    own, none, other = adapter("a"), adapter("b", tokenizer=None), adapter("c", tokenizer="others")
    for one in (own, none, other):
        starts_from(one, base)
    assert family(own) == family(none) != family(other)


MODULES = st.sets(st.sampled_from([*sorted(LINEAR), "lm_head", "c_attn"]), min_size=1)


@given(
    modules=MODULES,
    rank=st.integers(1, 600),
    config=st.fixed_dictionaries(
        {},
        optional={
            "use_dora": st.booleans(),
            "bias": st.sampled_from(["none", "all"]),
            "alpha_pattern": st.sampled_from([{}, {"q_proj": 2}]),
            "init_lora_weights": st.sampled_from([True, False, "olora"]),
            "modules_to_save": st.sampled_from([None, ["lm_head"]]),
        },
    ),
)
def test_an_adapter_is_applied_only_if_nothing_speaks_against_it(
    modules: set[str], rank: int, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("adapter")
    (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config, "r": rank}))
    (folder / models.BASE_FILE).write_text(json.dumps({"model": SHAPE, "start": None}))
    # Matrices without content: a file's size is not what this is about.
    entries = {name: [shape[0], 0] for name, shape in lora(*modules, rank=rank).items()}
    (folder / "adapter_model.safetensors").write_bytes(header(entries))
    found: Preflight = preflight(folder)
    good = config.get("init_lora_weights") != "olora" and config.get("bias") != "all" and rank <= RANKS[-1]
    good = good and not any(config.get(name) for name in ("use_dora", "alpha_pattern", "modules_to_save"))
    good = good and modules <= LINEAR
    assert (found.way == "adapter") is good is (found.why is None)
    assert (found.way == "alone") is ("lm_head" in modules)
    assert found.modules == tuple(sorted(modules))

"""The hf backend opens a checkpoint as lm-eval's own command does, and says so where a prompt is cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import models
from harness.score.jobs import Job, JobTask
from harness.score.taskfiles import resolve

pytestmark = pytest.mark.slow

ASKED = [("What is `Path`?\n", "A path."), ("max(17,4)=", "17"), ("max(17,4)=", "4"), ("print(1)\n\n", "1\n")]
FLAGS: dict[str, Any] = {"limit": 3, "num_fewshot": None, "apply_chat_template": False, "batch_size": 3}


def _save(root: Path, model: dict[str, Any], *, adapter: bool) -> tuple[Path, Path | None]:
    """A base and, where asked for, an adapter on it, both with weights that matter; as the harness saves them."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.set_num_threads(1)
    base, tokenizer = models.load(model, root=root, device="cpu")
    models.save(base, tokenizer, root / "base", None)
    if not adapter:
        return root / "base", None
    torch.manual_seed(0)
    adapted = get_peft_model(base, LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False))
    models.save(adapted, tokenizer, root / "adapter", {"model": model, "root": root, "start": root / "base"})
    return root / "base", root / "adapter"


def _answers(lm: Any) -> tuple[list[tuple[float, bool]], list[str]]:
    from lm_eval.api.instance import Instance

    def requests(kind: Any, arguments: list[Any]) -> list[Instance]:
        return [Instance(request_type=kind, doc={}, arguments=one, idx=0) for one in arguments]

    options = {"until": ["\n"], "max_gen_toks": 8, "do_sample": False}
    likelihoods = lm.loglikelihood(requests("loglikelihood", ASKED), disable_tqdm=True)
    generated = lm.generate_until(
        requests("generate_until", [(prompt, options) for prompt, _ in ASKED]), disable_tqdm=True
    )
    return likelihoods, generated


def _ours(checkpoint: Path) -> tuple[list[tuple[float, bool]], list[str]]:
    from harness.score.hf import HfOpener

    with HfOpener(_job()).lm(checkpoint) as lm:
        return _answers(lm)


def _job() -> Job:
    return Job(backend="hf", opener="", flags=FLAGS, tasks=(), checkpoints=())


def _lm_evals(base: Path, adapter: Path | None) -> tuple[list[tuple[float, bool]], list[str]]:
    """As `--model_args pretrained=…,peft=…` opens them."""
    from lm_eval.models.huggingface import HFLM

    given = {} if adapter is None else {"peft": str(adapter)}
    return _answers(HFLM(pretrained=str(base), batch_size=FLAGS["batch_size"], device="cpu", **given))


@pytest.mark.parametrize("adapter", [False, True], ids=["whole", "adapter"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_answers_are_lm_evals_own(tmp_path: Path, dtype: str, adapter: bool) -> None:
    base, trained = _save(tmp_path, {"shape": "tiny", "dtype": dtype}, adapter=adapter)
    assert _ours(trained or base) == _lm_evals(base, trained)


def test_an_adapter_from_elsewhere_is_asked_in_the_dtype_of_its_base(tmp_path: Path) -> None:
    base, trained = _save(tmp_path, {"shape": "tiny", "dtype": "bfloat16"}, adapter=True)
    assert trained is not None
    (trained / "base.json").unlink()
    config = json.loads((trained / "adapter_config.json").read_bytes())
    (trained / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(base)}))
    assert _ours(trained) == _lm_evals(base, trained)


def test_an_adapter_is_asked_over_the_whole_vocabulary(tmp_path: Path) -> None:
    """lm-eval cuts a padded vocabulary to the tokenizer's when it is given `peft=`, and only then; an adapter that
    does nothing would differ from its base."""
    import torch
    from safetensors.torch import load_file, save_file

    padded = {"shape": "tiny", "overrides": {"vocab_size": 2048}}
    base, trained = _save(tmp_path, padded, adapter=True)
    assert trained is not None
    file = trained / "adapter_model.safetensors"
    save_file({name: torch.zeros_like(weight) for name, weight in load_file(file).items()}, file)
    assert _ours(trained) == _ours(base) == _lm_evals(base, None)
    assert _lm_evals(base, trained)[0] != _lm_evals(base, None)[0]


def test_an_adapter_is_held_against_its_base(tmp_path: Path) -> None:
    from harness.score.canary import sing
    from harness.score.hf import HfOpener
    from harness.score.jobs import JobCheckpoint

    opener = HfOpener(_job())

    def job_of(folder: Path) -> JobCheckpoint:
        return JobCheckpoint(folder=str(tmp_path), checkpoint=str(folder), weights_hash=None, tasks=())

    base, adapter = _save(tmp_path, {"shape": "tiny"}, adapter=True)
    assert adapter is not None
    with opener.open(job_of(base)) as opened:
        assert opened.bare is None
        alone = sing(opened.lm)
    with opener.open(job_of(adapter)) as opened:
        assert opened.bare is not None
        before = sing(opened.lm)
        with opened.bare():
            assert sing(opened.lm) == alone
        assert before == sing(opened.lm) != alone
        assert not opened.null


def test_a_score_tells_of_prompts_that_the_tokenizer_cuts(tmp_path: Path) -> None:
    from harness.score.evaluation import Evaluator
    from harness.score.hf import HfOpener

    base, _ = _save(tmp_path, {"shape": "tiny", "overrides": {"vocab_size": 1025}}, adapter=False)
    tasks = [
        JobTask(name=task.name, path=str(task.path), hash=task.hash)
        for task in resolve(["pydoc_mc", "arithmetic_mc"], tmp_path)
    ]
    evaluator = Evaluator(tasks, FLAGS)
    with HfOpener(_job()).lm(base) as lm:
        assert evaluator.evaluate(lm, "pydoc_mc").notes == ()

    kept = json.loads((base / "tokenizer.json").read_bytes())
    kept["model"]["vocab"]["?Ċ"] = 1024
    kept["model"]["merges"].insert(0, ["?", "Ċ"])  # before the one that joins "`" and "?"
    (base / "tokenizer.json").write_text(json.dumps(kept))
    with HfOpener(_job()).lm(base) as lm:
        (note,) = evaluator.evaluate(lm, "pydoc_mc").notes
        assert note.startswith("3 of 3 documents: the prompt did not reach the model whole")
        assert evaluator.evaluate(lm, "arithmetic_mc").notes == ()
    assert _ours(base) == _lm_evals(base, None), "figures stay lm-eval's own"

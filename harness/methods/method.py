"""What a training method is to the harness: TRL's own classes, the data it takes, what TRL cannot do for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.records.suite import Format

# Values of a field that ask for nothing, so that one axis (`train.packing: [false, true]`) can span methods.
_ASKS_NOTHING: dict[str, tuple[Any, ...]] = {
    # preference losses always fall on completions alone: `true` is what happens anyway, `false` cannot be had
    "completion_only_loss": (None, True),
}
_OFF: tuple[Any, ...] = (None, False)

OWNED: Mapping[str, str] = {
    "output_dir": "the harness keeps what a trial writes in its run folder",
    "seed": "seeds come from `replicates.seeds` (or a stage's `seed`), one trial each",
    "model_init_kwargs": "the harness loads the model itself: use `model.dtype`, `model.attn_implementation`",
    "report_to": "the run folder is where a trial reports to; a tracker's calls would be timed",
    "push_to_hub": "trials stay on this machine",
    "hub_token": "a suite holds no secrets",
    "hub_model_id": "trials stay on this machine",
    "resume_from_checkpoint": "an interrupted trial is trained again from its start, so that its figures are whole",
    "do_train": "the harness calls `train()` itself",
}
"""Fields of every TRL config that the harness sets itself, and why a suite may not."""


LENGTH_SAMPLERS: Mapping[str, Mapping[Any, str]] = {
    "train_sampling_strategy": dict.fromkeys(
        ("group_by_length", "batch_rebalance"),
        "transformers sorts rows by their input_ids, and a pair has none until TRL collates it",
    ),
}
"""Samplers of transformers that no preference method can have (`Trainer._get_train_sampler`, 5.19)."""


class Build(Protocol):
    """Builds TRL's trainer; see `harness.methods.build.build`."""

    def __call__(
        self,
        *,
        model: Any,
        tokenizer: Any,
        prepared: Any,
        config: Mapping[str, Any],
        lora: Any,
        reference: Any = None,
    ) -> Any: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """One training method. Classes are written `module:Name`, so that naming a method imports nothing heavy.

    `formats`: the TRL dataset formats it takes, preferred first. `template_columns`: columns of conversational rows
    beside a format's own that its trainer hands to the chat template. `refuses`: fields of `train` that TRL does not
    support for it, and why; `refuses_with_lora` the same for trials with an adapter; `refuses_values` the single
    values of a field that do not work, where others do. `defaults`: fields the harness sets where the suite is
    silent. `loss_tokens(batch, trainer)` counts the loss-bearing positions of one batch as the trainer receives it,
    as a tensor on the batch's device. `samples(batch)` counts its rows: a pair is one. `answerless(batch)` counts
    the pairs that truncation left no answer of, where TRL makes NaN of them instead of dropping them. `reference`:
    it forwards a frozen reference model too; forwards without gradients are that model's.
    """

    name: str
    title: str
    config_class: str
    trainer_class: str
    formats: tuple[Format, ...]
    build: Build
    loss_tokens: Callable[[Mapping[str, Any], Any], Any]
    samples: Callable[[Mapping[str, Any]], int]
    answerless: Callable[[Mapping[str, Any]], Any] | None = None
    template_columns: tuple[str, ...] = ()
    reference: bool = False
    refuses: Mapping[str, str] = field(default_factory=dict)
    refuses_with_lora: Mapping[str, str] = field(default_factory=dict)
    refuses_values: Mapping[str, Mapping[Any, str]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def refused(self, train: Mapping[str, Any], *, lora: bool = False) -> dict[str, str]:
        """Field → reason, for every field of `train` that asks for something TRL does not do for this method.

        A value that asks for nothing (null or false; for `completion_only_loss` null or true) is no request.
        """
        reasons = {**OWNED, **self.refuses, **(self.refuses_with_lora if lora else {})}
        found = {
            name: reasons[name]
            for name, value in train.items()
            if name in reasons and (name in OWNED or not _asks_nothing(name, value))
        }
        for name, values in self.refuses_values.items():
            found.update((name, why) for value, why in values.items() if train.get(name) == value)
        return found

    def accepted(self, train: Mapping[str, Any]) -> dict[str, Any]:
        """`train` without the refused fields that ask for nothing: TRL's config class may not even have them."""
        return {
            name: value for name, value in train.items() if not (name in self.refuses and _asks_nothing(name, value))
        }


def _asks_nothing(name: str, value: Any) -> bool:
    return any(value is off for off in _ASKS_NOTHING.get(name, _OFF))

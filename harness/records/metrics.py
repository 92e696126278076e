"""Public metrics of a trial: one definition, unit and direction each. `docs/measuring.md` says how each is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A named figure. `better` is `none` where neither more nor less is good in itself."""

    name: str
    unit: str
    better: Direction
    says: str


_ALL = (
    Metric(
        name="tokens_per_second", unit="tokens/s", better="higher", says="real tokens ÷ wall seconds, measured window"
    ),
    Metric(name="padded_tokens_per_second", unit="tokens/s", better="higher", says="padded tokens ÷ wall seconds"),
    Metric(name="samples_per_second", unit="samples/s", better="higher", says="samples ÷ wall seconds (a pair is one)"),
    Metric(name="padding_share", unit="ratio", better="lower", says="1 − real ÷ padded tokens, measured window"),
    Metric(name="step_seconds_p50", unit="s", better="lower", says="median wall time of an optimizer step"),
    Metric(name="step_seconds_p90", unit="s", better="lower", says="90th percentile of the same"),
    Metric(name="data_share", unit="ratio", better="lower", says="share of step time spent waiting for data"),
    Metric(name="measured_steps", unit="steps", better="none", says="optimizer steps in the measured window"),
    Metric(name="real_tokens", unit="tokens", better="none", says="real tokens of the measured window"),
    Metric(name="padded_tokens", unit="tokens", better="none", says="padded tokens of the measured window"),
    Metric(name="loss_tokens", unit="tokens", better="none", says="tokens that carried loss"),
    Metric(name="reference_tokens", unit="tokens", better="none", says="tokens forwarded through a reference model"),
    Metric(name="train_seconds", unit="s", better="lower", says="wall time of trainer.train()"),
    Metric(name="startup_seconds", unit="s", better="lower", says="from the attempt's start to the first step"),
    Metric(name="trial_seconds", unit="s", better="lower", says="wall time of the whole attempt"),
    Metric(name="peak_host_memory", unit="bytes", better="lower", says="peak unique set size of the worker"),
    Metric(name="peak_device_memory", unit="bytes", better="lower", says="NVML used, peak minus before"),
    Metric(name="peak_allocated", unit="bytes", better="lower", says="torch allocator's peak"),
    Metric(name="peak_reserved", unit="bytes", better="lower", says="torch allocator's peak reservation"),
    Metric(name="final_loss", unit="nats", better="lower", says="mean training loss of the last tenth of the logs"),
    Metric(name="final_eval_loss", unit="nats", better="lower", says="last evaluation loss"),
    Metric(
        name="first_reward_margin", unit="nats", better="none", says="mean reward margin of the first tenth of the logs"
    ),
    Metric(name="final_reward_margin", unit="nats", better="higher", says="mean reward margin of the last tenth"),
    Metric(name="trainable_parameters", unit="parameters", better="none", says="parameters with a gradient"),
    Metric(name="total_parameters", unit="parameters", better="none", says="all parameters"),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def metric(name: str) -> Metric | None:
    """The metric's definition. `score.<task>.<metric>` is any lm-eval score; None for an unknown name."""
    if name.startswith("score.") and name.count(".") >= 2:
        return Metric(name=name, unit="score", better=score_direction(name), says="lm-eval score")
    return METRICS.get(name)


def score_direction(name: str) -> Direction:
    """lm-eval's direction by the metric's last part, for when no score record tells it."""
    lower = {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "ter", "brier_score"}
    return "lower" if name.rsplit(".", 1)[-1] in lower else "higher"

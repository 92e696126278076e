"""Public metrics of a trial: one definition, unit and direction each. `docs/measuring.md` says how each is taken."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower", "none"]

Judged = Literal["ratio", "difference", "most"]
"""How two sides are compared: the ratio of geometric means over runs; the difference of means, paired by seed where
seeds are shared; or the most over runs, for what is nearly deterministic."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """The smallest change that matters: a share of the reference's figure plus an amount in the metric's unit."""

    relative: float = 0.0
    absolute: float = 0.0

    def of(self, reference: float) -> float:
        """The margin around a figure, in the metric's unit."""
        return self.relative * abs(reference) + self.absolute


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A named figure. `better` is `none` where neither more nor less is good in itself.

    `judged` and `margin` say how a change of it becomes a verdict; a suite may set other margins. `varies`: judged by
    the most, and yet runs of one cell often lie further apart than the margin, so that one a side tells no change.
    """

    name: str
    unit: str
    better: Direction
    says: str
    judged: Judged = "ratio"
    margin: Margin = Margin(relative=0.01)
    varies: bool = False


_TAIL = Margin(relative=0.02)
_FAR_TAIL = Margin(relative=0.05)
_MEMORY = Margin(relative=0.02, absolute=2**20)
_POINT = Margin(absolute=0.01)
_LOSS = Margin(relative=0.01)

_ALL = (
    Metric(
        name="tokens_per_second", unit="tokens/s", better="higher", says="real tokens ÷ wall seconds, measured window"
    ),
    Metric(
        name="tokens_per_second_per_device",
        unit="tokens/s",
        better="higher",
        says="tokens_per_second ÷ devices that trained",
    ),
    Metric(name="padded_tokens_per_second", unit="tokens/s", better="higher", says="padded tokens ÷ wall seconds"),
    Metric(name="samples_per_second", unit="samples/s", better="higher", says="samples ÷ wall seconds (a pair is one)"),
    Metric(
        name="padding_share",
        unit="ratio",
        better="lower",
        says="1 − real ÷ padded tokens, measured window",
        judged="difference",
        margin=_POINT,
    ),
    Metric(name="step_seconds_p50", unit="s", better="lower", says="median wall time of an optimizer step"),
    Metric(name="step_seconds_p90", unit="s", better="lower", says="90th percentile of the same", margin=_TAIL),
    Metric(name="step_seconds_p99", unit="s", better="lower", says="99th percentile of the same", margin=_FAR_TAIL),
    Metric(name="device_step_seconds_p50", unit="s", better="lower", says="median device time of a step, CUDA events"),
    Metric(name="device_step_seconds_p90", unit="s", better="lower", says="90th percentile of the same", margin=_TAIL),
    Metric(
        name="device_step_seconds_p99", unit="s", better="lower", says="99th percentile of the same", margin=_FAR_TAIL
    ),
    Metric(
        name="data_share",
        unit="ratio",
        better="lower",
        says="share of step time spent waiting for data",
        judged="difference",
        margin=_POINT,
    ),
    Metric(name="measured_steps", unit="steps", better="none", says="optimizer steps in the measured window"),
    Metric(name="real_tokens", unit="tokens", better="none", says="real tokens of the measured window"),
    Metric(name="padded_tokens", unit="tokens", better="none", says="padded tokens of the measured window"),
    Metric(name="loss_tokens", unit="tokens", better="none", says="tokens that carried loss"),
    Metric(name="reference_tokens", unit="tokens", better="none", says="tokens forwarded through a reference model"),
    Metric(name="train_seconds", unit="s", better="lower", says="wall time of trainer.train(), saving left out"),
    Metric(
        name="startup_seconds",
        unit="s",
        better="lower",
        says="from the attempt's start to the first step",
        margin=_FAR_TAIL,
    ),
    Metric(
        name="import_seconds", unit="s", better="lower", says="start-up: importing the training stack", margin=_FAR_TAIL
    ),
    Metric(
        name="model_seconds",
        unit="s",
        better="lower",
        says="start-up: making or loading model and tokenizer",
        margin=_FAR_TAIL,
    ),
    Metric(
        name="data_seconds", unit="s", better="lower", says="start-up: making or loading the rows", margin=_FAR_TAIL
    ),
    Metric(
        name="trainer_seconds",
        unit="s",
        better="lower",
        says="start-up: building the trainer, tokenizing too",
        margin=_FAR_TAIL,
    ),
    Metric(
        name="first_step_seconds", unit="s", better="lower", says="start-up: the first optimizer step", margin=_FAR_TAIL
    ),
    Metric(name="trial_seconds", unit="s", better="lower", says="wall time of the whole attempt", margin=_FAR_TAIL),
    Metric(
        name="peak_host_memory",
        unit="bytes",
        better="lower",
        says="peak unique set size of the worker",
        judged="most",
        margin=_MEMORY,
        varies=True,
    ),
    Metric(
        name="peak_device_memory",
        unit="bytes",
        better="lower",
        says="NVML used, peak minus before",
        judged="most",
        margin=_MEMORY,
    ),
    Metric(
        name="peak_allocated",
        unit="bytes",
        better="lower",
        says="torch allocator's peak",
        judged="most",
        margin=_MEMORY,
    ),
    Metric(
        name="peak_reserved",
        unit="bytes",
        better="lower",
        says="torch allocator's peak reservation",
        judged="most",
        margin=_MEMORY,
    ),
    Metric(
        name="weight_memory",
        unit="bytes",
        better="lower",
        says="weights, from their tensors, at steady state",
        judged="most",
        margin=_MEMORY,
    ),
    Metric(
        name="gradient_memory",
        unit="bytes",
        better="lower",
        says="gradients, from their tensors, at steady state",
        judged="most",
        margin=_MEMORY,
    ),
    Metric(
        name="optimizer_memory",
        unit="bytes",
        better="lower",
        says="optimizer state, from its tensors",
        judged="most",
        margin=_MEMORY,
    ),
    Metric(
        name="reference_memory",
        unit="bytes",
        better="lower",
        says="a reference model's weights and buffers, from its tensors",
        judged="most",
        margin=_MEMORY,
    ),
    Metric(
        name="activation_memory",
        unit="bytes",
        better="lower",
        says="the window's peak allocated − weights, buffers, reference, gradients and optimizer state",
        judged="most",
        margin=_MEMORY,
    ),
    Metric(name="model_flops", unit="FLOP", better="none", says="FLOPs the mathematics ask for, measured window"),
    Metric(name="hardware_flops", unit="FLOP", better="none", says="FLOPs done: recomputation and padding included"),
    Metric(name="model_flops_per_second", unit="FLOP/s", better="higher", says="model_flops ÷ wall seconds"),
    Metric(name="mfu", unit="ratio", better="higher", says="model_flops_per_second ÷ the device's peak"),
    Metric(name="hfu", unit="ratio", better="none", says="hardware_flops ÷ wall seconds ÷ the device's peak"),
    Metric(name="energy", unit="J", better="lower", says="energy of the device over the measured window", margin=_TAIL),
    Metric(
        name="energy_per_token",
        unit="J/token",
        better="lower",
        says="energy ÷ real tokens, measured window",
        margin=_TAIL,
    ),
    Metric(name="mean_power", unit="W", better="none", says="mean power draw of the device, measured window"),
    Metric(name="mean_device_utilization", unit="ratio", better="none", says="mean share of time kernels ran, by NVML"),
    Metric(name="mean_sm_clock", unit="MHz", better="none", says="mean SM clock, measured window"),
    Metric(
        name="max_temperature",
        unit="°C",
        better="lower",
        says="highest temperature of the device",
        judged="difference",
        margin=Margin(absolute=3),
    ),
    Metric(
        name="loss_spikes",
        unit="spikes",
        better="lower",
        says="logged losses far above those before them",
        judged="difference",
        margin=Margin(absolute=0.5),
    ),
    Metric(name="max_grad_norm", unit="", better="none", says="highest logged gradient norm after warm-up"),
    Metric(
        name="final_loss",
        unit="nats",
        better="lower",
        says="mean training loss of the last tenth of the logs",
        judged="difference",
        margin=_LOSS,
    ),
    Metric(
        name="final_eval_loss",
        unit="nats",
        better="lower",
        says="last evaluation loss",
        judged="difference",
        margin=_LOSS,
    ),
    Metric(
        name="first_reward_margin",
        unit="nats",
        better="none",
        says="mean reward margin of the first tenth of the logs",
        judged="difference",
        margin=Margin(absolute=0.05),
    ),
    Metric(
        name="final_reward_margin",
        unit="nats",
        better="higher",
        says="mean reward margin of the last tenth",
        judged="difference",
        margin=Margin(absolute=0.05),
    ),
    Metric(name="trainable_parameters", unit="parameters", better="none", says="parameters with a gradient"),
    Metric(name="total_parameters", unit="parameters", better="none", says="all parameters"),
)

OF_A_METHOD = ("final_loss", "final_eval_loss", "first_reward_margin", "final_reward_margin")
"""Each method's own quantity: DPO's loss and ORPO's are different functions, so none is better across methods."""

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def metric(name: str) -> Metric | None:
    """The metric's definition. `score.<task>.<metric>` is any lm-eval score; None for an unknown name."""
    if name.startswith("score.") and name.count(".") >= 2:
        return Metric(
            name=name,
            unit="score",
            better=score_direction(name),
            says="lm-eval score",
            judged="difference",
            margin=_POINT,
        )
    return METRICS.get(name)


def is_most(name: str) -> bool:
    """Whether a metric is judged by the most over runs, with the range of what was seen in place of an interval."""
    known = metric(name)
    return known is not None and known.judged == "most"


def varies(name: str) -> bool:
    """Whether a metric is judged by the most over runs though runs of one cell vary by more than its margin."""
    known = metric(name)
    return known is not None and known.varies


def middle(values: Sequence[float], judged: Judged) -> float:
    """One figure for several runs, as verdicts judge the metric: the geometric mean of what varies by factors, the most
    of memory, else the mean.
    """
    if judged == "most" or len(set(values)) == 1:  # a mean of equal values may round to another
        return max(values)
    if judged == "ratio" and min(values) > 0:
        return statistics.geometric_mean(values)
    return statistics.fmean(values)


def score_direction(name: str) -> Direction:
    """lm-eval's direction by the metric's last part, for when no score record tells it."""
    lower = {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "ter", "brier_score"}
    return "lower" if name.rsplit(".", 1)[-1] in lower else "higher"

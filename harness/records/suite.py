"""The suite: what a YAML file declares, once it has been read and checked.

`harness.suite` builds these from YAML and knows where each value stood; everybody else only reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PrivateAttr

from harness.errors import Location
from harness.records.metrics import Margin
from harness.records.units import parse_amount

Format = Literal["language_modeling", "prompt_completion", "preference"]
"""TRL's dataset formats; each may be conversational (lists of messages) or plain text."""

Reference = Literal["explicit", "shared"]
"""Where a method's reference comes from: a second model beside the policy, or the policy with its adapter off."""

Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]


Step = str | int
"""A key, a field path (`train.packing`, however the file nests it), or a position in a list, from 0."""

Find = Callable[[tuple[Step, ...]], Location]

MOST_REPLICATES = 10
"""Seeds of a cell at most where a suite asks for replicates `until` and sets no `max`."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a suite's values stand in its file. No part of what a suite says: all are equal."""

    find: Find | None = field(default=None, compare=False, repr=False)


class Frozen(BaseModel):
    """A strict, immutable record: unknown keys are errors, nothing is coerced from another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class ShapeModel(Frozen):
    """A published architecture by name, with random weights from a seed and a tokenizer made in place."""

    shape: str = Field(description="Name of a shape: tiny, qwen2.5-0.5b, llama-3.2-1b, … (`harness schema` lists all).")
    seed: int = Field(default=0, ge=0, description="Seed of the random weights.")
    overrides: dict[str, JsonValue] = Field(
        default_factory=dict, description="Fields of the architecture's config to change, e.g. num_hidden_layers: 2."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="float32", description="Dtype of the weights.")
    attn_implementation: str | None = Field(default=None, description="Attention kernel asked of transformers.")


class HubModel(Frozen):
    """A model on the Hugging Face hub."""

    hub: str = Field(description="Repository id, e.g. Qwen/Qwen2.5-0.5B.")
    revision: str | None = Field(default=None, description="Commit, tag or branch; pin a commit to be reproducible.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="float32", description="Dtype of the weights.")
    attn_implementation: str | None = Field(default=None, description="Attention kernel asked of transformers.")


class PathModel(Frozen):
    """A model folder on this machine, as `save_pretrained` writes it."""

    path: str = Field(description="Folder with config.json and weights; relative to the suite file.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="float32", description="Dtype of the weights.")
    attn_implementation: str | None = Field(default=None, description="Attention kernel asked of transformers.")


Model = ShapeModel | HubModel | PathModel


class DataCommon(Frozen):
    """What every data source has."""

    format: Literal["auto", "language_modeling", "prompt_completion", "preference"] = Field(
        default="auto", description="TRL dataset format; auto takes what the method wants."
    )
    conversational: bool = Field(default=False, description="Rows as lists of messages, rendered by the chat template.")
    rows: int | None = Field(default=None, ge=1, description="Use at most so many rows (chosen by seed).")
    eval_fraction: float = Field(default=0.0, ge=0.0, lt=1.0, description="Share of rows kept for evaluation, by hash.")
    seed: int = Field(default=0, ge=0, description="Seed of the split, of the choice of rows and of generated data.")


class SourceData(DataCommon):
    """A source made in place: `pydoc` or `arithmetic`."""

    source: str = Field(description="Name of a built-in source: pydoc, arithmetic.")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="Options of the source itself.")


class PathData(DataCommon):
    """A file of rows: .jsonl, .parquet or .csv."""

    path: str = Field(description="File of rows; relative to the suite file.")
    columns: dict[str, str] = Field(default_factory=dict, description="Expected column → the file's own column.")


class HubData(DataCommon):
    """A dataset on the Hugging Face hub."""

    hub: str = Field(description="Repository id, e.g. trl-lib/ultrafeedback_binarized.")
    revision: str | None = Field(default=None, description="Commit, tag or branch; pin a commit to be reproducible.")
    config: str | None = Field(default=None, description="Configuration (subset) of the dataset.")
    split: str = Field(default="train", description="Split to read.")
    columns: dict[str, str] = Field(default_factory=dict, description="Expected column → the dataset's own column.")


Data = SourceData | PathData | HubData


class Init(Frozen):
    """Where a cell's weights come from, if not from its model alone."""

    stage: str = Field(description="Name of a stage of this suite; its checkpoint is the starting point.")


class Measure(Frozen):
    """How a trial is measured."""

    warmup_steps: int = Field(default=5, ge=0, description="Optimizer steps left out of the measured window.")
    device_hz: float = Field(
        default=10.0, ge=10.0, le=100.0, description="Samples per second of the device's power, clocks and memory."
    )


class Limits(Frozen):
    """What a trial may use, and what happens when it fails."""

    timeout: float | str = Field(default="1h", description="Wall time of one attempt: seconds, or 90s, 10m, 2h.")
    host_memory: str | None = Field(default=None, description="Host memory of one worker (USS), e.g. 8GiB.")
    diverged: Literal["stop", "report"] = Field(
        default="stop",
        description="stop ends a trial whose loss is not finite any more; report only says so.",
    )
    max_loss: float | None = Field(default=None, gt=0, description="A logged loss above it ends the trial as diverged.")
    max_grad_norm: float | None = Field(
        default=None, gt=0, description="A logged gradient norm above it (after warm-up) ends the trial as diverged."
    )
    retries: int = Field(
        default=1, ge=0, le=10, description="More attempts after `crashed`, but for what is certain to end so again."
    )
    expect: Literal["ok", "oom", "diverged", "timeout"] = Field(
        default="ok", description="How a trial is meant to end; any other end is a failure, and this one is none."
    )


class Setup(Frozen):
    """A part of a trial's configuration. `base` is one, each stage is one; matrix levels override its fields."""

    method: str | None = Field(default=None, description="Training method: sft, dpo, orpo.")
    model: Model | None = Field(default=None, description="Exactly one of shape, hub, path; and options.")
    data: Data | None = Field(default=None, description="Exactly one of source, hub, path; and options.")
    train: dict[str, JsonValue] = Field(default_factory=dict, description="Fields of the method's TRL config class.")
    lora: dict[str, JsonValue] | None = Field(default=None, description="Fields of PEFT's LoraConfig; null trains all.")
    reference: Reference | None = Field(
        default=None,
        description="DPO's reference: explicit holds a second model, shared turns the adapter off; null: as TRL does.",
    )
    init: Init | None = Field(default=None, description="Start from a stage's checkpoint.")
    environment: str | None = Field(
        default=None, description="One of this suite's `environments` that it trains in; null: the harness's own."
    )
    measure: Measure = Field(default_factory=Measure, description="How the trial is measured.")
    limits: Limits = Field(default_factory=Limits, description="Time limit and retries.")
    checkpoint: Literal["keep", "drop"] = Field(default="keep", description="drop deletes it once it is scored.")
    seed: int = Field(default=0, ge=0, description="Seed of a stage's training; cells take theirs from `replicates`.")


def _precision(value: Any) -> Any:
    """One verdict on the whole value, as the others below."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        parse_amount(value)
        return value
    raise ValueError("must be a share of the mean, e.g. 2%, or an amount in the metric's unit above 0")


class Until(Frozen):
    """How sure a cell's figure must be before it gets no more replicates."""

    metric: str = Field(description="Metric that is to be known so well, e.g. tokens_per_second.")
    ci: Annotated[str | float, BeforeValidator(_precision)] = Field(
        description="Half the width of its mean's 95% interval, at most: a share of the mean, e.g. 2%, or an amount."
    )


class Replicates(Frozen):
    """The same cell again, with other seeds."""

    seeds: list[int] = Field(
        default_factory=lambda: [0], min_length=1, description="One trial per seed and cell; with until, at first."
    )
    until: Until | None = Field(
        default=None, description="More seeds for the cells, and only those, whose figure is not known well enough yet."
    )
    max: int | None = Field(default=None, ge=2, description="Seeds of a cell at most; 10, with until.")

    @property
    def most(self) -> int:
        """How many seeds a cell may come to."""
        return len(self.seeds) if self.until is None else max(len(self.seeds), self.max or MOST_REPLICATES)


def _when_scored(value: Any) -> Any:
    """One verdict on the whole value, where pydantic would give one for each form it may have."""
    if value in ("end", "checkpoint") or (type(value) is int and value > 0):
        return value
    raise ValueError("must be end, checkpoint or a number of optimizer steps above 0")


def _device(value: Any) -> Any:
    """One verdict on the whole value, as above."""
    if value in ("auto", "follow") or (type(value) is int and value >= 0):
        return value
    raise ValueError("must be auto, follow or the number of a device, from 0")


def _template(value: Any) -> Any:
    """One verdict on the whole value, as above."""
    if isinstance(value, bool) or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError("must be true, false or the name of one of the tokenizer's chat templates")


class Score(Frozen):
    """How checkpoints are scored by lm-eval."""

    tasks: list[str] = Field(
        min_length=1,
        description="Shipped tasks; lm-eval's tasks, groups and tags; or paths of task YAML files and folders of them.",
    )
    backend: Literal["auto", "hf", "vllm"] = Field(default="auto", description="What runs the model.")
    environment: str | None = Field(
        default=None, description="Environment that vLLM runs in, of this suite or built in; null: vllm or vllm-cpu."
    )
    engine: dict[str, JsonValue] = Field(
        default_factory=dict, description="Settings of vLLM's engine: max_model_len, tensor_parallel_size, …."
    )
    parity: int | None = Field(
        default=None, ge=1, description="Ask so many documents of each score again with transformers, and compare."
    )
    limit: int | None = Field(default=None, ge=1, description="Score at most so many documents of each task.")
    num_fewshot: int | None = Field(default=None, ge=0, description="Few-shot examples; null takes the task's own.")
    apply_chat_template: Annotated[bool | str, BeforeValidator(_template)] = Field(
        default=False,
        description="Render prompts with the tokenizer's chat template, or with its template of this name.",
    )
    system_instruction: str | None = Field(default=None, description="System prompt, before each task's description.")
    fewshot_as_multiturn: bool | None = Field(
        default=None, description="Few-shot examples as turns of a chat; null: where the chat template is applied."
    )
    confirm_run_unsafe_code: bool = Field(default=False, description="Run tasks that execute what the model writes.")
    batch_size: int = Field(default=64, ge=1, description="Documents per forward of the hf backend.")
    device: Annotated[Literal["auto", "follow"] | Annotated[int, Field(ge=0)], BeforeValidator(_device)] = Field(
        default="auto",
        description="auto scores while training goes on, on a GPU of its own where there are two alike; follow: after "
        "training; a number: on this GPU of those that may be used, as nvidia-smi counts them.",
    )
    floor: bool = Field(default=True, description="Score the untrained model too, as the floor.")
    every: Annotated[Literal["end", "checkpoint"] | Annotated[int, Field(ge=1)], BeforeValidator(_when_scored)] = Field(
        default="end",
        description="Which weights are scored: those training ends with; checkpoint: those of train.save_steps (or "
        "save_strategy: epoch) too; a number: those of every so many optimizer steps too.",
    )


class Decide(Frozen):
    """What the answer maximises or minimises, among the cells that keep the bounds."""

    maximise: str | None = Field(default=None, description="Metric, e.g. score.arithmetic_mc.acc or tokens_per_second.")
    minimise: str | None = Field(default=None, description="Metric to minimise instead.")
    keep: dict[str, str] = Field(default_factory=dict, description='Metric → bound, e.g. "<= 24 GiB".')


class Level(Frozen):
    """One value of an axis: a name and the field paths it sets, e.g. {"train.packing": true}."""

    name: str
    sets: dict[str, JsonValue]


class Axis(Frozen):
    """What varies. `field` is the path it sets, or null for an axis of named override sets."""

    name: str
    field: str | None = None
    named: bool = False  # the author named the levels; else names are made from values
    levels: tuple[Level, ...] = Field(min_length=1)


class Include(Frozen):
    """One more cell: chosen levels by axis name, then overrides by field path."""

    name: str | None = None
    levels: dict[str, str] = Field(default_factory=dict)
    sets: dict[str, JsonValue] = Field(default_factory=dict)


class Selector(Frozen):
    """Chooses cells: every entry must match, by level of a named axis or by value of a field path."""

    levels: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    fields: dict[str, tuple[JsonValue, ...]] = Field(default_factory=dict)


class Needs(Frozen):
    """What a machine must have for a claim to be about it."""

    device: str | None = Field(default=None, description="cuda, or what the GPU's name must hold, e.g. A100.")
    device_memory: str | None = Field(default=None, description="Memory the GPU must have, e.g. 40 GiB.")


ClaimKind = Literal["ratio", "difference", "value"]


class Claim(Frozen):
    """A sentence about a ratio, a difference or a figure, that the trials of a suite can confirm or refute.

    The true value is said to lie from `low` to `high` (null: no bound on this side), in the metric's unit unless it is
    a ratio. `axis` is the axis or field path whose two `levels` are compared; null where a figure itself is claimed,
    of the cells that `candidate` chooses then.
    """

    says: str
    source: str
    metric: str
    kind: ClaimKind
    low: float | None = None
    high: float | None = None
    axis: str | None = None
    levels: tuple[str, str] = ("", "")
    reference: Selector | None = None
    candidate: Selector | None = None
    where: Selector | None = None
    needs: Needs = Field(default_factory=Needs)


class Suite(Frozen):
    """One question and the experiment that answers it."""

    name: Slug = Field(description="The suite's name; its run folders lie in results/<name>/.")
    question: str = Field(description="The question, in words; the report answers it.")
    file: Path
    base: Setup = Field(description="The configuration that every cell and stage starts from.")
    stages: dict[str, Setup] = Field(default_factory=dict, description="Trainings that cells start from, shared.")
    matrix: tuple[Axis, ...] = Field(default=(), description="What varies: axis → levels. No axis: one cell.")
    include: tuple[Include, ...] = Field(default=(), description="More cells: levels by axis, then fields by path.")
    exclude: tuple[Selector, ...] = Field(default=(), description="Combinations that do not run.")
    replicates: Replicates = Field(
        default_factory=lambda: Replicates(seeds=[0]), description="Seeds of every cell: {seeds: [0, 1]} or a number."
    )
    score: Score | None = Field(default=None, description="What lm-eval scores the checkpoints on.")
    baseline: Selector | None = Field(default=None, description="The cells that the others are compared with.")
    environments: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict,
        description="Python environments of the suite's own: name → requirements, overrides, python, harness, needs.",
    )
    decide: Decide | None = Field(default=None, description="What the answer maximises or minimises, and its bounds.")
    claims: tuple[Claim, ...] = Field(
        default=(), description="Sentences with a source that the trials confirm or refute: says, source, compare, …."
    )
    margins: dict[str, Margin] = Field(
        default_factory=dict,
        description="The smallest change that matters, by metric: 3%, 0.02, 2% + 64MiB; else the metric's own.",
    )

    _places: Places = PrivateAttr(default=Places())

    def placed(self, find: Find) -> Suite:
        """The suite, knowing where its values stand."""
        self._places = Places(find)
        return self

    def where(self, *steps: Step) -> Location:
        """Where the value at these steps stands, or the nearest thing around it: `where("matrix", "train.packing", 1)`.

        The file alone for a suite that was not read from one.
        """
        return self._places.find(steps) if self._places.find else Location(file=self.file)

"""The plan: which trials a suite comes to, in the order they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import Problem

if TYPE_CHECKING:  # who only reads what a plan came to needs no pydantic: a process that samples devices starts sooner
    from harness.records.suite import Claim, Step, Suite

Kind = Literal["cell", "stage", "floor", "scored", "imported"]
"""`cell`: of the matrix; `stage`: a training that cells start from; `floor`: the model as it comes, untrained.

No plan holds the others, which are of no suite: `scored` is a model that was only scored, `imported` one whose scores
somebody else's lm-eval wrote.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One configuration to be measured. `config` is resolved and JSON-able, TRL's own defaults left out.

    `id` is a hash of what decides the result (see `harness.plan.identity`); it never depends on
    the file's order or on which other cells exist. `needs` is the id of the stage cell it starts from.
    `origin` are the steps to its own entry in the suite's file: of a stage or an included cell, none of the matrix.
    """

    id: str
    name: str
    kind: Kind
    levels: Mapping[str, str]
    config: Mapping[str, Any]
    needs: str | None = None
    origin: tuple[Step, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One cell with one seed: the unit that is trained, measured and resumed."""

    id: str
    name: str
    cell: Cell
    seed: int
    needs: str | None = None  # id of the stage trial whose checkpoint it starts from

    @property
    def expect(self) -> str:
        """The outcome it is meant to have, `limits.expect`; what trains nothing is always meant to end `ok`."""
        limits = self.cell.config.get("limits") or {}
        return str(limits.get("expect", "ok")) if self.cell.config.get("method") else "ok"


@dataclass(frozen=True, kw_only=True, slots=True)
class Excluded:
    """A combination that does not run, and the reason in words."""

    name: str
    levels: Mapping[str, str]
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedClaim:
    """A claim with the cells that can tell: `pairs` of ids, reference and candidate, alike but for what is compared.

    A claim about a figure itself has the same cell on both sides. `lacking`: why there are none, where what its cells
    need is not installed. `alone`: names of cells on one side that have no counterpart.
    """

    claim: Claim
    pairs: tuple[tuple[str, str], ...]
    lacking: str = ""
    alone: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Trials in running order: stages before what needs them, replicates interleaved (A B A B)."""

    suite: Suite
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    excluded: tuple[Excluded, ...] = ()
    warnings: tuple[Problem, ...] = ()
    baseline: tuple[str, ...] = ()  # ids of the cells that the suite's `baseline` chooses, in the matrix's order
    claims: tuple[PlannedClaim, ...] = ()

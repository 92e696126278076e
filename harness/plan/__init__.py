"""Suite → Plan: matrix, exclusions, stages, identity, names, order, selection."""

from harness.plan.estimates import estimate, estimates
from harness.plan.expand import Attempt, attempt, expand
from harness.plan.identity import trial_id
from harness.plan.places import place_of
from harness.plan.selection import select
from harness.plan.spec import spec_of
from harness.plan.table import Row, counts, rows, state_of, to_json
from harness.plan.unready import unready

__all__ = [
    "Attempt",
    "Row",
    "attempt",
    "counts",
    "estimate",
    "estimates",
    "expand",
    "place_of",
    "rows",
    "select",
    "spec_of",
    "state_of",
    "to_json",
    "trial_id",
    "unready",
]

"""Suite → Plan: matrix, exclusions, stages, identity, names, order, selection; more replicates of what it has."""

from harness.plan.estimates import estimate, estimates
from harness.plan.expand import Attempt, attempt, expand
from harness.plan.halved import cannot_train, halved, stranded, without_gpu
from harness.plan.identity import trial_id
from harness.plan.more import grown, next_seed, seeds_of, with_more, with_next
from harness.plan.places import place_of
from harness.plan.selection import select
from harness.plan.spec import spec_of
from harness.plan.table import Row, counts, rows, state_of, to_json
from harness.plan.too_large import beyond_device, too_large
from harness.plan.unready import unready

__all__ = [
    "Attempt",
    "Row",
    "attempt",
    "beyond_device",
    "cannot_train",
    "counts",
    "estimate",
    "estimates",
    "expand",
    "grown",
    "halved",
    "next_seed",
    "place_of",
    "rows",
    "seeds_of",
    "select",
    "spec_of",
    "state_of",
    "stranded",
    "to_json",
    "too_large",
    "trial_id",
    "unready",
    "with_more",
    "with_next",
    "without_gpu",
]

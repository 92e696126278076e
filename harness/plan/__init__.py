"""Suite → Plan: matrix, exclusions, stages, identity, names, order, selection."""

from harness.plan.expand import expand
from harness.plan.identity import trial_id
from harness.plan.places import place_of
from harness.plan.selection import select
from harness.plan.spec import spec_of
from harness.plan.table import Row, counts, rows, state_of, to_json

__all__ = ["Row", "counts", "expand", "place_of", "rows", "select", "spec_of", "state_of", "to_json", "trial_id"]

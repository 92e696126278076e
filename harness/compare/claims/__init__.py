"""A suite's claims beside what its trials measured; pure functions."""

from __future__ import annotations

from harness.compare.claims.verdicts import claims_of

__all__ = ["claims_of"]

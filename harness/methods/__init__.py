"""Training methods by name. A new method is one file and one line here; importing this stays light."""

from __future__ import annotations

from harness.methods.dpo import DPO
from harness.methods.method import OWNED, Method
from harness.methods.orpo import ORPO
from harness.methods.sft import SFT

METHODS: dict[str, Method] = {method.name: method for method in (SFT, DPO, ORPO)}

__all__ = ["METHODS", "OWNED", "Method"]

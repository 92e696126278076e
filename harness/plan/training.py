"""A cell's `train` and `lora`: what they come to for its method, and what TRL's defaults would add."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import Problem
from harness.methods import METHODS
from harness.methods.catalog import Catalog
from harness.methods.ranges import contradictions
from harness.plan.canonical import canonical
from harness.plan.draft import Config
from harness.plan.saving import deciding


@dataclass(slots=True)
class Training:
    """Settles and checks `train` by method, with the fields of the installed TRL where a catalogue is at hand.

    Fields are looked at one by one, and each value of a field once, so that a large matrix costs little.
    """

    catalog: Catalog | None
    checked: dict[tuple[str, str, type, str, bool], Problem | None] = field(default_factory=dict)
    defaults: dict[str, dict[str, str]] = field(default_factory=dict)

    def default(self, method: str | None, name: str) -> Any:
        """TRL's declared default of a field; None where it is not known."""
        known = self._fields(method).get(name)
        return None if known is None else known.default

    def settle(self, config: Config) -> None:
        """Replaces `train` by what it asks of the cell's own method, with the harness's defaults filled in.

        What asks for nothing goes: null, unless null is a value of the field and not its default (`max_length: null`);
        and a switch that is off and that the method does not have (`packing: false` for DPO).
        """
        method = config["method"]
        asked = METHODS[method].accepted({**METHODS[method].defaults, **config["train"]})
        config["train"] = {name: value for name, value in asked.items() if not self._asks_nothing(method, name, value)}

    def problems(self, config: Config) -> list[tuple[str, Problem]]:
        """What is wrong with a settled `train` and with `lora`, by field path."""
        method, lora = config["method"], config["lora"]
        found = [
            (f"train.{name}", self._check(method, name, value, lora is not None))
            for name, value in config["train"].items()
        ]
        found += [(f"lora.{name}", self._check("", name, value, True)) for name, value in (lora or {}).items()]
        return [(path, one) for path, one in found if one is not None] + contradictions(config["train"])

    def beyond_defaults(self, config: Config) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """`train` and `lora` without what TRL and PEFT would set anyway: equal for cells that do the same."""
        train = self._beyond(config["method"], deciding(config["train"]))
        lora = config["lora"]
        return train, None if lora is None else self._beyond("", lora)

    def _beyond(self, method: str, values: Mapping[str, Any]) -> dict[str, Any]:
        if method not in self.defaults:
            known = self._fields(method) if method else self.catalog.lora if self.catalog else {}
            self.defaults[method] = {name: canonical(found.default) for name, found in known.items()}
        defaults = self.defaults[method]
        return {name: value for name, value in values.items() if defaults.get(name) != canonical(value)}

    def _fields(self, method: str | None) -> Mapping[str, Any]:
        return {} if self.catalog is None or method is None else self.catalog.methods.get(method, {})

    def _asks_nothing(self, method: str, name: str, value: Any) -> bool:
        if value is not None and value is not False:
            return False
        known = self._fields(method).get(name)
        if known is not None:
            return value is None and (known.default is None or "null" not in known.types)
        if self.catalog is None:
            return value is None
        elsewhere = [fields[name].default for fields in self.catalog.methods.values() if name in fields]
        return bool(elsewhere) and (value is None or not any(elsewhere))

    def _check(self, method: str, name: str, value: Any, lora: bool) -> Problem | None:
        key = (method, name, type(value), canonical(value), lora)
        if key not in self.checked:
            self.checked[key] = self._look(method, name, value, lora)
        return self.checked[key]

    def _look(self, method: str, name: str, value: Any, lora: bool) -> Problem | None:
        if self.catalog is not None:
            if not method:
                return self.catalog.check_lora(name, value)
            return self.catalog.check(method, name, value, lora=lora)
        why = METHODS[method].refused({name: value}, lora=lora).get(name) if method else None
        return Problem(what=f"{method} does not take train.{name}: {canonical(value)}", why=why) if why else None

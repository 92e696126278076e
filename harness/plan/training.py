"""A cell's `train` and `lora`: what they come to for its method, and what TRL's defaults would add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import Problem
from harness.methods import METHODS
from harness.methods.catalog import Catalog, refusal
from harness.methods.together import BESIDE, contradictions
from harness.plan.canonical import canonical
from harness.plan.draft import Config
from harness.plan.saving import deciding


@dataclass(slots=True)
class Training:
    """Settles and checks `train` by method, with the fields of the cell's own TRL where its catalogue is at hand.

    Fields are looked at one by one, and each value of a field once, so that a large matrix costs little. A cell whose
    environment has no catalogue yet is looked at with the installed TRL's; what only that one refuses is no problem but
    is kept in `unsettled`, the field paths by environment.
    """

    catalog: Catalog | None
    checked: dict[tuple[str | None, str, str, type, str, bool], Problem | None] = field(default_factory=dict)
    defaults: dict[tuple[str | None, str], dict[str, str]] = field(default_factory=dict)
    unsettled: dict[str, dict[str, Problem]] = field(default_factory=dict)

    def default(self, config: Mapping[str, Any], name: str) -> Any:
        """TRL's declared default of a field of `train` for a cell; None where it is not known."""
        known = self._fields(config["method"], config["environment"]).get(name)
        return None if known is None else known.default

    def known(self, environment: str | None) -> Catalog | None:
        """The catalogue that cells of an environment are looked at with."""
        return self.catalog.within(environment) if self.catalog is not None else None

    def settle(self, config: Config) -> None:
        """Replaces `train` by what it asks of the cell's own method, with the harness's defaults filled in.

        What asks for nothing goes: null, unless null is a value of the field and not its default (`max_length: null`);
        and a switch that is off and that the method does not have (`packing: false` for DPO).
        """
        method = config["method"]
        asked = METHODS[method].accepted({**METHODS[method].defaults, **config["train"]})
        known = self.known(config["environment"])
        config["train"] = {
            name: value
            for name, value in asked.items()
            if not (self._asks_nothing(known, method, name, value) or _says_what_is_anyway(name, value, config, asked))
        }

    def problems(self, config: Config) -> list[tuple[str, Problem]]:
        """What is wrong with a settled `train` and with `lora`, by field path."""
        method, lora, within = config["method"], config["lora"], config["environment"]
        found = [
            (f"train.{name}", self._check(within, method, name, value, lora is not None))
            for name, value in config["train"].items()
        ]
        found += [(f"lora.{name}", self._check(within, "", name, value, True)) for name, value in (lora or {}).items()]
        wrong = [(path, one) for path, one in found if one is not None]
        paths = {path for path, _ in wrong}
        sound: Config = {**config, "train": _without(config["train"], "train", paths)}
        lora = None if lora is None else _without(lora, "lora", paths)
        together = contradictions(method, sound["train"], lora, self._getter(sound), own=self._is_own(within))
        return wrong + [(path, one) for path, one in together if not paths & {path, *BESIDE.get(path, ())}]

    def _is_own(self, within: str | None) -> bool:
        """Whether an environment's libraries are known to be of the harness's own versions."""
        if within is None or self.catalog is None:
            return within is None
        there = self.catalog.beside.get(within)
        return there is not None and there.versions == self.catalog.versions

    def _getter(self, config: Config) -> Callable[[str], Any]:
        """Fields of a settled `train` by name, with TRL's declared defaults."""
        train = config["train"]
        return lambda name: train[name] if name in train else self.default(config, name)

    def beyond_defaults(self, config: Config) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """`train` and `lora` without what TRL and PEFT would set anyway: equal for cells that do the same."""
        within = config["environment"]
        train = self._beyond(within, config["method"], deciding(config["train"]))
        lora = config["lora"]
        return train, None if lora is None else self._beyond(within, "", lora)

    def _beyond(self, within: str | None, method: str, values: Mapping[str, Any]) -> dict[str, Any]:
        key = (within, method)
        if key not in self.defaults:
            catalog = self.known(within)
            known = self._fields(method, within) if method else catalog.lora if catalog else {}
            self.defaults[key] = {name: canonical(found.default) for name, found in known.items()}
        defaults = self.defaults[key]
        return {name: value for name, value in values.items() if defaults.get(name) != canonical(value)}

    def _fields(self, method: str | None, within: str | None) -> Mapping[str, Any]:
        catalog = self.known(within)
        return {} if catalog is None or method is None else catalog.methods.get(method, {})

    def _asks_nothing(self, catalog: Catalog | None, method: str, name: str, value: Any) -> bool:
        if value is not None and value is not False:
            return False
        known = catalog.methods.get(method, {}).get(name) if catalog is not None else None
        if known is not None:
            return value is None and (known.default is None or "null" not in known.types)
        if catalog is None:
            return value is None
        elsewhere = [fields[name].default for fields in catalog.methods.values() if name in fields]
        return bool(elsewhere) and (value is None or not any(elsewhere))

    def _check(self, within: str | None, method: str, name: str, value: Any, lora: bool) -> Problem | None:
        key = (within, method, name, type(value), canonical(value), lora)
        if key not in self.checked:
            self.checked[key] = self._look(within, method, name, value, lora)
        return self.checked[key]

    def _look(self, within: str | None, method: str, name: str, value: Any, lora: bool) -> Problem | None:
        catalog = self.known(within)
        if catalog is not None:
            problem = catalog.check(method, name, value, lora=lora) if method else catalog.check_lora(name, value)
            return problem and self._of_environment(problem, within, method, name, value, lora)
        why = METHODS[method].refused({name: value}, lora=lora).get(name) if method else None
        return Problem(what=f"{method} does not take train.{name}: {canonical(value)}", why=why) if why else None

    def _of_environment(
        self, problem: Problem, within: str | None, method: str, name: str, value: Any, lora: bool
    ) -> Problem | None:
        """The problem with the TRL that it is of; kept aside where the environment's own TRL is not known yet."""
        if within is None or self.catalog is None or (method and refusal(method, name, value, lora=lora)):
            return problem
        if within in self.catalog.beside:
            package = "trl" if method else "peft"
            version = self.catalog.beside[within].versions.get(package, "?")
            return replace(problem, what=f"{problem.what} in environment {within!r} ({package} {version})")
        self.unsettled.setdefault(within, {}).setdefault(f"{'train' if method else 'lora'}.{name}", problem)
        return None


def _without(values: Mapping[str, Any], root: str, wrong: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if f"{root}.{name}" not in wrong}


def _says_what_is_anyway(name: str, value: Any, config: Config, train: Mapping[str, Any]) -> bool:
    """Whether a value comes to what leaving it out does: noise of none, packing of no rows or as in training."""
    if name == "neftune_noise_alpha":
        return bool(value == 0)
    if name != "eval_packing":
        return False
    data = config["data"]
    return value is bool(train.get("packing")) or (isinstance(data, dict) and not data.get("eval_fraction"))

"""What an environment is to be: requirements, overrides and a Python, and the hash that names it."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.environments import own
from harness.environments.redact import without_secrets
from harness.errors import InputError, Location, Problem, did_you_mean
from harness.records.fingerprint import of_value

SCHEME = 1
"""Counts up whenever environments are made in another way, so that none made in the old way is taken for a new one."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_PYTHON = re.compile(r"3\.\d{1,2}(\.\d{1,3})?")
_REQUIREMENT = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*(?:$|[<>=!~;@(].*)", re.DOTALL
)


class Declaration(BaseModel):
    """A named environment, as a suite or this program declares it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    """Letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit."""
    about: str = ""
    """What it is for, in one line; not part of its identity."""
    requirements: tuple[str, ...] = Field(min_length=1)
    """What to install, as pip's requirements: `vllm>=0.32,<0.33`."""
    overrides: tuple[str, ...] = ()
    """Requirements that replace whatever packages ask for; `NAME ; sys_platform == "never"` leaves one out."""
    python: str | None = None
    """`3.12` or `3.12.4`; None for the Python that runs the harness."""
    harness: bool = False
    """Whether this program runs in it: what its child processes need is installed too."""
    needs: Literal["cuda"] | None = None
    """What the machine must have; not part of its identity."""

    @field_validator("requirements", "overrides", mode="before")
    @classmethod
    def _sequence(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("name")
    @classmethod
    def _named(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("letters a to z, digits, '.', '_' and '-', at most 64, no other character")
        return value

    @field_validator("python")
    @classmethod
    def _version(cls, value: str | None) -> str | None:
        if value is not None and not _PYTHON.fullmatch(value):
            raise ValueError(f"{value!r} is no version of Python; write '3.12', in quotes")
        return value

    @field_validator("requirements", "overrides")
    @classmethod
    def _required(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if not _REQUIREMENT.fullmatch(one.strip()):
                raise ValueError(
                    f"{without_secrets(one)!r} is no requirement; write 'name==version', or 'name @ https://…' or "
                    "'name @ file:///…' for one that no index has; options of pip and bare paths are not taken"
                )
        return tuple(one.strip() for one in value)

    @model_validator(mode="after")
    def _runs_here(self) -> Declaration:
        if self.harness and self.python is not None and not own.runs_on(self.python):
            raise ValueError(f"the harness does not run on Python {self.python}; choose another, or harness: false")
        return self

    @property
    def wanted_python(self) -> str:
        """The version of Python it is built with: the declared one, or the running one's, `3.11`."""
        return self.python or f"{sys.version_info.major}.{sys.version_info.minor}"

    def all_requirements(self) -> tuple[str, ...]:
        """What is installed: what it declares, and what the harness's child processes need besides.

        Raises:
            InputError: `harness` is asked for, and the running harness was not installed.
        """
        return (*self.requirements, *(own.needed(self.named()) if self.harness else ()))

    def named(self) -> tuple[str, ...]:
        """Normalised names of the declared requirements."""
        return tuple(name_of(one) for one in self.requirements)

    def spec(self) -> dict[str, Any]:
        """What decides what is built, without passwords; the order of requirements is no part of it."""
        return {
            "scheme": SCHEME,
            "requirements": sorted(map(without_secrets, self.all_requirements())),
            "overrides": sorted(map(without_secrets, self.overrides)),
            "python": self.wanted_python,
            "platform": f"{sys.platform}-{platform.machine()}",
        }

    def decisive(self) -> dict[str, Any]:
        """What it says of what is installed, without passwords: the same on every machine and with every release of
        this program. What was really installed is in its lock.
        """
        return {
            "requirements": sorted(map(without_secrets, self.requirements)),
            "overrides": sorted(map(without_secrets, self.overrides)),
            "python": self.python,
        }

    def spec_hash(self) -> str:
        """The identity of the declaration: sha256 (hex) of `spec()`."""
        return of_value(self.spec())

    def shown(self) -> dict[str, Any]:
        """The declaration as JSON, without passwords."""
        fields: dict[str, Any] = self.model_dump(mode="json")
        for name in ("requirements", "overrides"):
            fields[name] = [without_secrets(one) for one in fields[name]]
        return fields


def name_of(requirement: str) -> str:
    """The normalised name (PEP 503) of a requirement's package."""
    found = _REQUIREMENT.fullmatch(requirement.strip())
    return normalised(found.group(1) if found else requirement)


def normalised(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declare(name: str, fields: Mapping[str, Any], *, where: Mapping[str, Location] | None = None) -> Declaration:
    """The declaration of a mapping, `{requirements: […], overrides: […], python: "3.12", harness: true}`.

    `where` tells where a field stands in a file; the place of the whole is under "".

    Raises:
        InputError: everything that is wrong with it.
    """
    places = where or {}
    known = [field for field in Declaration.model_fields if field != "name"]
    wrong = [
        Problem(
            what=f"environment {name!r}: unknown key {key!r}",
            where=_place(places, str(key)),
            hint=did_you_mean(str(key), known),
        )
        for key in fields
        if key not in known
    ]
    try:
        declaration = Declaration(**{**{key: fields[key] for key in fields if key in known}, "name": name})
    except ValidationError as error:
        wrong += [_told(name, one["loc"], one["msg"], places) for one in error.errors()]
    else:
        if not wrong:
            return declaration
    raise InputError(problems=tuple(wrong))


def _told(name: str, loc: Sequence[int | str], message: str, places: Mapping[str, Location]) -> Problem:
    field = str(loc[0]) if loc else ""
    said = message.removeprefix("Value error, ")
    what = f"environment {name!r}: {field}: {said}" if field else f"environment {name!r}: {said}"
    if field == "requirements" and message == "Field required":
        what = f"environment {name!r} has no requirements"
    return Problem(what=what, where=_place(places, field))


def _place(places: Mapping[str, Location], field: str) -> Location | None:
    return places.get(field) or places.get("")

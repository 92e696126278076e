"""The fields of TRL's config classes and PEFT's LoraConfig, known without importing them.

Reading them takes a process that imports the training stack (some seconds), so the result is kept in the user's
cache folder, one file per set of versions; loading it takes milliseconds. It holds the *declared* defaults: what
TRL's `__post_init__` computes from them (`bf16: null` becomes true) is not in it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import InputError, Problem, did_you_mean, nearest
from harness.methods import METHODS
from harness.methods.fields import LORA_OWNED, elsewhere, old_name, owned
from harness.methods.ranges import out_of_range
from harness.records.jsontypes import fits, is_a, shown, type_hint, wanted

FORMAT = 1
"""Moves when the cache file means something else."""

PACKAGES = ("trl", "transformers", "peft")
BUILD_SECONDS = 300
NOT_BUILT = "it is not built yet"
"""Why an environment has no catalogue, where nothing else is the matter with it."""

Say = Callable[[str], None]
Build = Callable[[], dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of a config class.

    `types` are JSON types (`integer`, `number`, `string`, `boolean`, `null`, `array`, `object`), `items` those of a
    list's entries (empty: not declared), `choices` the texts it takes (empty: any), `default` the declared one.
    """

    name: str
    types: tuple[str, ...]
    items: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    default: Any = None
    help: str = ""

    def problem(self, value: Any) -> Problem | None:
        """What is wrong with a value by its type or choice; None when nothing is."""
        if not fits(value, self.types):
            return Problem(
                what=f"{self.name} wants {wanted(self.types)}, not {is_a(value)}", hint=type_hint(value, self.types)
            )
        if isinstance(value, str) and self.choices and not any(_chosen(value, choice) for choice in self.choices):
            longer = [choice for choice in self.choices if value and choice.startswith(value)]
            hint = f"one of {', '.join(longer)}" if longer else did_you_mean(value, self.choices)
            return Problem(what=f"{self.name} does not know {shown(value)}", hint=hint)
        if isinstance(value, list) and self.items:
            return self._item_problem(value)
        return None

    def _item_problem(self, values: list[Any]) -> Problem | None:
        for position, value in enumerate(values, start=1):
            if not fits(value, self.items):
                return Problem(
                    what=f"{self.name} wants a list of {wanted(self.items)}; entry {position} is {is_a(value)}",
                    hint=type_hint(value, self.items),
                )
        return None


def _chosen(value: str, choice: str) -> bool:
    """Whether the value is the choice, where PEFT's `pissa_niter_[number of iters]` stands for any number."""
    if "[" not in choice:
        return value == choice
    return re.fullmatch(re.sub(r"\\\[.*\\\]", r"\\d+", re.escape(choice)), value) is not None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Catalog:
    """What `train` and `lora` may say: fields by method and name, and the versions they were read from.

    `beside` holds the catalogues of environments by name; `unread` says of those that have none why. `packages` are
    the versions installed in the catalogue's own environment by normalised name; None: this interpreter's.
    """

    methods: Mapping[str, Mapping[str, Field]]
    lora: Mapping[str, Field]
    versions: Mapping[str, str]
    beside: Mapping[str, Catalog] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] | None = None

    def within(self, environment: str | None) -> Catalog:
        """The catalogue of an environment; this one for None, and for one that has none (see `unread`)."""
        return self if environment is None else self.beside.get(environment, self)

    def check(self, method: str, name: str, value: Any, *, lora: bool = False) -> Problem | None:
        """What is wrong with `train.<name>: value` for a method; None when nothing is.

        `lora` says whether the trial has an adapter, where the method refuses other fields. A field the method
        refuses is fine with a value that asks for nothing (`packing: false` for DPO).
        """
        refused = refusal(method, name, value, lora=lora)
        if refused is not None or name in METHODS[method].refuses:
            return refused
        field = self.methods[method].get(name)
        if field is None:
            return self._unknown(method, name)
        return _fitting(field, "train", value)

    def _unknown(self, method: str, name: str) -> Problem:
        kind = METHODS[method].config_class.rpartition(":")[2]
        renamed = old_name(name)
        if renamed is not None:
            return Problem(what=f"{kind} has no field {name!r}", hint=renamed)
        if name in self.lora and not nearest(name, self.methods[method], most=1):
            return Problem(what=f"{kind} has no field {name!r}", hint=f"it is a field of `lora`: lora.{name}")
        known = {*self.methods[method], *METHODS[method].refuses}
        hint = elsewhere(name) or self._others(method, name) or did_you_mean(name, known)
        return Problem(what=f"{kind} has no field {name!r}", hint=hint)

    def _others(self, method: str, name: str) -> str | None:
        others = [other for other, fields in self.methods.items() if other != method and name in fields]
        return f"it is a field of {' and '.join(others)}" if others else None

    def check_lora(self, name: str, value: Any) -> Problem | None:
        """What is wrong with `lora.<name>: value`; None when nothing is."""
        if name in LORA_OWNED:
            return Problem(what=f"lora.{name} does not belong in a suite", why=LORA_OWNED[name])
        field = self.lora.get(name)
        if field is not None:
            return _fitting(field, "lora", value)
        renamed = old_name(name, lora=True)
        hint = renamed or did_you_mean(name, self.lora)
        return Problem(what=f"LoraConfig has no field {name!r}", hint=hint)


def refusal(method: str, name: str, value: Any, *, lora: bool = False) -> Problem | None:
    """Why `train.<name>: value` is none of a suite's business, or none of a method's, whatever TRL is installed."""
    reason = owned(name)
    if reason is not None:
        return Problem(what=f"train.{name} does not belong in a suite", why=reason[0], hint=reason[1])
    refused = METHODS[method].refused({name: value}, lora=lora).get(name)
    if refused is None:
        return None
    return Problem(
        what=f"{method} does not take train.{name}: {shown(value)}",
        why=refused,
        hint="leave it out, or exclude these cells",
    )


def _fitting(field: Field, root: str, value: Any) -> Problem | None:
    problem = field.problem(value)
    if problem is not None:
        return Problem(what=f"{root}.{problem.what}", hint=problem.hint)
    return out_of_range(root, field.name, value)


def tell(text: str) -> None:
    """The default `say`: one line on stderr."""
    print(text, file=sys.stderr, flush=True)


_loaded: dict[Path, Catalog] = {}
_failed: dict[Path, InputError] = {}
"""Of other interpreters: each is asked once, however often a suite is looked at."""


def load(say: Say | None = tell) -> Catalog:
    """The catalogue of the installed TRL: from the cache, else read in a child process and kept.

    `say` gets one line before the seconds that reading takes, and one where the result could not be kept.

    Raises:
        InputError: TRL, transformers or PEFT is missing, or cannot be imported.
    """
    versions = _versions()
    file = cache_file(versions)
    if file not in _loaded:
        _loaded[file] = obtain(file, versions, say=say)
    return _loaded[file]


def load_from(
    python: Path,
    variables: Mapping[str, str],
    *,
    packages: Mapping[str, str],
    lock_hash: str,
    say: Say | None = tell,
) -> Catalog:
    """The catalogue of another interpreter's TRL: from the cache, else read by that interpreter and kept.

    `variables` are those of a process that runs there; `packages` what is installed there, which `lock_hash` names.

    Raises:
        InputError: there is no TRL, transformers or PEFT, or they cannot be imported.
    """
    missing = [name for name in PACKAGES if name not in packages]
    if missing:
        raise _unreadable(f"{', '.join(missing)} not installed there")
    file = _file_of([FORMAT, lock_hash, str(python)])
    if file in _failed:
        raise _failed[file]
    if file not in _loaded:
        versions = {name: packages[name] for name in PACKAGES}
        build = functools.partial(read_installed, python, variables)
        try:
            _loaded[file] = replace(obtain(file, versions, build=build, say=say), packages=dict(packages))
        except InputError as error:
            _failed[file] = error
            raise
    return _loaded[file]


def obtain(file: Path, versions: Mapping[str, str], *, build: Build | None = None, say: Say | None = tell) -> Catalog:
    """The catalogue kept in `file`, else what `build` reads (the installed classes, in a child), kept for next time.

    A missing, damaged or outdated file is read anew; a folder that cannot be written costs the reading each time.
    """
    found = _cached(file, versions)
    if found is not None:
        return found
    if say:
        say(f"reading the fields of TRL {versions['trl']}'s config classes (once per version, some seconds)")
    document = (build or read_installed)()
    try:
        _keep(file, document)
    except OSError as error:
        if say:
            say(f"the fields cannot be kept in {file.parent} ({error.strerror or error}); they will be read again")
    return _catalog(document, versions)


def cache_file(versions: Mapping[str, str]) -> Path:
    """Where the catalogue of these versions lies in the user's cache folder; also apart by where they are installed."""
    return _file_of([FORMAT, sorted(versions.items()), [_place(package) for package in PACKAGES]])


def _file_of(key: Sequence[Any]) -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or ""
    folder = Path(root) if Path(root).is_absolute() else Path.home() / ".cache"
    return folder / "trl-harness" / f"catalog-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.json"


def _versions() -> dict[str, str]:
    versions = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError as error:
            raise InputError.of(
                f"{package} is not installed", why="its config classes say what `train` may hold", hint="harness doctor"
            ) from error
    return versions


def _place(package: str) -> str | None:
    spec = importlib.util.find_spec(package)  # finds a top-level package without importing it
    return spec.origin if spec else None


def _cached(file: Path, versions: Mapping[str, str]) -> Catalog | None:
    """The catalogue of the cache file; None where it is missing, damaged, or older than the classes' sources."""
    try:
        document = json.loads(file.read_bytes())
        if not all(_unchanged(Path(source), stamp) for source, stamp in document["files"].items()):
            return None
        return _catalog(document, versions)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _unchanged(source: Path, stamp: list[int]) -> bool:
    status = source.stat()
    return [status.st_mtime_ns, status.st_size] == stamp


def _catalog(document: Mapping[str, Any], versions: Mapping[str, str]) -> Catalog:
    if set(document["methods"]) != set(METHODS):
        raise KeyError("methods")
    methods = {name: _fields(fields) for name, fields in document["methods"].items()}
    return Catalog(methods=methods, lora=_fields(document["lora"]), versions=dict(versions))


def _fields(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Field]:
    return {
        name: Field(
            name=name,
            types=tuple(entry["types"]),
            items=tuple(entry["items"]),
            choices=tuple(entry["choices"]),
            default=entry["default"],
            help=entry["help"],
        )
        for name, entry in entries.items()
    }


def read_installed(python: Path | None = None, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What the config classes say, read by a child process that imports them: of this interpreter, or of another one
    with the variables that a process needs there.

    Raises:
        InputError: the child failed; carries the last thing it said.
    """
    with tempfile.TemporaryDirectory(prefix="trl-harness-") as folder:
        target = Path(folder) / "catalog.json"
        command = [str(python or sys.executable), "-m", "harness.methods.introspect", str(target)]
        environment = {
            **(os.environ if variables is None else variables),
            "TRL_EXPERIMENTAL_SILENCE": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        try:
            child = subprocess.run(
                command, env=environment, capture_output=True, text=True, errors="replace", timeout=BUILD_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise _unreadable(f"it took more than {BUILD_SECONDS} s") from error
        if child.returncode != 0:
            said = [line for line in child.stderr.splitlines() if line.strip()]
            raise _unreadable(said[-1].strip() if said else f"the reading process ended with {child.returncode}")
        document: dict[str, Any] = json.loads(target.read_bytes())
        return document


def _unreadable(why: str) -> InputError:
    problem = Problem(
        what="the fields of TRL's config classes could not be read",
        why=why,
        hint="harness doctor tells what is missing",
    )
    return InputError(problems=(problem,))


def _keep(file: Path, document: Mapping[str, Any]) -> None:
    """Writes the cache file whole or not at all; of two processes that write at once, either one's stays."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(document, stream, separators=(",", ":"))
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

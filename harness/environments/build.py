"""Building an environment: into a folder beside, which gets its name only when all of it is there.

Whatever ends a build half way, kill -9 or a full disk, leaves a folder under another name, which nobody uses and the
next build deletes. Two builds of one environment: the second waits, and finds it ready.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import math
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.environments import failures, index, lockfile, locks, uv
from harness.environments.declaration import Declaration
from harness.environments.environment import Environment, find, known, place_of
from harness.environments.failures import Kind
from harness.environments.places import Place
from harness.errors import BuildError, HeldError, Problem
from harness.records.units import format_duration

PAUSES_S = (2.0, 10.0)
"""Before the second and third try after the network failed; uv itself tries each request several times before."""

TIMEOUT_S = 3600.0
"""For one run of uv: a CUDA environment is some gigabytes, on a slow line too."""

Tell = Callable[[str], None]


def buildable(wanted: str | Declaration) -> str | None:
    """Why an environment cannot be built or run on this machine; None where nothing speaks against it.

    Raises:
        BuildError: there is no built-in environment of this name.
    """
    declaration = known(wanted)
    if sys.platform not in ("linux", "darwin"):
        return f"environments are built on Linux and macOS, not on {sys.platform}"
    if "vllm" in " ".join(declaration.named()) and sys.platform != "linux":
        return "vLLM has builds for Linux only"
    if declaration.needs == "cuda" and (missing := without_cuda()) is not None:
        return missing
    if uv.where() is None:
        return f"uv is not installed: {uv.HOW_TO_GET}"
    return None


def build(
    wanted: str | Declaration,
    *,
    tell: Tell | None = None,
    force: bool = False,
    pauses_s: Sequence[float] = PAUSES_S,
    timeout_s: float = TIMEOUT_S,
) -> Environment:
    """The environment, built unless it is ready; `force` builds it anew, and leaves the old one where that fails.

    `tell` gets lines about what is going on. Waits while another process builds the same one.

    Raises:
        BuildError: it cannot be built: no uv, no network, no CUDA, no space, requirements that exclude one another, …
        HeldError: it is to be replaced, and a process uses it.
    """
    declaration = known(wanted)
    ready = find(declaration)
    if ready is not None and not force:
        return ready
    if (missing := buildable(declaration)) is not None:
        raise BuildError.of(f"environment {declaration.name!r} cannot be built here", why=missing)
    say, asked_at = tell or _silent, _now()
    place = place_of(declaration)

    def waiting(who: str) -> None:
        say(f"{declaration.name}: {who} builds it already; waiting")

    with writing(place), locks.alone(place.build_lock, patience_s=math.inf, waiting=waiting):
        ready = find(declaration)
        if ready is not None and (not force or ready.lock.built_at > asked_at):
            return ready
        clean(place)
        refuse_while_used(place)
        _Build(declaration, place, say, tuple(pauses_s), timeout_s).make()
    built = find(declaration)
    if built is None:
        raise BuildError.of(f"environment {declaration.name!r} broke just after it was built", why=f"{place.folder}")
    return built


@dataclass(frozen=True, slots=True)
class _Build:
    declaration: Declaration
    place: Place
    say: Tell
    pauses_s: tuple[float, ...]
    timeout_s: float

    def make(self) -> None:
        """Builds beside, then puts it in its place."""
        began, program, settings = time.monotonic(), uv.needed(), index.settings()
        beside = self.place.within / f".building-{self.place.key}-{os.getpid()}_{secrets.token_hex(4)}"
        self.place.log.parent.mkdir(parents=True, exist_ok=True)
        self.place.log.write_text("", encoding="utf-8")
        self.say(f"{self.declaration.name}: building with Python {self.declaration.wanted_python} …")
        run = functools.partial(
            uv.run,
            program,
            log=self.place.log,
            tell=lambda line: self.say(f"{self.declaration.name}: {line}"),
            redact=settings.redact,
            variables=settings.variables,
            timeout_s=self.timeout_s,
        )
        try:
            with _files(self.declaration, beside.with_name(f"{beside.name}_files")) as (within, required):
                self._tried(lambda: run(["venv", *_VENV, "--python", self._python(), beside], within=within))
                install = ["pip", "install", *settings.arguments, "--python", lockfile.python_of(beside), *required]
                self._tried(lambda: run(install, within=within))
            self._lock(beside, uv.version(program), time.monotonic() - began)
            self._place(beside)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _python(self) -> str:
        """This very Python where its version is the one that is wanted, so that none is looked for or fetched."""
        wanted = self.declaration.wanted_python.split(".")
        same = wanted == [str(part) for part in sys.version_info[: len(wanted)]]
        return sys.executable if same else self.declaration.wanted_python

    def _tried(self, run: Callable[[], uv.Finished]) -> None:
        """Runs uv, and again after a pause where only the network failed."""
        for number, pause in enumerate((*self.pauses_s, None), start=1):
            done = run()
            if done.code == 0:
                return
            if failures.kind_of(done) is not Kind.NETWORK or pause is None:
                name = self.declaration.name
                raise failures.error(name, done, log=self.place.log, tries=number, timeout_s=self.timeout_s)
            self.say(f"{self.declaration.name}: {Kind.NETWORK.value}; trying again in {format_duration(pause)}")
            time.sleep(pause)

    def _lock(self, folder: Path, with_uv: str | None, seconds: float) -> None:
        python, implementation = lockfile.asked(folder)
        lock = lockfile.Lock(
            name=self.declaration.name,
            spec_hash=self.declaration.spec_hash(),
            declaration=self.declaration.shown(),
            spec=self.declaration.spec(),
            python=python,
            implementation=implementation,
            packages=lockfile.installed(folder),
            origins=lockfile.origins(folder),
            uv=with_uv,
            built_at=_now(),
            seconds=round(seconds, 3),
        )
        lockfile.write(folder, lock)

    def _place(self, beside: Path) -> None:
        """Gives the finished environment its name; what lay there is deleted."""
        with locks.alone(self.place.use_lock, patience_s=locks.MOMENT_S) as taken:
            if not taken:
                raise used(self.place)
            gone = set_aside(self.place)
            beside.rename(self.place.folder)
        if gone is not None:
            shutil.rmtree(gone, ignore_errors=True)


# Scripts of a relocatable environment find their Python beside themselves, so that the folder can be renamed.
_VENV = ("--relocatable", "--no-project")


def clean(place: Place) -> None:
    """Deletes what builds and removals that did not end have left; only for who holds the build lock."""
    for path in place.leftovers():
        shutil.rmtree(path, ignore_errors=True)


def set_aside(place: Place) -> Path | None:
    """Takes the environment's name from it, at once, so that deleting it can take its time; None where there is none.

    Only for who holds the use lock alone.
    """
    gone = place.within / f".gone-{place.key}-{os.getpid()}_{secrets.token_hex(4)}"
    try:
        return place.folder.rename(gone)
    except FileNotFoundError:
        return None


def refuse_while_used(place: Place) -> None:
    """Raises HeldError where a process uses the environment: better before an hour's build than after."""
    if not locks.is_free(place.use_lock):
        raise used(place)


def used(place: Place) -> HeldError:
    """The error of an environment that cannot be replaced or removed now."""
    who = locks.users(place.use_lock)
    by = f"process {', '.join(map(str, who))}" if who else "another process"
    return HeldError.of(
        f"environment {place.key!r} is in use", why=f"{by} runs in it", hint="try again when it has ended"
    )


@contextlib.contextmanager
def writing(place: Place) -> Iterator[None]:
    """Turns an OSError inside into an error that says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = f"the disk is full: {place.within}" if full else f"environments cannot be kept in {place.within}"
        hint = "set XDG_CACHE_HOME to a folder on a disk with space that this user can write to"
        problem = Problem(what=what, why=error.strerror or str(error), hint=hint)
        raise BuildError(problems=(problem,)) from error


@contextlib.contextmanager
def _files(declaration: Declaration, folder: Path) -> Iterator[tuple[Path, list[str | Path]]]:
    """A folder for uv to work in, and its arguments; private, since addresses of packages may hold passwords."""
    folder.mkdir(mode=0o700)
    try:
        arguments: list[str | Path] = ["--requirements", folder / "requirements.txt"]
        _write(folder / "requirements.txt", declaration.all_requirements())
        if declaration.overrides:
            _write(folder / "overrides.txt", declaration.overrides)
            arguments += ["--override", folder / "overrides.txt"]
        yield folder, arguments
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(file: Path, lines: Sequence[str]) -> None:
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def without_cuda() -> str | None:
    """Why there is no CUDA device here, by the driver's own library: no CUDA context is made."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return "it needs a CUDA device, and CUDA_VISIBLE_DEVICES hides all"
    try:
        library = importlib.import_module("pynvml")
        library.nvmlInit()
    except Exception as error:  # no library, no driver, a driver of another version: NVMLError and OSError alike
        return f"it needs a CUDA device, and none can be seen ({error})"
    try:
        return None if library.nvmlDeviceGetCount() > 0 else "it needs a CUDA device, and there is none"
    finally:
        library.nvmlShutdown()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _silent(_: str) -> None:
    return None

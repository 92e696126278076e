"""A program that takes uv's arguments and does what its plan says: `python uv.py FOLDER venv|pip …`.

An `ok` venv is a real one, without pip, and an `ok` install leaves a package's metadata for every requirement, so that
what follows a build can be tried too. A `beside` install leaves that of pinned ones alone, and lets the environment see
the packages of whoever installed this program: what it runs is theirs, under the versions that were asked for.
Everything else ends as uv does when that happens, with its words.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

_HOST = "https://ada:s3cr3t@packages.example/simple/six/"

_SAID = {
    "network": (
        2,
        f"error: Failed to fetch: `{_HOST}`\n  cause: error sending request for url ({_HOST})\n"
        "  cause: client error (Connect)\n  cause: dns error",
    ),
    "certificate": (
        2,
        "error: Failed to fetch\n  cause: error sending request for url\n  cause: client error (Connect)\n"
        "  cause: invalid peer certificate: UnknownIssuer",
    ),
    "refused": (2, f"error: Failed to fetch: `{_HOST}`\n  cause: HTTP status client error (401 Unauthorized)"),
    "unsolvable": (
        1,
        "error: No solution found when resolving dependencies\n  cause: Because there is no version of six==99 and you "
        "require six==99, we can conclude that your requirements are unsatisfiable.",
    ),
    "full": (2, "error: Failed to install: six\n  cause: failed to write: No space left on device (os error 28)"),
    "broken": (2, "error: Failed to build `six`\n  cause: the build backend returned an error"),
}


def main(folder: Path, arguments: list[str]) -> int:
    """One call: by its kind and number, what the plan says."""
    if arguments == ["--version"]:
        print("uv 0.0.0-fake")
        return 0
    kind = arguments[0]
    said = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    plan = said[kind]
    number = _noted(folder, kind, arguments)
    return _act(plan[min(number, len(plan) - 1)], kind, arguments, said["site"])


def _noted(folder: Path, kind: str, arguments: list[str]) -> int:
    """Notes the call, and gives the number of calls of its kind before it."""
    file = folder / "calls.jsonl"
    before = [json.loads(line)["kind"] for line in file.read_text("utf-8").splitlines()] if file.exists() else []
    variables = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_", "ALL_PROXY"))}
    texts = {Path(one).name: Path(one).read_text("utf-8") for one in arguments if one.endswith(".txt")}
    told = {"kind": kind, "arguments": arguments, "files": texts, "variables": variables, "pid": os.getpid()}
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(told) + "\n")
    return before.count(kind)


def _act(word: str, kind: str, arguments: list[str], site: list[str]) -> int:
    if word in _SAID:
        code, text = _SAID[word]
        print(text, file=sys.stderr)
        return code
    if word == "killed":  # by the kernel, out of memory
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "slow":
        time.sleep(1.0)
    if word == "beside":
        _see(arguments, site)
        return 0
    _do(kind, arguments, half=word in ("hang", "orphan"))
    if word == "orphan":  # its parent dies in the middle
        os.kill(os.getppid(), signal.SIGKILL)
    if word in ("hang", "orphan"):
        time.sleep(600)
    return 0


def _do(kind: str, arguments: list[str], *, half: bool) -> None:
    if kind == "venv":
        _venv(Path(arguments[-1]))
        return
    required = _lines(arguments, "--requirements")
    dropped = {_name(line) for line in _lines(arguments, "--override") if "never" in line}
    wanted = [line for line in required if _name(line) not in dropped]
    site = next(Path(arguments[arguments.index("--python") + 1]).parent.parent.glob("lib/python*/site-packages"))
    for line in wanted[: len(wanted) // 2] if half else wanted:
        _package(site, line)
    print(f"Resolved {len(wanted)} packages in 1ms\nInstalled {len(wanted)} packages in 1ms", file=sys.stderr)


def _see(arguments: list[str], seen: list[str]) -> None:
    """Metadata of what is pinned, and the way to the packages that are there already."""
    site = next(Path(arguments[arguments.index("--python") + 1]).parent.parent.glob("lib/python*/site-packages"))
    for line in _lines(arguments, "--requirements"):
        if "==" in line:
            _package(site, line)
            (site / f"{_name(line).replace('-', '_')}.py").unlink()
    (site / "beside.pth").write_text("".join(f"{path}\n" for path in seen), "utf-8")


def _venv(folder: Path) -> None:
    real = Path(sys.executable).resolve()
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(real)
    (folder / "pyvenv.cfg").write_text(f"home = {real.parent}\ninclude-system-site-packages = false\n", "utf-8")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "lib" / version / "site-packages").mkdir(parents=True)


def _package(site: Path, requirement: str) -> None:
    name = _name(requirement)
    found = re.search(r"==\s*([^\s;,]+)", requirement)
    version = found.group(1) if found else "1.0"
    metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    (site / f"{name.replace('-', '_')}.py").write_text(f"version = {version!r}\n", "utf-8")
    if " @ " in requirement:
        url = requirement.partition(" @ ")[2].strip()
        vcs = {"vcs_info": {"vcs": "git", "commit_id": "c0ffee"}} if url.startswith("git+") else {"archive_info": {}}
        (metadata / "direct_url.json").write_text(json.dumps({"url": url, **vcs}), "utf-8")


def _lines(arguments: list[str], option: str) -> list[str]:
    if option not in arguments:
        return []
    return Path(arguments[arguments.index(option) + 1]).read_text("utf-8").splitlines()


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]).lower()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

"""Python environments that others run in: declared by name, built with uv, locked by exact versions, kept in the cache.

Whoever runs something elsewhere than in this process's own environment asks for it by name:

    environment = environments.build("vllm-cpu", tell=print)      # or find(…): None where it is not built
    with environment.in_use():                                    # nobody removes it meanwhile
        subprocess.run([environment.python, "-m", "harness.score.worker", job], env=environment.variables())
    environment.record()                                          # what to write beside the results
"""

from __future__ import annotations

from harness.environments.build import build, buildable, without_cuda
from harness.environments.builtin import BUILT_IN
from harness.environments.declaration import Declaration, declare
from harness.environments.environment import Environment, at, cached, find, known, place_of
from harness.environments.files import read_file
from harness.environments.interpreter import Interpreter, here, interpreter, is_here, needed
from harness.environments.remove import Found, removable, remove
from harness.environments.state import State, overview, state_of

__all__ = [
    "BUILT_IN",
    "Declaration",
    "Environment",
    "Found",
    "Interpreter",
    "State",
    "at",
    "build",
    "buildable",
    "cached",
    "declare",
    "find",
    "here",
    "interpreter",
    "is_here",
    "known",
    "needed",
    "overview",
    "place_of",
    "read_file",
    "removable",
    "remove",
    "state_of",
    "without_cuda",
]

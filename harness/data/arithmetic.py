"""Generated questions with exact answers, for quality that can be learned in seconds.

Operands are drawn from the numbers of `digits` digits; a fifth of all operands never appears in training rows, in
either order, and is what the shipped tasks score. A wrong answer is a near one: the other operand, a neighbour, a
mixture of both numbers' digits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.data.source import Document, Option, Row, Source, digest, is_heldout

HELDOUT_SHARE = 0.2
HELDOUT_COUNT = 250  # documents per task: a standard error of 0.03 at most
CHOICES = 4
_ENUMERATE = 50_000  # operands; larger spaces are drawn from, not listed


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One kind of question. `numbers` operands; `digits(d)` digits each; `wrong` gives near answers, nearest first."""

    name: str
    says: str
    numbers: int
    digits: Callable[[int], int]
    ask: Callable[..., str]
    solve: Callable[..., str]
    wrong: Callable[..., Iterator[str]]


def _wrong_larger(a: int, b: int) -> Iterator[str]:
    yield str(min(a, b))
    width = len(str(a))
    for cut in range(1, width):
        yield str(a)[:cut] + str(b)[cut:]
        yield str(b)[:cut] + str(a)[cut:]
    yield from _neighbours(max(a, b))


def _wrong_sum(a: int, b: int) -> Iterator[str]:
    yield from _neighbours(a + b)


def _neighbours(number: int) -> Iterator[str]:
    for step in (1, 10, 2, 11, 20, 3, 100):
        for near in (number - step, number + step):
            if near >= 0:
                yield str(near)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="larger",
            says="the larger of two numbers; a small model learns it in hundreds of steps",
            numbers=2,
            digits=lambda digits: digits,
            ask=lambda a, b: f"max({a},{b})=",
            solve=lambda a, b: str(max(a, b)),
            wrong=_wrong_larger,
        ),
        Task(
            name="parity",
            says="whether a number of twice the digits is even or odd; the quickest to learn",
            numbers=1,
            digits=lambda digits: 2 * digits,
            ask=lambda a: f"Is {a} even or odd?\n",
            solve=lambda a: "odd" if a % 2 else "even",
            wrong=lambda a: iter(["even" if a % 2 else "odd"]),
        ),
        Task(
            name="add",
            says="the sum of two numbers; hard: unseen pairs need thousands of steps",
            numbers=2,
            digits=lambda digits: digits,
            ask=lambda a, b: f"{a}+{b}=",
            solve=lambda a, b: str(a + b),
            wrong=_wrong_sum,
        ),
    )
}


def rows(options: Mapping[str, Any], seed: int) -> list[Row]:
    """At most `count` training rows of each task, in an order drawn by `seed`, none of them held out."""
    made: list[Row] = []
    for task in _tasks(options):
        draw = _operands(task, options["digits"], seed)
        for _, operands in zip(range(options["count"]), draw, strict=False):
            wrong = _wrong(task, operands)
            made.append(
                {
                    "prompt": task.ask(*operands),
                    "chosen": task.solve(*operands),
                    "rejected": wrong[digest("arithmetic", seed, task.name, operands) % len(wrong)],
                }
            )
    # Tasks are mixed, so that a training shorter than the rows sees all of them.
    return (
        sorted(made, key=lambda row: digest("arithmetic order", seed, row["prompt"]))
        if len(options["tasks"]) > 1
        else made
    )


def heldout(options: Mapping[str, Any]) -> list[Document]:
    """Up to 250 held-out questions of each task, with one right answer among four (parity: among two)."""
    made: list[Document] = []
    for task in _tasks(options):
        draw = _operands(task, options["digits"], seed=0, heldout=True)
        for _, operands in zip(range(HELDOUT_COUNT), draw, strict=False):
            right = task.solve(*operands)
            wrong = _wrong(task, operands)
            place = digest("arithmetic place", task.name, operands) % (len(wrong) + 1)
            choices = [*wrong[:place], right, *wrong[place:]]
            made.append({"question": task.ask(*operands), "choices": choices, "answer": place, "target": right})
    return made


def _tasks(options: Mapping[str, Any]) -> list[Task]:
    return [TASKS[name] for name in options["tasks"]]


def _wrong(task: Task, operands: tuple[int, ...]) -> list[str]:
    """Up to three different wrong answers; none begins another or the right one, or is begun by it."""
    kept = [task.solve(*operands)]
    for wrong in task.wrong(*operands):
        if len(kept) < CHOICES and not any(wrong.startswith(other) or other.startswith(wrong) for other in kept):
            kept.append(wrong)
    return kept[1:]


def _operands(task: Task, digits: int, seed: int, *, heldout: bool = False) -> Iterator[tuple[int, ...]]:
    """Different operands in a seeded order: the held-out ones, or all the others."""
    width = task.digits(digits)
    for operands in _draw(task, 10 ** (width - 1), 10**width, seed):
        if task.numbers == 2 and operands[0] == operands[1] and task.name == "larger":
            continue
        # The key is unordered: the model must not have seen the pair the other way round.
        if is_heldout(f"arithmetic {task.name} {sorted(operands)}", HELDOUT_SHARE) == heldout:
            yield operands


def _draw(task: Task, low: int, high: int, seed: int) -> Iterator[tuple[int, ...]]:
    span = high - low
    space = span**task.numbers
    if space <= _ENUMERATE:
        order = sorted(range(space), key=lambda index: digest("arithmetic draw", seed, task.name, index))
        yield from (_unpack(index, span, low, task.numbers) for index in order)
        return
    source = random.Random(digest("arithmetic draw", seed, task.name))
    seen: set[int] = set()
    while len(seen) < space // 4:
        index = int(source.random() * space)
        if index not in seen:
            seen.add(index)
            yield _unpack(index, span, low, task.numbers)


def _unpack(index: int, span: int, low: int, numbers: int) -> tuple[int, ...]:
    return tuple(low + index // span**place % span for place in range(numbers))


def _check_tasks(value: Any) -> str | None:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        return f"expected a list of task names, not {value!r}"
    unknown = [name for name in value if name not in TASKS]
    if unknown:
        return f"unknown task {unknown[0]!r}"
    return "a task is named twice" if len(set(value)) < len(value) else None


def _check_range(low: int, high: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        fine = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fine else f"expected a whole number from {low} to {high}, not {value!r}"

    return check


ARITHMETIC = Source(
    name="arithmetic",
    says="generated questions with exact answers, learned in seconds",
    version=1,
    rows=rows,
    heldout=heldout,
    options={
        "tasks": Option(
            default=["larger"],
            says="which questions: " + "; ".join(f"{task.name} ({task.says})" for task in TASKS.values()),
            check=_check_tasks,
        ),
        "digits": Option(default=2, says="digits of each number, 2 to 4", check=_check_range(2, 4)),
        "count": Option(
            default=4000,
            says="training rows of each task, 1 to 100000, as far as there are",
            check=_check_range(1, 100_000),
        ),
    },
)

"""A Markdown report laid out for a terminal: tables that do not fit are divided, and no name in them is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableDataElement, TableElement
from rich.table import Table
from rich.text import Text

_BETWEEN, _EDGES = 2, 2  # columns that a table takes between two cells, and at its sides together


class _Tables(TableElement):
    """A Markdown table as one table, or as several that each begin with its first column."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = self.header.row.cells if self.header and self.header.row else []
        body = [row.cells for row in self.body.rows] if self.body else []
        columns = [[head[at], *(row[at] for row in body)] for at in range(len(head))]
        wishes = [max(cell.content.cell_len for cell in column) for column in columns]
        needs = [_needs(column) for column in columns]
        if needs:
            needs[0] = min(wishes[0], options.max_width // 2)
        for group in grouped(needs, options.max_width - _EDGES):
            room = options.max_width - _EDGES - _BETWEEN * (len(group) - 1)
            widths = fitted([needs[at] for at in group], [wishes[at] for at in group], room)
            yield _drawn([columns[at] for at in group], widths)


def _needs(column: Sequence[TableDataElement]) -> int:
    """The least columns of a terminal: figures stay whole, headings and prose wrap at words."""
    words = [Text(word).cell_len for cell in column for word in cell.content.plain.split()]
    figures = [cell.content.cell_len for cell in column[1:]] if column[0].justify == "right" else []
    return max([*words, *figures], default=1)


def grouped(needs: Sequence[int], width: int) -> list[list[int]]:
    """Numbers of columns, in as few groups as fit the width; the first column is in each of them."""
    groups = [[0]]
    for at in range(1, len(needs)):
        used = sum(needs[one] + _BETWEEN for one in groups[-1])
        if len(groups[-1]) > 1 and used + needs[at] > width:
            groups.append([0])
        groups[-1].append(at)
    return groups


def fitted(needs: Sequence[int], wishes: Sequence[int], room: int) -> list[int]:
    """Widths that fit the room: what each column needs, then what it wishes for, the least wish first.

    A last column that needs more than there is gets what is left.
    """
    widths = list(needs)
    left = room - sum(widths)
    for at in sorted(range(len(widths)), key=lambda at: wishes[at] - needs[at]):
        more = max(0, min(left, wishes[at] - widths[at]))
        widths[at] += more
        left -= more
    if left < 0:
        widths[-1] = max(1, widths[-1] + left)
    return widths


def _drawn(columns: Sequence[Sequence[TableDataElement]], widths: Sequence[int]) -> Table:
    table = Table(box=SIMPLE, pad_edge=False, show_edge=True, collapse_padding=True, style="markdown.table.border")
    for (head, *_), width in zip(columns, widths, strict=True):
        heading = head.content.copy()
        heading.stylize("markdown.table.header")
        table.add_column(heading, overflow="fold", width=width)
    for row in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*(cell.content for cell in row))
    return table


class Paged(Markdown):
    """Markdown whose tables are divided rather than cut."""

    elements = {**Markdown.elements, "table_open": _Tables}  # noqa: RUF012  # as rich declares it

"""Text tables for a terminal. Cells come from the network: none can steer the terminal."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

GAP = "  "
NARROWEST = 10  # a column that must shrink keeps this


@dataclass(frozen=True, slots=True)
class Column:
    """`shrinks`: gives way on a narrow terminal (0: never; 2: keeps twice the width of a 1).

    Its cells then wrap after one of `breaks`.
    """

    title: str
    shrinks: int = 0
    breaks: str = " "
    right: bool = False


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> Iterator[str]:
    """Lines of a table with its header, at most `width` wide if that can be; None: no bound."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = fit(columns, shown, width)
    yield from lines_of(columns, widths, [column.title for column in columns])
    for row in shown:
        yield from lines_of(columns, widths, row)


def fit(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int | None) -> list[int]:
    """Width of each column: that of its widest cell, unless it must shrink."""
    widths = [cell_width(column.title) for column in columns]
    for row in rows:
        widths = [max(have, cell_width(cell)) for have, cell in zip(widths, row, strict=True)]
    if width is None:
        return widths
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    giving = [at for at, column in enumerate(columns) if column.shrinks]
    for _ in range(excess):
        giving = [at for at in giving if widths[at] > NARROWEST]
        if not giving:
            break
        widths[max(giving, key=lambda at: widths[at] / columns[at].shrinks)] -= 1
    return widths


def lines_of(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]) -> Iterator[str]:
    """One row; a cell that is too wide goes on in further lines."""
    cells = [
        wrap(cell, width, column.breaks)
        for cell, width, column in zip(row, widths, columns, strict=True)
    ]
    for number in range(max(map(len, cells))):
        parts = [cell[number] if number < len(cell) else "" for cell in cells]
        yield GAP.join(
            pad(part, width, column.right)
            for part, width, column in zip(parts, widths, columns, strict=True)
        ).rstrip()


def wrap(text: str, width: int, breaks: str = " ") -> list[str]:
    """Pieces of at most `width` columns, cut after one of `breaks` where there is one."""
    pieces = []
    while cell_width(text) > width:
        cut = _cut(text, width)
        best = max((text.rfind(mark, 0, cut) for mark in breaks), default=-1) + 1
        cut = best if best > cut // 3 else cut
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


def pad(text: str, width: int, right: bool = False) -> str:
    space = " " * max(0, width - cell_width(text))
    return space + text if right else text + space


def _cut(text: str, width: int) -> int:
    """How many characters fit in `width` columns: one at least."""
    used = 0
    for at, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return max(1, at)
    return len(text)


def cell_width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def printable(text: str) -> str:
    """The text with control, format (bidirectional) and unassigned characters shown as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

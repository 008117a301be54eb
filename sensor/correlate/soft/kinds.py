"""Numbers for what the model tells apart: kinds of parents (rows) and of children.

Instances of a service are one class: `ESX01` and `ESX02` behave alike. Number 0 is whatever has no
number of its own.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from sensor.correlate.spans import Span

# Tables grow with the product of both; beyond this the rarest share number 0.
ROWS_MAX, KINDS_MAX = 256, 96

RowClass = tuple[str, str]  # service class, endpoint
Row = tuple[str, str, str]  # and status
Kind = tuple[str, str, str]  # class of the caller, class of the callee, endpoint

_INSTANCE = re.compile(r"[-_.]?\d+$")


@lru_cache(maxsize=65536)
def service_class(name: str) -> str:
    return _INSTANCE.sub("", name) or name


def row_of(span: Span) -> Row:
    return service_class(span.callee), span.endpoint, span.status


def kind_of(span: Span) -> Kind:
    return service_class(span.caller), service_class(span.callee), span.endpoint


class Kinds:
    def __init__(self, rows: Iterable[Row], kinds: Iterable[Kind]) -> None:
        self.rows: dict[Row, int] = {row: i for i, row in enumerate(rows, 1)}
        self.kinds: dict[Kind, int] = {kind: i for i, kind in enumerate(kinds, 1)}
        classes: dict[RowClass, int] = {}
        for row in self.rows:
            classes.setdefault(row[:2], len(classes) + 1)
        self.class_of_row = [0, *(classes[row[:2]] for row in self.rows)]
        self.row_classes: list[RowClass] = [("", ""), *classes]

    @classmethod
    def of(cls, parents: Iterable[Span], children: Iterable[Span]) -> "Kinds":
        rows = Counter(row_of(span) for span in parents)
        kinds = Counter(kind_of(span) for span in children)
        return cls(_most(rows, ROWS_MAX), _most(kinds, KINDS_MAX))

    def names(self) -> tuple[frozenset[Row], frozenset[Kind]]:
        return frozenset(self.rows), frozenset(self.kinds)

    @property
    def row_count(self) -> int:
        return len(self.rows) + 1

    @property
    def kind_count(self) -> int:
        return len(self.kinds) + 1

    def row(self, span: Span) -> int:
        return self.rows.get(row_of(span), 0)

    def kind(self, span: Span) -> int:
        return self.kinds.get(kind_of(span), 0)


def _most(counts: "Counter[tuple[str, str, str]]", most: int) -> list[tuple[str, str, str]]:
    return sorted(sorted(counts), key=lambda each: -counts[each])[:most]

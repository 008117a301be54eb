"""What is known and what is in flight as lists, texts and numbers, for JSON or msgpack and back."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from sensor.correlate.soft.calls import Call
from sensor.correlate.soft.fitting import Site
from sensor.correlate.soft.kinds import KINDS_MAX, ROWS_MAX, Kinds
from sensor.correlate.soft.model import BINS, SLOTS, Lesson, Model
from sensor.correlate.soft.options import Manner
from sensor.correlate.soft.work import done
from sensor.correlate.spans import Span

Plain = Any  # dict, list, str, int, float, bool or None of these
Cells = tuple["array[int]", "array[float]"]

# Cells of each table that outlive a restart: of more, those with the most observations.
CELLS_MAX = 50_000


def span_plain(span: Span) -> Plain:
    return [
        span.id, span.caller, span.callee, span.endpoint, span.start_ns, span.end_ns,
        span.served_ns, span.replied_ns, span.done_ns, span.target, span.operation_id, span.status,
    ]  # fmt: skip


class Table:
    """Calls and spans by number; one that is met twice has one number."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.calls: list[Call] = []
        self._span_numbers: dict[int, int] = {}
        self._call_numbers: dict[int, int] = {}

    @classmethod
    def of(cls, tree: Plain) -> "Table":
        table = cls()
        table.spans = [Span(*fields) for fields in tree["spans"]]
        table.calls = [Call.of(table.spans[span]) for span, _, _ in tree["calls"]]
        for call, (_, children, likely) in zip(table.calls, tree["calls"], strict=True):
            call.children = tuple(table.calls[child] for child in children)
            call.likely = table.calls[likely] if likely is not None else None
        return table

    def span(self, span: Span) -> int:
        number = self._span_numbers.setdefault(id(span), len(self.spans))
        if number == len(self.spans):
            self.spans.append(span)
        return number

    def call(self, call: Call) -> int:
        waiting = [call]
        while waiting:
            each = waiting.pop()
            if id(each) not in self._call_numbers:
                self._call_numbers[id(each)] = len(self.calls)
                self.calls.append(each)
                waiting += each.children
                waiting += [each.likely] if each.likely else []
        return self._call_numbers[id(call)]

    def plain(self) -> Plain:
        calls = [
            [
                self.span(call.span),
                [self.call(child) for child in call.children],
                self.call(call.likely) if call.likely else None,
            ]
            for call in self.calls
        ]
        return {"calls": calls, "spans": [span_plain(span) for span in self.spans]}


def model_plain(model: Model, cells_max: int | None = None) -> Plain:
    lesson, kinds = model.lesson, model.kinds
    assert lesson is not None  # a site is learned from something
    tables = {"gap": lesson.gap, "count": lesson.count, "unexplained": lesson.unexplained}
    return {
        "rows": [list(row) for row in kinds.rows],
        "kinds": [list(kind) for kind in kinds.kinds],
        "slack": list(model.slack),
        "groups": _groups_plain(model),
        "pace": model.pace,
        **{name: _cells_plain(cells, cells_max) for name, cells in tables.items()},
        "repeat": list(lesson.repeat),
        "samples": lesson.samples,
        "orphans": lesson.orphans,
        "span_ns": lesson.span_ns,
    }


def model_of(tree: Plain) -> Model:
    rows, names = [tuple(row) for row in tree["rows"]], [tuple(kind) for kind in tree["kinds"]]
    if len(rows) > ROWS_MAX or len(names) > KINDS_MAX:
        raise ValueError("too many kinds")
    kinds = Kinds(rows, names)
    lengths = len(tree["slack"]), len(tree["pace"]), len(tree["orphans"])
    if lengths != (kinds.row_count, kinds.kind_count, kinds.kind_count):
        raise ValueError("a number of each kind is needed")
    model = Model(kinds, tree["slack"], _groups_of(tree["groups"], kinds), tree["pace"])
    rows_of = kinds.row_count * kinds.kind_count
    lesson = Lesson(
        _cells_of(tree["gap"], model.groups * SLOTS * BINS),
        _cells_of(tree["count"], len(model.count_log)),
        _cells_of(tree["unexplained"], rows_of + 2 * kinds.row_count),
        array("d", tree["repeat"]),
        tree["samples"],
        tree["orphans"],
        tree["span_ns"],
    )
    done(model.again(lesson))
    return model


def _cells_plain(cells: Cells, most: int | None) -> Plain:
    if most is None:
        return [list(cells[0]), list(cells[1])]
    largest = sorted(zip(*cells, strict=True), key=lambda cell: (-cell[1], cell[0]))[:most]
    largest.sort()
    return [[at for at, _ in largest], [round(count, 3) for _, count in largest]]


def _cells_of(tree: Plain, size: int) -> Cells:
    cells, counts = array("i", tree[0]), array("d", tree[1])
    if len(cells) != len(counts) or (cells and not 0 <= min(cells) <= max(cells) < size):
        raise ValueError("cells that the table has not")
    return cells, counts


def _groups_plain(model: Model) -> Plain:
    """[class of rows, place in its table, number of a histogram]"""
    kinds = model.kinds
    size = (kinds.kind_count + 2) * (kinds.kind_count + 1)
    tables = {
        row_class: model.group[row * size : (row + 1) * size]
        for row, row_class in enumerate(kinds.class_of_row)
    }
    return [
        [row_class, at, number]
        for row_class, table in tables.items()
        for at, number in enumerate(table)
        if number >= 0
    ]


def _groups_of(tree: Plain, kinds: Kinds) -> "array[int]":
    size = (kinds.kind_count + 2) * (kinds.kind_count + 1)
    tables = {row_class: array("i", [-1]) * size for row_class in kinds.class_of_row}
    for row_class, at, number in tree:
        if not (0 <= at < size and 0 <= number < len(tree)):
            raise ValueError("a histogram that there is not")
        tables[row_class][at] = number
    found = array("i")
    for row_class in kinds.class_of_row:
        found.extend(tables[row_class])
    return found


def site_plain(site: Site, cells_max: int | None = None) -> Plain:
    return {
        "model": model_plain(site.model, cells_max),
        "manners": [[name, each.nested, each.slack_ns] for name, each in site.manners.items()],
        "keepers": [list(each) for each in site.keepers.items()],
        "among": [list(each) for each in site.among.items()],
        "life_ns": site.life_ns,
        "open_share": site.open_share,
    }


def site_of(tree: Plain) -> Site:
    model = model_of(tree["model"])
    if len(tree["open_share"]) != 2 * model.kinds.kind_count:
        raise ValueError("a share of each kind is needed")
    manners = {str(name): Manner(nested, slack) for name, nested, slack in tree["manners"]}
    model.heed(manners)
    return Site(
        model=model,
        manners=manners,
        keepers=_numbers(tree["keepers"]),
        among=_numbers(tree["among"]),
        life_ns=tree["life_ns"],
        never=model.never(),
        open_share=tree["open_share"],
    )


def _numbers(pairs: Iterable[Sequence[Any]]) -> dict[str, float]:
    return {str(name): float(value) for name, value in pairs}

"""`hoptap who`: what the history says of a machine or a person, as a table or as JSON lines."""

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from exporters.outbox import SinkError
from sensor import when
from sensor.exits import Exit, InputError
from sensor.history import Query, find
from sensor.report import COLUMNS, INDENT, Body, candidate_lines, row
from sensor.table import fit, lines_of, printable
from sensor.terminal import say

log = logging.getLogger(__name__)


def who(path: Path, query: Query, *, as_json: bool, width: int | None) -> Exit:
    """Prints what is found; NO when that is nothing. Raises InputError."""
    try:
        found = find(path, query)
    except SinkError as error:
        raise InputError(str(error)) from None
    if as_json:
        say(json.dumps(body, ensure_ascii=False) for body in found)
        return Exit.OK if found else Exit.NO
    if not found:
        log.info(
            "nobody and nothing called %s there%s", printable(query.name), _elsewhen(path, query)
        )
        return Exit.NO
    say(report(found, width))
    if len(found) == query.limit:
        log.info("only the last %d; --limit shows more", query.limit)
    return Exit.OK


def _elsewhen(path: Path, query: Query) -> str:
    """Was it the time that was asked for?"""
    if query.since_ns is None and query.until_ns is None:
        return ""
    last = find(path, replace(query, since_ns=None, until_ns=None, limit=1))
    if not last:
        return ", at any time"
    return f" then; the last record of another time is of {when.show(last[0]['ts'])}"


def report(found: Iterable[Body], width: int | None) -> Iterator[str]:
    """A table; under an ambiguous row, every chain that is possible."""
    bodies = list(found)
    rows = [tuple(map(printable, row(body, short=width is not None))) for body in bodies]
    widths = fit(COLUMNS, rows, width)
    zone = when.zone(bodies[0]["ts"]) if bodies else "UTC"
    titles = [column.title for column in COLUMNS]
    titles[0] += f" ({zone})"
    yield from lines_of(COLUMNS, widths, titles)
    for body, cells in zip(bodies, rows, strict=True):
        yield from lines_of(COLUMNS, widths, cells)
        for line in candidate_lines(body):
            yield INDENT + printable(line)

"""Records as rows for people: when, who through whom, did what to what, and how sure that is.

Works on records in their wire form, as the history and the NDJSON hold them.
"""

import re
from collections.abc import Iterator
from typing import Any

from sensor import when
from sensor.records import Record, as_dict
from sensor.table import Column, lines_of, printable

Body = dict[str, Any]

INDENT = "    "
_UUID = re.compile(r"([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
WIDE = 200  # columns where there is no terminal

COLUMNS = (
    Column("TIME"),
    Column("CHAIN", shrinks=2, breaks=":"),
    Column("OPERATION", shrinks=1, breaks=" _"),
    Column("TARGET", shrinks=1, breaks=" -_/"),
    Column("OUTCOME", shrinks=1, breaks=" :"),
    Column("BASIS"),
)


def row(body: Body, *, short: bool) -> tuple[str, ...]:
    """Cells of COLUMNS; `short` cuts UUIDs to what tells them apart, for a terminal."""
    cells = _cells(body)
    return tuple(_UUID.sub("\\1…", cell) for cell in cells) if short else cells


def _cells(body: Body) -> tuple[str, ...]:
    return (
        when.show(body["ts"]),
        chain_text(body),
        operation_text(body),
        target_text(body),
        outcome_text(body),
        basis_text(body),
    )


def chain_text(body: Body) -> str:
    """`VCD:bob@acme:VC:vCloudService`; without a chain, the account at the service."""
    path = body.get("chain", {}).get("path")
    if path:
        return str(path)
    source, to = body.get("from", {}), body.get("to", {})
    user = source.get("user") or to.get("user") or "?"
    return f"{to.get('service') or '?'}:{user}"


def operation_text(body: Body) -> str:
    """What was done; of an alert what it is about, of a gap how much is missing."""
    name = str(body.get("op", {}).get("name", ""))
    match body["kind"]:
        case "alert":
            return f"alert {body.get('reason', '')} {name}".rstrip()
        case "gap":
            return f"gap of {body.get('gap_bytes', 0)} bytes"
    return name or str(body["kind"])


def target_text(body: Body) -> str:
    """What was acted on, and what the action names besides: a new machine, a guest's program."""
    target = body.get("target", {})
    name, identity = target.get("name", ""), target.get("id", "")
    if body.get("guest_user"):
        name = f"{name or identity} as {body['guest_user']}"
    elif name and identity:
        name = f"{name} ({identity})"
    related = body.get("extra", {}).get("related", "")
    return f"{name or identity} -> {related}" if related else str(name or identity)


def outcome_text(body: Body) -> str:
    outcome, fault = body.get("outcome", ""), body.get("fault", "")
    return f"{outcome}: {fault}" if fault else str(outcome)


def basis_text(body: Body) -> str:
    """`explicit 0.99`, `ambiguous of 3`, `direct` for what nobody above caused."""
    hop = body.get("hop", {})
    cause = hop.get("cause", "")
    if cause in ("", "none"):
        return "" if not cause else "direct" if hop.get("confidence") else "unseen"
    if cause == "ambiguous":
        return f"ambiguous of {len(hop.get('candidates', ()))}"
    return f"{cause} {hop.get('confidence', 0.0):.2f}"


def candidate_lines(body: Body) -> Iterator[str]:
    """One line per possible chain, where the evidence does not single out one."""
    for candidate in body.get("hop", {}).get("candidates", ()):
        yield f"{candidate.get('confidence', 0.0):4.0%}  {candidate.get('path', '')}"


class RowWriter:
    """Records as rows while they come: the columns' widths are set beforehand."""

    def __init__(self, width: int | None) -> None:
        fixed = [23, 0, 26, 26, 20, 16]  # as in COLUMNS; the chain takes the rest
        rest = (width or WIDE) - sum(fixed) - 2 * (len(fixed) - 1)
        self._widths = [each or max(24, rest) for each in fixed]
        self._begun = False
        self._short = width is not None

    def __call__(self, record: Record) -> bytes:
        body = as_dict(record)
        lines = list(
            lines_of(COLUMNS, self._widths, [*map(printable, row(body, short=self._short))])
        )
        lines += [INDENT + printable(line) for line in candidate_lines(body)]
        if not self._begun:
            self._begun = True
            titles = [column.title for column in COLUMNS]
            lines = [*lines_of(COLUMNS, self._widths, titles), *lines]
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")

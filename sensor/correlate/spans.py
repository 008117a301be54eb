"""Calls as anyone may write them down: lines of JSON in, parents with probabilities out."""

import gzip
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any, Literal, NamedTuple, cast

from sensor.exits import InputError, OutputError, os_error_line

NOT_SEEN = -(1 << 63)  # CAUSES_NOT_SEEN of causes.h
# Bounds of what is read: a line longer than this is no span, a time is one of this era.
LINE_MAX = 1 << 20
TIME_MAX_NS = 1 << 62

Identity = int | str


@dataclass(frozen=True, slots=True)
class Span:
    """One call, as its client and (served, replied) its server saw it."""

    id: Identity
    caller: str
    callee: str
    endpoint: str
    start_ns: int
    end_ns: int
    served_ns: int
    replied_ns: int
    done_ns: int = NOT_SEEN  # end of the task that it started
    target: str = ""
    operation_id: str = ""
    status: str = ""

    @property
    def failed(self) -> bool:
        return self.status not in ("", "ok")


class Candidate(NamedTuple):
    parent: Identity | None  # None: nobody who was seen
    probability: float


@dataclass(frozen=True, slots=True)
class Assignment:
    """The parent of a span that is stated, and all that are possible, the most probable first."""

    span: Identity
    parent: Identity | None
    probability: float
    candidates: tuple[Candidate, ...]


def smallest_set(candidates: Iterable[Candidate], share: float = 0.95) -> tuple[Candidate, ...]:
    """The fewest candidates that reach this share together."""
    chosen: list[Candidate] = []
    total = 0.0
    for candidate in sorted(candidates, key=lambda each: -each.probability):
        chosen.append(candidate)
        total += candidate.probability
        if total >= share:
            break
    return tuple(chosen)


class _Problem(Exception):
    """What is wrong with a line."""


def _opened(path: str, mode: Literal["rb", "wb"]) -> IO[bytes]:
    if path == "-":
        return open(0 if mode == "rb" else 1, mode, closefd=False)
    return cast("IO[bytes]", gzip.open(path, mode)) if path.endswith(".gz") else open(path, mode)


def read_spans(path: str) -> list[Span]:
    """Raises InputError, with file and line, at the first line that is no span."""
    spans: dict[Identity, Span] = {}
    try:
        with _opened(path, "rb") as file:
            lines = iter(lambda: file.readline(LINE_MAX + 1), b"")
            for number, line in enumerate(lines, 1):
                try:
                    _add(spans, line)
                except _Problem as problem:
                    raise InputError(f"{path}:{number}: {problem}") from None
    except (EOFError, OSError, zlib.error) as error:
        raise _unreadable(path, error) from None
    return list(spans.values())


def _add(spans: dict[Identity, Span], line: bytes) -> None:
    if len(line) > LINE_MAX:
        raise _Problem(f"longer than {LINE_MAX:,} bytes")
    if not line.strip():
        return
    span = _span(line)
    if span.id in spans:
        raise _Problem(f"id {span.id} is taken")
    spans[span.id] = span


def _unreadable(path: str, error: Exception) -> InputError:
    if isinstance(error, OSError) and error.strerror:
        return InputError(os_error_line(path, error))
    return InputError(f"{path}: damaged or cut off: {error}")


def _span(line: bytes) -> Span:
    try:
        fields = json.loads(line.decode())
    except UnicodeDecodeError:
        raise _Problem("not UTF-8") from None
    except (ValueError, RecursionError):
        raise _Problem("not JSON") from None
    if not isinstance(fields, dict):
        raise _Problem("not an object")
    start, end = _time(fields, "start_ns"), _time(fields, "end_ns")
    if end < start:
        raise _Problem("end_ns is before start_ns")
    served = _time(fields, "srv_start_ns", start)
    return Span(
        id=_identity(fields),
        caller=_text(fields, "caller", required=True),
        callee=_text(fields, "callee", required=True),
        endpoint=_text(fields, "endpoint"),
        start_ns=start,
        end_ns=end,
        served_ns=served,
        replied_ns=max(served, _time(fields, "srv_end_ns", end)),
        done_ns=_time(fields, "done_ns", NOT_SEEN),
        target=_text(fields, "target"),
        operation_id=_text(fields, "opid"),
        status=_text(fields, "status"),
    )


def _identity(fields: dict[str, Any]) -> Identity:
    value = fields.get("id")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _Problem("id: a number or text is needed")
    return value


def _time(fields: dict[str, Any], name: str, default: int | None = None) -> int:
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < TIME_MAX_NS:
        raise _Problem(f"{name}: a time in ns is needed")
    return value


def _text(fields: dict[str, Any], name: str, *, required: bool = False) -> str:
    value = fields.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str):
        raise _Problem(f"{name}: text is needed")
    return value


def read_inventory(path: str) -> list[tuple[str, str]]:
    """Pairs of ids that belong together, of an object of maps from id to id or to a list of ids."""
    try:
        with _opened(path, "rb") as file:
            maps = json.loads(file.read().decode())
    except (EOFError, OSError, zlib.error) as error:
        raise _unreadable(path, error) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON") from None
    except RecursionError:
        raise InputError(f"{path}: not JSON") from None
    if not isinstance(maps, dict) or not all(isinstance(each, dict) for each in maps.values()):
        raise InputError(f"{path}: an object of maps is needed")
    pairs: list[tuple[str, str]] = []
    for name, links in maps.items():
        for key, value in links.items():
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(each, str) for each in values):
                raise InputError(f"{path}: {name}: {key}: an id or a list of ids is needed")
            pairs += ((key, each) for each in values)
    return pairs


def write_assignments(path: str, assignments: Iterable[Assignment]) -> None:
    try:
        with _opened(path, "wb") as file:
            for each in assignments:
                file.write(_line(each).encode())
    except OSError as error:
        raise OutputError(os_error_line(path, error)) from None


def _line(each: Assignment) -> str:
    fields = {
        "id": each.span,
        "parent": each.parent,
        "p": round(each.probability, 6),
        "candidates": [
            {"parent": one.parent, "p": round(one.probability, 6)} for one in each.candidates
        ],
    }
    return json.dumps(fields, separators=(",", ":")) + "\n"

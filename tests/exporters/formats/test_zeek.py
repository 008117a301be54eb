"""`hop.log` as zeek-cut and Zeek's own input reader take it."""

import re
from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.formats import zeek
from exporters.formats.registry import line_writer
from exporters.formats.text import encodable
from sensor.records import as_dict
from tests.exporters.formats.cases import (
    AMBIGUOUS,
    BARE,
    EXPLICIT,
    GAP,
    HOSTILE,
    PSEUDONYMOUS,
    Tree,
    cases,
    hostile,
    hostile_candidates,
)

# A "?" is what a path has for an account that was not seen.
texts = st.one_of(
    st.text(st.characters(), max_size=80),
    st.text(st.sampled_from(",-()\\\n\r\t \x00\u2028\ud800#x2c"), max_size=40),
    st.sampled_from(["-", "(empty)", "#fields", "\\x09", "\\", ",", HOSTILE, "x" * 10_000]),
).filter(lambda text: text != "?")
Value = str | None | list[str]


class Log:
    """Reads by what the head of the log says, not by what we know."""

    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        assert lines.pop() == ""
        marks = [line for line in lines if line.startswith("#")]
        separator = marks[0].removeprefix("#separator ")
        self.separator = _unescaped(separator)
        head = dict(line[1:].split(self.separator, 1) for line in marks[1:])
        self.fields = head["fields"].split(self.separator)
        self.types = head["types"].split(self.separator)
        self.set_separator = head["set_separator"]
        self.empty, self.unset = head["empty_field"], head["unset_field"]
        self.rows = [line.split(self.separator) for line in lines if not line.startswith("#")]
        assert len(self.fields) == len(self.types) == len(set(self.fields))
        assert all(len(row) == len(self.fields) for row in self.rows)

    def cut(self, *names: str) -> Iterator[tuple[str, ...]]:
        """zeek-cut: columns by name, as they are in the file."""
        for row in self.rows:
            yield tuple(row[self.fields.index(name)] for name in names)

    def values(self) -> Iterator[dict[str, Value]]:
        for row in self.rows:
            yield {
                name: self._value(kind, cell)
                for name, kind, cell in zip(self.fields, self.types, row, strict=True)
            }

    def _value(self, kind: str, cell: str) -> Value:
        if cell == self.unset:
            return None
        if kind.startswith(("set", "vector")):
            if cell == self.empty:
                return []
            return [_unescaped(each) for each in cell.split(self.set_separator)]
        return _unescaped(cell)


def _unescaped(text: str) -> str:
    r"""\xNN is a byte, also of a character of several."""
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return raw.decode()


def log(trees: Sequence[Tree]) -> Log:
    write = line_writer(zeek.FORMAT)
    return Log(b"".join(map(write, trees)).decode())


@given(texts)
@settings(max_examples=150, deadline=None)
def test_every_text_comes_back(text: str) -> None:
    shown = encodable(text)
    (row,) = log([as_dict(hostile(text))]).values()
    assert row["operation"] == row["target_name"] == row["fault"] == (shown or None)
    assert row["users"] == ([*dict.fromkeys(each for each in (shown, "vpxuser") if each)])


@given(texts)
@settings(max_examples=80, deadline=None)
def test_candidates_come_back(text: str) -> None:
    (row,) = log([as_dict(hostile_candidates(text))]).values()
    assert isinstance(row["candidates"], list) and len(row["candidates"]) == 3
    assert row["user"] is None and row["attribution"] == "ambiguous"


def test_a_log_of_all_records() -> None:
    trees = cases()
    read = log(trees)
    assert [row["kind"] for row in read.values()] == [tree["kind"] for tree in trees]
    for ts, port, host, count in read.cut("ts", "id.orig_p", "id.orig_h", "gap_bytes"):
        assert re.fullmatch(r"\d+\.\d{6}", ts)
        assert re.fullmatch(r"\d+|-", port) and re.fullmatch(r"\d+|-", count)
        assert re.fullmatch(r"[0-9a-f.:]+|-", host)


def test_columns() -> None:
    read = log([as_dict(each) for each in (EXPLICIT, AMBIGUOUS, GAP, BARE, PSEUDONYMOUS)])
    assert list(read.cut("user", "account", "attribution")) == [
        ("bob@acme", "vpxuser", "explicit"),
        ("-", "vpxuser", "ambiguous"),
        ("-", "-", "none"),
        ("-", "-", "none"),
        ("u-0123456789abcdef0123", "u-fedcba98765432100000", "explicit"),
    ]
    assert list(read.cut("users", "candidates"))[1:3] == [
        (
            "vCloudService,vpxuser,bob@acme,CORP\\x5calice,carol:x",
            "VCD:bob@acme:VC:vCloudService:ESX:vpxuser,"
            "VCD:CORP\\x5c\\x5calice:VC:vCloudService:ESX:vpxuser,"
            "VCD:carol\\x5c:x:VC:vCloudService:ESX:vpxuser",
        ),
        ("(empty)", "(empty)"),
    ]
    assert [row["id.orig_h"] for row in read.values()][-1] is None  # no address
    assert {"ts", "uid", "id.orig_h", "community_id"} <= set(read.fields)

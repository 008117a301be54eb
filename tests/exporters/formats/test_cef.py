"""CEF as jc reads it, and by the rules of its specification."""

import re
from typing import Any

import jc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.formats import cef
from exporters.formats.reading import read
from exporters.formats.text import cut_bytes, encodable, visible
from sensor.records import Record, as_dict
from tests.exporters.formats.cases import AMBIGUOUS, EXPLICIT, GAP, HOSTILE, cases, hostile

# A "?" is what a path has for an account that was not seen.
texts = st.one_of(
    st.text(st.characters(), max_size=80),
    st.text(st.sampled_from("|=\\\n\r\t \x00\u2028\ud800\u202e\U0001f600a"), max_size=40),
    st.builds(lambda text, times: text * times, st.sampled_from(["\\", "=", "é", "\n", "x"]),
              st.integers(0, 10_000)),
    st.just(HOSTILE),
).filter(lambda text: text != "?")  # fmt: skip
PAIR = re.compile(r"(?:^| )(\w+)=((?:[^\\=]|\\[\\=nr])*?)(?= \w+=|$)")
UNESCAPED = {"\\\\": "\\", "\\=": "=", "\\n": "\n", "\\r": "\r"}


def parsed(line: str) -> tuple[list[str], dict[str, str]]:
    """Header and extension, by the rules of the specification; fails on what they do not allow."""
    fields = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    assert len(fields) == 8
    found = PAIR.findall(fields[7])
    assert sum(len(key) + len(value) + 2 for key, value in found) - 1 == len(fields[7])
    assert len({key for key, _ in found}) == len(found), "a key twice"
    values = {key: re.sub(r"\\.", lambda pair: UNESCAPED[pair[0]], value) for key, value in found}
    return fields[:7], values


def jc_parsed(line: str) -> dict[str, Any]:
    (found,) = jc.parse("cef", line, quiet=True)
    assert isinstance(found, dict)
    return found


@given(texts)
@settings(max_examples=150, deadline=None)
def test_every_text_comes_back(text: str) -> None:
    line = cef.render(as_dict(hostile(text)))
    header, values = parsed(line)
    assert header[:3] == ["CEF:1", "hoptap", "hoptap"]
    assert "\n" not in line and "\r" not in line and len(line.encode()) <= cef.LINE_MAX
    shown = visible(encodable(text))
    for key in ("suser", "act", "shost", "cs6"):
        if key in values:
            expected = cut_bytes(shown, cef._SIZES[key]).rstrip(" ")
            assert values[key] == expected
            assert len(values[key].encode()) <= cef._SIZES[key]
        else:
            assert not text.strip(" ") or len(line.encode()) > cef.LINE_MAX / 2


@given(st.text(st.sampled_from("ab|=\\\n\ré\U0001f600"), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_jc_reads_the_same(text: str) -> None:
    text = text.replace("\\|", "\\/")  # jc takes a backslash before a pipe away, escaped or not
    found = jc_parsed(cef.render(as_dict(hostile(text))))
    it = read(as_dict(hostile(text)))
    assert found["suser"] == found["act"] == text
    assert found["delegateChain"] == it.path
    assert (found["deviceProduct"], found["name"]) == ("hoptap", "Action")
    assert found["agentSeverity"] == "3"


@pytest.mark.parametrize("tree", cases(), ids=lambda tree: f"{tree['kind']} {tree.get('id', '')}")
def test_captured_records_through_jc(tree: Any) -> None:
    header, values = parsed(cef.render(tree))
    found = jc_parsed(cef.render(tree))
    assert found["deviceEventClassId"] == header[4]
    assert found["attribution"] == values["cs4"] == read(tree).attribution
    for key, label in cef._LABELS.items():
        assert (f"{key}Label" in values) == (key in values)
        assert values.get(f"{key}Label", label) == label


def test_names_have_no_pipe() -> None:
    """An escaped one in the header makes jc lose the name."""
    assert not any("|" in name for name in cef._NAMES.values())


@pytest.mark.parametrize(
    ("record", "present", "absent"),
    [(EXPLICIT, {"src", "dst", "suser"}, {"c6a2"}), (GAP, {"c6a2", "c6a3", "cn2"}, {"src", "dst"}),
     (AMBIGUOUS, {"duser", "msg"}, {"suser", "suid"})],
)  # fmt: skip
def test_keys(record: Record, present: set[str], absent: set[str]) -> None:
    _, values = parsed(cef.render(as_dict(record)))
    assert present <= values.keys() and not absent & values.keys()
    assert values["externalId"] == record.id


def test_candidates_are_in_the_message() -> None:
    _, values = parsed(cef.render(as_dict(AMBIGUOUS)))
    assert values["msg"].endswith("one of bob@acme 0.55, CORP\\alice 0.24, carol:x 0.17")

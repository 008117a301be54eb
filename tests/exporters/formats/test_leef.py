"""LEEF 2.0 by IBM's rules: fields by pipes, attributes by the delimiter, no escape."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.formats import leef
from exporters.formats.text import cut_bytes, encodable, spaced
from sensor.records import as_dict
from tests.exporters.formats.cases import (
    AMBIGUOUS,
    EXPLICIT,
    GAP,
    HOSTILE,
    PSEUDONYMOUS,
    Tree,
    cases,
    hostile,
    hostile_candidates,
)

PREDEFINED = {  # with the longest value that IBM's table allows, 0 where it gives none
    "cat": 0, "devTime": 0, "proto": 0, "sev": 0, "src": 0, "dst": 0, "srcPort": 0, "dstPort": 0,
    "usrName": 255, "identSrc": 0, "accountName": 255, "role": 0, "resource": 0, "url": 0,
    "domain": 0,
}  # fmt: skip
RESERVED = {"isLoginEvent", "isLogoutEvent", "identMAC", "calLanguage", "identSecondlp"}
# A "?" is what a path has for an account that was not seen.
texts = st.one_of(
    st.text(st.characters(), max_size=80),
    st.text(st.sampled_from("|=\\\n\r\t \x00\u2028\ud800\u202e\U0001f600^"), max_size=40),
    st.builds(lambda text, times: text * times, st.sampled_from(["\t", "é", "\U0001f600", "x"]),
              st.integers(0, 10_000)),
    st.just(HOSTILE),
).filter(lambda text: text != "?")  # fmt: skip


def parsed(line: str) -> tuple[list[str], dict[str, str]]:
    """As QRadar does: five fields and the delimiter, then keys and values up to the first =."""
    *header, delimiter, attributes = line.split("|", 6)
    assert header[0] == "LEEF:2.0" and len(header) == 5
    assert re.fullmatch(r"(0?x[0-9A-Fa-f]{1,4}|.)", delimiter)
    separator = chr(int(delimiter.lstrip("0").lstrip("x"), 16))
    pairs = [each.partition("=") for each in attributes.split(separator)]
    assert all(equals and re.fullmatch(r"[A-Za-z0-9_]+", key) for key, equals, _ in pairs)
    values = {key: value for key, _, value in pairs}
    assert len(values) == len(pairs), "a key twice"
    return header, values


@given(texts)
@settings(max_examples=150, deadline=None)
def test_every_text_comes_back(text: str) -> None:
    line = leef.render(as_dict(hostile(text)))
    header, values = parsed(line)
    assert len(line.encode()) < 4096 - 300  # a syslog header must fit before it
    assert line.isprintable() or all(each not in line for each in "\n\r\x00\x85\u2028")
    expected = cut_bytes(spaced(encodable(text)), 255)
    assert values.get("usrName", "") == expected
    assert len(header[4].encode()) <= 255


@given(texts)
@settings(max_examples=50, deadline=None)
def test_candidates_fit_too(text: str) -> None:
    line = leef.render(as_dict(hostile_candidates(text)))
    _, values = parsed(line)
    assert len(line.encode()) <= leef.LINE_MAX and "usrName" not in values
    assert values["attribution"] == "ambiguous" and values["candidates"]


@pytest.mark.parametrize("tree", cases(), ids=lambda tree: f"{tree['kind']} {tree.get('id', '')}")
def test_the_rules(tree: Tree) -> None:
    header, values = parsed(leef.render(tree))
    assert not RESERVED & values.keys()
    assert re.fullmatch(r"\d{1,13}", values["devTime"])  # 13 digits need no devTimeFormat
    assert 1 <= int(values["sev"]) <= 10
    for key, most in PREDEFINED.items():
        assert not most or len(values.get(key, "")) <= most
    assert header[4].startswith(tree["kind"])


def test_keys() -> None:
    _, explicit = parsed(leef.render(as_dict(EXPLICIT)))
    assert (explicit["usrName"], explicit["accountName"]) == ("bob@acme", "vpxuser")
    assert explicit["hopChain"] == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
    assert "identSrc" not in explicit  # the address is a service's
    _, gap = parsed(leef.render(as_dict(GAP)))
    assert gap["src"] == "2001:db8::1" and gap["gapBytes"] == "4096"
    _, hidden = parsed(leef.render(as_dict(PSEUDONYMOUS)))
    assert "src" not in hidden and "dst" not in hidden
    _, open_ = parsed(leef.render(as_dict(AMBIGUOUS)))
    assert open_["candidates"] == "bob@acme 0.55, CORP\\alice 0.24, carol:x 0.17"

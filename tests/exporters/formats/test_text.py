"""Cutting and cleaning of text, and how a record is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.formats.moment import epoch, iso, iso_micro, milliseconds
from exporters.formats.reading import Level, domain_of, ip_version, levels_of, read
from exporters.formats.text import cut, cut_bytes, cut_path, encodable, encodable_tree, visible
from sensor.records import as_dict, escape_uid, path_of
from tests.exporters.formats.cases import AMBIGUOUS, BARE, EXPLICIT, FAILED, HOSTILE, NOTICE

texts = st.text(st.characters(), max_size=60) | st.just(HOSTILE)


@given(texts, st.integers(0, 70))
def test_a_cut_is_the_longest_start_that_fits(text: str, most: int) -> None:
    def units(part: str) -> int:
        return len(part.encode("utf-16-le", "surrogatepass")) // 2

    start = cut(text, most)
    assert text.startswith(start)
    assert units(start) <= most
    assert start == text or units(text[: len(start) + 1]) > most


@given(texts.map(encodable), st.integers(0, 200))
def test_a_cut_in_bytes_too(text: str, most: int) -> None:
    start = cut_bytes(text, most)
    assert text.startswith(start)
    assert len(start.encode()) <= most
    assert start == text or len(text[: len(start) + 1].encode()) > most


@given(st.lists(st.tuples(st.sampled_from(["VC", "ESX", "?"]), texts), max_size=4))
def test_a_path_is_read_as_it_was_written(pairs: list[tuple[str, str]]) -> None:
    known = [Level("" if s == "?" else s, "" if u == "?" else u) for s, u in pairs]
    assert levels_of(path_of(pairs)) == tuple(known)


@given(texts.filter(bool), st.integers(1, 40))
def test_a_cut_path_ends_in_no_half_of_an_escape(user: str, most: int) -> None:
    start = cut_path(escape_uid(encodable(user)), most)
    assert (len(start) - len(start.rstrip("\\"))) % 2 == 0


@pytest.mark.parametrize("path", ["", "VC", ":", "a\\", "VC:a\\", "VC:\\", "\\" * 20_001])
def test_what_is_no_path_does_no_harm(path: str) -> None:
    assert len(list(levels_of(path))) <= 1


@given(texts)
def test_encodable(text: str) -> None:
    encodable(text).encode()
    assert encodable(encodable(text)) == encodable(text)


def test_trees_are_copied() -> None:
    tree = {"a": ["\udc80", {"\udc81": 1}], "n": None, "t": ("x",)}
    assert encodable_tree({"a": ["\u05d0"]}) == {"a": ["\u05d0"]}
    assert encodable_tree(tree) == {"a": ["\ufffddc80", {"\ufffddc81": 1}], "n": None, "t": ["x"]}


def test_visible() -> None:
    assert visible("a\x00\x1b\x7f\x85\u2028\n\t") == "a\\x00\\x1b\\x7f\\x85\\u2028\n\\x09"


def test_moments() -> None:
    assert iso(1_795_290_000_123_456_789) == "2026-11-21T19:40:00.123456789Z"
    assert iso_micro(1_795_290_000_123_456_789, "+0000") == "2026-11-21T19:40:00.123456+0000"
    assert epoch(1_795_290_000_000_456_789) == "1795290000.000456"
    assert milliseconds(1_795_290_000_123_999_999) == 1_795_290_000_123
    assert iso(0) == "1970-01-01T00:00:00.000000000Z"
    assert iso(2**64) == "2554-07-21T23:34:33.709551616Z"
    assert iso(2**80).startswith("9999-12-31T23:59:59")


@pytest.mark.parametrize(
    ("text", "version"),
    [("10.0.0.1", 4), ("::1", 6), ("fe80::1%eth0", 0), ("", 0), ("x", 0), ("10.0.0.256", 0)],
)
def test_ip_version(text: str, version: int) -> None:
    assert ip_version(text) == version


@pytest.mark.parametrize(
    ("user", "domain"),
    [("CORP\\bob", "CORP"), ("bob@acme", "acme"), ("bob", ""), ("", ""), ("a@b@c", "c")],
)
def test_domains(user: str, domain: str) -> None:
    assert domain_of(user) == domain


def test_reading_of_a_delegated_action() -> None:
    it = read(as_dict(EXPLICIT))
    assert (it.asker, it.account, it.delegate) == ("bob@acme", "vpxuser", "vpxuser")
    assert it.middle == (("VC", "vCloudService"),)
    assert it.users == ("bob@acme", "vCloudService", "vpxuser")
    assert it.addresses == ["10.0.0.5", "10.0.9.21", "192.0.2.9"]
    assert it.sessions == ["b2s:22bb", "b2s:11aa"]
    assert it.event_class == "action.delete"
    assert it.duration_ns == 1_500_000


def test_reading_of_an_undecided_action() -> None:
    it = read(as_dict(AMBIGUOUS))
    assert (it.asker, it.account) == ("", "vpxuser")
    assert it.users == ("vCloudService", "vpxuser", "bob@acme", "CORP\\alice", "carol:x")
    assert it.suspects == "bob@acme 0.55, CORP\\alice 0.24, carol:x 0.17"
    assert it.sentence == (
        "Destroy_Task on VirtualMachine web-07 vm-417 by VCD:?:VC:vCloudService:ESX:vpxuser "
        "success one of bob@acme 0.55, CORP\\alice 0.24, carol:x 0.17"
    )


def test_reading_of_what_is_hardly_there() -> None:
    bare, notice, failed = (read(as_dict(each)) for each in (BARE, NOTICE, FAILED))
    assert (bare.levels, bare.attribution, bare.sentence) == ((), "none", "gap")
    assert notice.sentence == "scanner (nmap: operationID 00000001) RetrieveServiceContent"
    assert notice.event_class == "alert.scanner"
    assert (failed.asker, failed.account, failed.status) == ("", "", 401)
    assert failed.request == ("POST", "/api/session?x=y")
    assert failed.event_class == "login"

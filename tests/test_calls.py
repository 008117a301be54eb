"""Recorded captures against what the server says it was asked: every login, good or bad, and every
change, each under the right user and from the right client, behind whatever proxy."""

import json
from pathlib import Path

import pytest

from tests.calls import Comparison, last_words
from tests.command import Record, hoptap, read_records
from tests.packaged import calls_of, capture_of, replayed, unpacked

PROXY = "10.77.2.20"
# Logins, logouts and changes in each.
CALLS = {
    "rest-tls13": 8,
    "sso-token-tls13": 7,
    "h2-govc": 9,
    "squid-connect-tls": 44,
    "nginx-term-keepalive-shared": 80,
    "haproxy-term-proxyv2": 82,
    "direct-tls13-govc": 15,
    "direct-clear-pyvmomi": 38,
    "direct-tls13-pyvmomi": 40,
    "direct-tls12-ecdhe-pyvmomi": 40,
    "direct-tls12-rsa-pyvmomi": 40,
    "pipelining-clear": 2,
}
_CLOCK_NS = 2_000_000


@pytest.mark.parametrize("name", CALLS)
def test_every_call_has_its_user_and_client(name: str, tmp_path: Path) -> None:
    compared = Comparison(replayed(name, tmp_path), calls_of(name), PROXY)
    assert compared.problems == []
    assert compared.right == CALLS[name]


@pytest.mark.parametrize("name", ["nginx-term-keepalive-shared", "haproxy-term-proxyv2"])
def test_a_proxy_whose_tls_stays_closed(name: str, tmp_path: Path) -> None:
    """Only the leg behind it can be read: what the proxy says of its clients must do."""
    out = tmp_path / "records.ndjson"
    hoptap("replay", "--out", out, capture_of(name))
    compared = Comparison(read_records(out), calls_of(name), PROXY)
    assert compared.problems == []
    assert compared.right == CALLS[name]


def client_calls(name: str) -> list[Record]:
    """What the client programs say they did, and how it ended."""
    lines = map(json.loads, unpacked(name, "truth.jsonl.gz").splitlines())
    named = ("Login", "Logout", "CloneSession", "ImpersonateUser", "TerminateSession")
    return [each for each in lines if each["src"] and each["method"].startswith(named)]


@pytest.mark.parametrize(
    "name", ["squid-connect-tls", "nginx-term-keepalive-shared", "haproxy-term-proxyv2"]
)
def test_every_login_ended_as_its_client_says(name: str, tmp_path: Path) -> None:
    records = last_words(replayed(name, tmp_path))
    said = client_calls(name)
    assert len(said) >= 15
    for call in sorted(said, key=lambda each: float(each["t0"])):
        record = next(each for each in records if is_of(each, call))
        records.remove(record)
        assert record["outcome"] == ("failure" if call["fault"] else "success"), call


def is_of(record: Record, call: Record) -> bool:
    sent, answered = (int(call[each] * 1e9) for each in ("t0", "t1"))
    return bool(
        record["op"]["name"] == call["method"]
        and record["from"]["ip"] == call["src"].rpartition(":")[0]
        and sent - _CLOCK_NS <= record["ts"]
        and record["ts_end"] <= answered + _CLOCK_NS
    )

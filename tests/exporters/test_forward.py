"""Fluent Forward: every record arrives in each mode; what cannot work is one clear line."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters.endpoint import Endpoint, TlsFiles
from exporters.forward import Forward
from exporters.outbox import SinkError
from tests.certificates import Authority
from tests.exporters.delivering import deliver, failure_of
from tests.exporters.receivers.process import Receiver, fluent, python
from tests.exporters.sample import HOP, as_javascript, trees

MODES = ("message", "forward", "packed", "compressed")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def endpoint(port: int, tls: TlsFiles | None = None, ack_timeout_s: float = 20) -> Endpoint:
    return Endpoint("127.0.0.1", port, 5, ack_timeout_s, tls)


def assert_all_there(stored: Iterator[Any], records: list[dict[str, Any]], *, js: bool) -> None:
    """Each once, in order, equal, its time to the nanosecond."""
    count = 0
    for line, record in zip(stored, records, strict=True):
        assert line["tag"] == "hoptap.hop"
        assert line["time"] == list(divmod(record["ts"], 10**9))
        if js:
            assert as_javascript(line["record"]) == as_javascript(record)
        else:
            assert line["record"] == record
        count += 1
    assert count == len(records)


@pytest.mark.server
def test_fluent_server_with_key_user_and_tls(authority: Authority, tmp_path: Path) -> None:
    pair, client = authority.issue("127.0.0.1"), authority.issue("client")
    options = {
        "security": {
            "serverHostname": "fluent.test",
            "sharedKey": "secret key",
            "authorize": True,
            "userDict": {"hoptap": "pass word"},
        },
        "tls": {"cert": pair.cert_file, "key": pair.key_file, "ca": str(authority.certificate)},
    }
    records = trees(2000)
    with fluent(tmp_path / "store", **options) as receiver:
        tls = client

        def forward(key: str, password: str) -> Forward:
            return Forward(
                endpoint(receiver.port, tls), HOP,
                shared_key=key, username="hoptap", password=password,
            )  # fmt: skip

        wrong_key = failure_of(forward("other", "pass word"), records)
        wrong_user = failure_of(forward("secret key", "other"), records)
        transport = forward("secret key", "pass word")
        assert transport.probe() == f"forward 127.0.0.1:{receiver.port}: shared key accepted"
        assert deliver(transport, records) == []
        transport.close()
        without = Forward(
            endpoint(receiver.port, TlsFiles(str(authority.certificate))), HOP, shared_key="x"
        )
        no_certificate = failure_of(without, records)
    assert_all_there(receiver.stored(), records, js=True)
    for error in (wrong_key, wrong_user):
        assert "the receiver refused the shared key, user name or password: " in str(error)
        assert error.final
    assert "certificate required" in str(no_certificate)
    assert no_certificate.final


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("acknowledge", [True, False])
def test_every_mode_to_a_server_after_the_specification(
    mode: str, acknowledge: bool, tmp_path: Path
) -> None:
    records = trees(1000)
    with python("forward", tmp_path / "store") as receiver:
        transport = Forward(endpoint(receiver.port), HOP, mode=mode, acknowledge=acknowledge)
        assert transport.acknowledges is acknowledge
        assert deliver(transport, records) == []
        transport.close()
        receiver_has(receiver, len(records))
    assert_all_there(receiver.stored(), records, js=False)


def receiver_has(receiver: Receiver, count: int) -> None:
    """Without acknowledgements the receiver may still be reading: one with an ack ends the wait."""
    last = Forward(endpoint(receiver.port), HOP, tag="the end")
    while sum(1 for line in receiver.stored() if line["tag"] != "the end") < count:
        last.send(trees(1))
    last.close()
    lines = [line for line in receiver.stored() if line["tag"] != "the end"]
    receiver.store.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("mode", ["message", "packed"])
def test_nothing_acknowledged_is_lost_when_the_receiver_is_killed(
    mode: str, tmp_path: Path
) -> None:
    records = trees(5000)
    killed_at: list[int] = []

    with python("forward", tmp_path / "store") as receiver:

        def kill(safe: int) -> None:
            if safe > 1000 * (len(killed_at) + 1):
                killed_at.append(safe)
                receiver.kill()
                stored = {line["record"]["id"] for line in receiver.stored()}
                assert {record["id"] for record in records[:safe]} <= stored
                receiver.start()

        transport = Forward(endpoint(receiver.port), HOP, mode=mode)
        assert deliver(transport, records, between=kill) == []
        transport.close()
        stored = [line["record"] for line in receiver.stored()]
    assert len(killed_at) == 4
    once = {record["id"]: record for record in stored}
    assert list(once.values()) == records


@pytest.mark.parametrize("manners", ["fluentd", "fluent-bit"])
def test_handshake(manners: str, tmp_path: Path) -> None:
    """Also with the nonce that Fluent Bit sends, and its silent refusal."""
    options = {"manners": manners, "shared_key": "secret", "user": "hoptap:word"}
    with python("forward", tmp_path / "store", **options) as receiver:

        def forward(key: str = "secret", user: str = "hoptap", password: str = "word") -> Forward:
            return Forward(
                endpoint(receiver.port), HOP, shared_key=key, username=user, password=password
            )

        for _ in range(20):  # a nonce is random, and not every one is bad UTF-8
            transport = forward()
            assert transport.send(trees(1)) == []
            transport.close()
        errors = [
            failure_of(wrong, trees(1))
            for wrong in (forward(key="x"), forward(user="x"), forward(password="x"))
        ]
    assert len(list(receiver.stored())) == 20
    where = f"forward 127.0.0.1:{receiver.port}: the receiver refused the shared key, user name"
    assert all(str(error).startswith(where) and error.final for error in errors)


def test_a_salt_for_passwords_where_nobody_has_one(tmp_path: Path) -> None:
    options = {"manners": "fluent-bit", "shared_key": "secret"}
    with python("forward", tmp_path / "store", **options) as receiver:
        transport = Forward(endpoint(receiver.port), HOP, shared_key="secret")
        assert transport.send(trees(1)) == []
        transport.close()
    assert len(list(receiver.stored())) == 1


def test_a_large_batch_goes_in_chunks_that_receivers_buffer(tmp_path: Path) -> None:
    records = trees(5000)  # some 5 MB
    with python("forward", tmp_path / "store") as receiver:
        transport = Forward(endpoint(receiver.port), HOP)
        assert transport.send(records) == []
        transport.close()
    assert_all_there(receiver.stored(), records, js=False)


def test_a_receiver_that_does_not_know_the_key_gets_nothing(tmp_path: Path) -> None:
    with python("forward", tmp_path / "store", shared_key="theirs", impostor=True) as receiver:
        error = failure_of(Forward(endpoint(receiver.port), HOP, shared_key="ours"), trees(1))
    assert "does not prove that it knows the shared key" in str(error)
    assert list(receiver.stored()) == []


def test_a_receiver_that_wants_a_key_we_have_not(tmp_path: Path) -> None:
    with python("forward", tmp_path / "store", shared_key="theirs") as receiver:
        without = Forward(endpoint(receiver.port), HOP, acknowledge=False)
        error = failure_of(without, trees(1))
        with pytest.raises(SinkError, match="wants a shared key"):
            without.probe()
    assert str(error) == f"forward 127.0.0.1:{receiver.port}: the receiver wants a shared key"
    assert (error.written, error.final) == (0, True)


def test_a_receiver_that_never_acknowledges(tmp_path: Path) -> None:
    with python("forward", tmp_path / "store", never_acknowledge=True) as receiver:
        transport = Forward(endpoint(receiver.port, ack_timeout_s=0.3), HOP)
        error = failure_of(transport, trees(10))
    assert str(error) == (
        f"forward 127.0.0.1:{receiver.port}: took the records, but acknowledged none of them"
        " in 0.3 s"
    )
    assert (error.written, error.final) == (0, False)


def test_a_receiver_that_does_not_greet(tmp_path: Path) -> None:
    with python("forward", tmp_path / "store", silent=True) as receiver:
        transport = Forward(endpoint(receiver.port, ack_timeout_s=0.3), HOP, shared_key="x")
        error = failure_of(transport, trees(1))
    assert "did not greet in 0.3 s: it may have no shared key" in str(error)


def test_a_receiver_that_is_down() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = failure_of(Forward(endpoint(port), HOP), trees(1))
    assert str(error) == f"forward 127.0.0.1:{port}: connection refused"


def test_an_expired_certificate(authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue("127.0.0.1", expired=True)
    with python("forward", tmp_path / "store", cert=pair.cert_file, key=pair.key_file) as receiver:
        transport = Forward(endpoint(receiver.port, TlsFiles(str(authority.certificate))), HOP)
        error = failure_of(transport, trees(1))
    assert "certificate has expired" in str(error)
    assert error.final


def test_a_record_that_no_receiver_takes_leaves_the_others_alone(tmp_path: Path) -> None:
    records = trees(3)
    records[1]["extra"] = {"much": "x" * (5 << 20)}
    with python("forward", tmp_path / "store") as receiver:
        transport = Forward(endpoint(receiver.port), HOP)
        [refused] = transport.send(records)
        transport.close()
        stored = [line["record"] for line in receiver.stored()]
    assert (refused.index, stored) == (1, [records[0], records[2]])
    assert "larger than" in refused.reason


def test_a_connection_closed_while_idle_costs_no_record(tmp_path: Path) -> None:
    with python("forward", tmp_path / "store") as receiver:
        transport = Forward(endpoint(receiver.port), HOP)
        transport.send(trees(1))
        receiver.kill()
        receiver.start()
        transport.send(trees(1))
        transport.close()
        assert len(list(receiver.stored())) == 2

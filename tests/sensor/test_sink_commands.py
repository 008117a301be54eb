"""What the commands do with sinks: replay, send-test and check."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sensor.exits import Exit
from tests.certificates import Authority
from tests.command import DEMO_CAPTURE, ROOT, hoptap, read_records, write_config
from tests.sensor.sinking import TOKEN, collector, events, sink

TIMEOUT_S = 60


def test_a_replay_waits_for_its_sinks(tmp_path: Path) -> None:
    with collector(tmp_path) as receiver:
        config = write_config(tmp_path, sink=[sink(tmp_path, receiver, batch_records_max=7)])
        out = tmp_path / "out.ndjson"
        hoptap("replay", "-c", config, "--out", out, "--quiet", DEMO_CAPTURE)
        assert not list(receiver.stored())  # nobody asked for it
        out.unlink()
        hoptap("replay", "-c", config, "--sinks", "--out", out, "--quiet", DEMO_CAPTURE)
        assert events(receiver) == read_records(out)
    assert not (tmp_path / "spool").exists()


def test_only_the_history_knows_who_a_pseudonym_is(tmp_path: Path) -> None:
    hidden, history, out = (tmp_path / name for name in ("hidden.log", "history.db", "out.ndjson"))
    each = {"id": "h", "type": "file", "to": str(hidden), "pseudonymize": ["user", "ip"]}
    config = write_config(tmp_path, sink=[each])
    files = ("--out", out, "--history", history, "--quiet", DEMO_CAPTURE)
    hoptap("replay", "-c", config, "--sinks", *files)
    whole, masked = read_records(out), read_records(hidden)
    assert [record["id"] for record in masked] == [record["id"] for record in whole]
    text = hidden.read_text()
    for record in whole:
        for user in record.get("chain", {}).get("users", ()):
            assert user not in text
        assert f'"{record["from"]["ip"]}"' not in text
    at = next(at for at, record in enumerate(whole) if record["to"].get("user") == "bob@acme")
    found = hoptap("who", masked[at]["to"]["user"], "--json", "--history", history).stdout
    assert whole[at] in [json.loads(line) for line in found.splitlines()]


def test_a_replay_says_which_receiver_did_not_take_its_records(tmp_path: Path) -> None:
    with collector(tmp_path) as receiver:
        config = write_config(tmp_path, sink=[sink(tmp_path, receiver)])
        (tmp_path / "token").write_text("wrong-CANARY")
        done = hoptap(
            "replay", "-c", config, "--sinks", "--quiet", DEMO_CAPTURE, exit_code=Exit.OUTPUT
        )
    [line] = done.stderr.splitlines()
    assert re.fullmatch(
        rf"hoptap: error: hec 127.0.0.1:{receiver.port}: 403 .*Invalid token.*; "
        r"\d+ records not written",
        line,
    )


def test_send_test_shows_every_answer(tmp_path: Path) -> None:
    listener = tmp_path / "listener"
    with (
        collector(tmp_path) as receiver,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        datagrams.bind(str(listener))
        nobody = closed.getsockname()[1]
        closed.close()
        sinks = [
            sink(tmp_path, receiver),
            {"id": "file", "type": "file", "to": str(tmp_path / "f.log"), "format": "ecs"},
            {"id": "unix", "type": "unix", "to": str(listener), "pseudonymize": ["user"]},
            {"id": "down", "type": "relp", "to": f"127.0.0.1:{nobody}"},
        ]
        config = write_config(tmp_path, sink=sinks)
        done = hoptap("send-test", "-c", config, "--count", "3", exit_code=Exit.OUTPUT)
        assert done.stdout.splitlines() == [
            f"ok       sink siem: hec 127.0.0.1:{receiver.port}: the token is accepted; "
            "3 of 3 records acknowledged",
            f"ok       sink file: {tmp_path}/f.log; 3 of 3 records on disk",
            f"ok       sink unix: unix {listener}: connected to a datagram socket; "
            "3 of 3 records sent, which it does not acknowledge",
            f"problem  sink down: relp 127.0.0.1:{nobody}: connection refused",
        ]
        assert TOKEN not in done.stdout + done.stderr
        sent = events(receiver)
        assert [each["extra"] for each in sent] == [
            {"test": "true", "sequence": f"{number}/3"} for number in (1, 2, 3)
        ]
        assert {each["kind"] for each in sent} == {"action"}
        assert sent[0]["to"]["user"] == "hoptap-test"
        hidden = json.loads(datagrams.recv(65536))
        assert hidden["to"]["user"].startswith("u-") and hidden["extra"]["test"] == "true"
        assert len((tmp_path / "f.log").read_text().splitlines()) == 3
        hoptap("send-test", "-c", config, "--sink", "unix", "--sink", "siem")
    none = hoptap("send-test", "-c", write_config(tmp_path), exit_code=Exit.USAGE)
    assert none.stderr == "hoptap: error: the configuration has no [[sink]]\n"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--sink", "x"), "--sink: there is no 'x', but a"),
        (("--count", "0"), "--count: must be at least 1 and at most 100,000"),
    ],
)
def test_send_test_has_a_line_for_a_wrong_option(
    tmp_path: Path, options: tuple[str, ...], line: str
) -> None:
    config = write_config(tmp_path, sink=[{"id": "a", "type": "file", "to": "/dev/null"}])
    done = hoptap("send-test", "-c", config, *options, exit_code=Exit.USAGE)
    assert done.stderr == f"hoptap: error: {line}\n"


def test_send_test_tells_a_refusal(tmp_path: Path) -> None:
    with collector(tmp_path) as receiver:
        config = write_config(tmp_path, sink=[sink(tmp_path, receiver)], sensor={
            "data_dir": str(tmp_path), "id": "poison",
        })  # fmt: skip
        done = hoptap("send-test", "-c", config, exit_code=Exit.OUTPUT)
    assert done.stdout == (
        f"problem  sink siem: hec 127.0.0.1:{receiver.port}: the token is accepted; "
        "0 of 1 records acknowledged; refused: 400 Bad Request: Invalid data format (code 6)\n"
    )


def test_check_lists_sinks_and_calls_them_when_asked(tmp_path: Path) -> None:
    with collector(tmp_path) as receiver:
        sinks = [
            sink(tmp_path, receiver, kinds=["alert"], pseudonymize=["user"]),
            {"id": "file", "type": "file", "to": "/nowhere/f.log"},
            {"id": "dir", "type": "file", "to": str(tmp_path)},
        ]
        config = write_config(tmp_path, sink=sinks)
        told = said_of_sinks("check", "-c", config)
        described = (
            f"ok siem: hec http://127.0.0.1:{receiver.port}, format hop; only kinds alert; "
            "pseudonyms instead of each user; spool 0 B of 1.07 GB"
        )
        assert told == [
            described,
            "problem file: /nowhere/f.log cannot be made: there is no directory /nowhere",
            f"problem dir: {tmp_path} is a directory",
        ]
        told = said_of_sinks("check", "-c", config, "--probe")
        assert told[:2] == [
            described,
            f"ok siem: hec 127.0.0.1:{receiver.port}: the token is accepted",
        ]
        assert TOKEN not in "".join(told)
        assert not list(receiver.stored())
    told = said_of_sinks("check", "-c", config, "--probe")
    assert told[1] == f"problem siem: hec 127.0.0.1:{receiver.port}: connection refused"
    assert not (tmp_path / "spool").exists()  # a check makes nothing


def test_check_looks_into_the_certificates_of_a_sink(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    relp = {"id": "siem", "type": "relp", "to": "127.0.0.1:9", "tls": True, "tls_ca_file": str(ca)}
    config = write_config(tmp_path, sink=[relp])
    ca.write_text("no PEM\n")
    none = f"{ca}: no certificate or crl found"
    assert said_of_sinks("check", "-c", config) == [f"problem siem: {none}"]
    done = hoptap(
        "replay", "-c", config, "--sinks", "--quiet", DEMO_CAPTURE, exit_code=Exit.CONFIGURATION
    )
    assert done.stderr == f"hoptap: error: sink siem: {none}\n"
    ca.write_bytes(Authority(tmp_path).certificate.read_bytes())
    [good] = said_of_sinks("check", "-c", config)
    assert good.startswith("ok siem: relp 127.0.0.1:9, format rfc5424; TLS; spool 0 B of ")


def test_check_knows_that_the_first_start_makes_the_data_directory(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    sinks = [
        {"id": name, "type": "file", "to": str(directory / "f.log")}
        for name, directory in (("in", data), ("beside", data.parent), ("below", data / "deeper"))
    ]
    config = write_config(tmp_path, sensor={"data_dir": str(data)}, sink=sinks)
    inside, beside, below = said_of_sinks("check", "-c", config)
    assert inside == f"ok in: file {data}/f.log, format hop"
    assert beside == f"ok beside: file {data.parent}/f.log, format hop"
    gone = f"there is no directory {data}/deeper"
    assert below == f"problem below: {data}/deeper/f.log cannot be made: {gone}"
    assert not data.parent.exists()


def said_of_sinks(*arguments: str | Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "sensor.cli", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return [f"{level} {text}" for level, subject, text in lines if subject == "sink"]


def test_what_an_extra_brings_is_named_when_it_is_missing(tmp_path: Path) -> None:
    sinks = [
        {"id": "k", "type": "kafka", "to": "127.0.0.1:9"},
        {"id": "n", "type": "nats", "to": "127.0.0.1:9"},
    ]
    config = write_config(tmp_path, sink=sinks)
    program = (
        "import sys; sys.modules['confluent_kafka'] = sys.modules['nats'] = None\n"
        "from sensor.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "send-test", "-c", config],
        cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "problem  sink k: needs confluent_kafka, which is not installed; "
        "pip install 'hoptap[kafka]'",
        "problem  sink n: needs nats, which is not installed; pip install 'hoptap[nats]'",
    ]

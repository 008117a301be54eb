"""TLS through the command: what keys open, what is said without them, and that they go nowhere."""

import json
import ssl
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sensor import _core
from sensor.exits import Exit
from sensor.finding import Level
from sensor.key_checks import key_findings
from sensor.settings import KeySettings, Settings
from tests.command import HOPTAP, TIMEOUT_S, hoptap, write_config
from tests.conversation import Conversation
from tests.impair import Packet, write_pcap, write_pcapng
from tests.lab.namespaces import CLIENT_INTERFACE, SERVER_INTERFACE, open_wire, wait_for
from tests.lab.sensor import listening
from tests.tls_talk import NAME, TlsTalk, destroy, login

CLIENT, SERVER = "10.1.0.11", "10.1.0.20"
PASSWORD = "Tr0ub4dor-and-3"
LATE_S = 0.5
NO_CORE_FILE = "Max core file size        0                    0"
SEND = (sys.executable, "-m", "tests.lab.send")
Record = dict[str, Any]


@pytest.fixture
def talk(tmp_path: Path) -> TlsTalk:
    return talk_of(tmp_path)


def talk_of(directory: Path, **options: Any) -> TlsTalk:
    talk = TlsTalk(directory, Conversation(CLIENT, 40_000, SERVER, 443), **options)
    talk.exchange(*login("bob", PASSWORD))
    talk.exchange(*destroy("vm-7"))
    talk.keys.chmod(0o600)
    talk.private_key.chmod(0o600)
    return talk


def capture_of(talk: TlsTalk, directory: Path) -> Path:
    return write_pcap(directory / "capture.pcap", talk.flows[0].packets())


def records_of(*arguments: str | Path) -> list[Record]:
    done = hoptap("replay", "--quiet", *arguments)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_key_log_opens_a_replay(talk: TlsTalk, tmp_path: Path) -> None:
    capture = capture_of(talk, tmp_path)
    found = records_of("--keys", talk.keys, capture)
    assert [each["op"]["name"] for each in found] == ["Login", "Destroy_Task"]
    for each in found:
        assert each["visibility"] == "decrypted"
        assert each["to"]["user"] == "bob"
        tls = each["tls"]
        assert (tls["version"], tls["sni"], tls["key_source"]) == ("TLS 1.3", NAME, "keylog")
        assert tls["cipher"].startswith("TLS_") and tls["subject"] == f"CN={NAME}"
        assert "reason" not in tls
    assert records_of(capture) == []


def test_a_replay_says_what_stayed_closed_and_why(talk: TlsTalk, tmp_path: Path) -> None:
    capture, log = capture_of(talk, tmp_path), tmp_path / "other.log"
    log.write_bytes(b"CLIENT_RANDOM " + b"ab" * 32 + b" " + b"cd" * 48 + b"\nno key\nnor this\n")
    log.chmod(0o600)
    without = "TLS: 0 of 1 sessions decrypted: 1 without their key"
    given = "1 keys given, 2 malformed lines in key logs"
    for keys, said in ((("--decrypt",), without), (("--keys", log), f"{without}, {given}")):
        for workers in ("1", "2"):
            done = hoptap("replay", "--workers", workers, *keys, capture)
            assert done.stderr.splitlines()[-1] == f"hoptap: {said}"
    assert "TLS" not in hoptap("replay", "--keys", talk.keys, capture).stderr


def test_a_replay_says_that_a_private_key_is_of_another(tmp_path: Path) -> None:
    talk = talk_of(tmp_path, version=ssl.TLSVersion.TLSv1_2, ciphers="AES128-GCM-SHA256")
    other = tmp_path / "other"
    other.mkdir()
    key = talk_of(other).private_key
    said = hoptap("replay", "--rsa-key", key, capture_of(talk, tmp_path)).stderr
    assert "1 without their key, 1 key exchanges that no RSA key given opens" in said


def test_several_logs_and_workers_are_as_one(tmp_path: Path) -> None:
    packets: list[Packet] = []
    options: list[str | Path] = []
    for number in range(3):
        directory = tmp_path / str(number)
        directory.mkdir()
        talk = TlsTalk(directory, Conversation(CLIENT, 40_000 + number, SERVER, 443))
        talk.exchange(*login(f"user{number}", PASSWORD))
        talk.keys.chmod(0o600)
        packets += talk.flows[0].packets()
        options += ["--keys", talk.keys]
    packets.sort(key=lambda packet: packet.time_ns)
    capture = write_pcap(tmp_path / "capture.pcap", packets)
    found = records_of(*options, "--workers", "3", capture)
    assert sorted(each["to"]["user"] for each in found) == ["user0", "user1", "user2"]


def test_a_private_key_opens_rsa_key_exchange(tmp_path: Path) -> None:
    talk = talk_of(tmp_path, version=ssl.TLSVersion.TLSv1_2, ciphers="AES128-GCM-SHA256")
    found = records_of("--rsa-key", talk.private_key, capture_of(talk, tmp_path))
    assert [each["op"]["name"] for each in found] == ["Login", "Destroy_Task"]
    assert {each["tls"]["key_source"] for each in found} == {"rsa"}


def test_the_configuration_opens_a_replay_that_names_it(talk: TlsTalk, tmp_path: Path) -> None:
    capture = capture_of(talk, tmp_path)
    for decrypt, count in ((True, 2), (False, 0)):
        config = write_config(tmp_path, keys={"decrypt": decrypt, "logs": [str(talk.keys)]})
        assert len(records_of("-c", config, capture)) == count


@pytest.mark.parametrize("workers", ["1", "2"])
def test_secrets_inside_a_pcapng_open_it_when_asked(
    talk: TlsTalk, tmp_path: Path, workers: str
) -> None:
    packets, secrets = talk.flows[0].packets(), talk.keys.read_bytes()
    capture = write_pcapng(tmp_path / "capture.pcapng", packets, secrets=secrets)
    found = records_of("--decrypt", "--workers", workers, capture)
    assert [each["op"]["name"] for each in found] == ["Login", "Destroy_Task"]
    assert {each["tls"]["key_source"] for each in found} == {"dsb"}
    assert records_of("--workers", workers, capture) == []


def test_workers_share_what_the_first_read(talk: TlsTalk, tmp_path: Path) -> None:
    secrets = talk.keys.read_bytes()
    capture = write_pcapng(tmp_path / "capture.pcapng", talk.flows[0].packets(), secrets=secrets)
    limits, sources = asdict(Settings().limits), list[_core.Source]()

    def source_of(worker: int, first: _core.Source | None) -> _core.Source:
        return _core.Source(
            _core.Interest(),
            limits,
            files=(str(capture),),
            worker=worker,
            workers=3,
            decrypt=True,
            secrets_of=first,
        )

    for worker in range(3):
        sources.append(source_of(worker, sources[0] if sources else None))
    taken = []
    for source in sources:
        source.fill(100)
        taken.append(source.counters()["tls_secrets_taken"])
        source.close()
    assert taken[0] >= 4 and taken == taken[:1] * 3
    with pytest.raises(ValueError, match="closed"):
        source_of(0, sources[0])


def test_a_wrong_key_log_is_no_error_and_tells_nothing(talk: TlsTalk, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.log"
    lines = [line.split() for line in talk.keys.read_text().splitlines()]
    wrong.write_text("".join(f"{label} {name} {'00' * 48}\n" for label, name, *_ in lines[1:]))
    wrong.chmod(0o600)
    config = write_config(tmp_path, service=[{"id": "VC", "addresses": [SERVER]}])
    [record] = records_of("-c", config, "--keys", wrong, capture_of(talk, tmp_path))
    assert record["visibility"] == "metadata"
    assert record["tls"]["reason"] == "failed"
    assert record["chain"]["path"] == "VC:?"


def test_what_is_wrong_with_a_key_is_one_line(talk: TlsTalk, tmp_path: Path) -> None:
    capture = capture_of(talk, tmp_path)
    for option, path, line in (
        ("--keys", tmp_path / "none", "key log {}: No such file or directory"),
        ("--keys", tmp_path, "key log {}: Is a directory"),
        ("--rsa-key", tmp_path / "none", "RSA key {}: No such file or directory"),
        ("--rsa-key", talk.keys, "RSA key {}: not a private key in PEM without passphrase"),
    ):
        done = hoptap("replay", option, path, capture, exit_code=Exit.CONFIGURATION)
        assert done.stderr == f"hoptap: error: {line.format(path)}\n"
    talk.keys.chmod(0o604)
    done = hoptap("replay", "--quiet", "--keys", talk.keys, capture)
    assert done.stderr == (
        f"hoptap: warning: key log {talk.keys}: others on this machine may read it; "
        f"chmod o-r {talk.keys}\n"
    )


def test_a_replay_with_keys_leaves_no_core_file(talk: TlsTalk) -> None:
    allowed = ("bash", "-c", 'ulimit -S -c hard; exec "$0" "$@"')
    with subprocess.Popen(
        [*allowed, HOPTAP, "replay", "--keys", str(talk.keys), "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        limits = Path(f"/proc/{process.pid}/limits")
        wait_for(lambda: NO_CORE_FILE in limits.read_text(), "no core file")
        process.stdin.close()
        assert process.wait(TIMEOUT_S) == Exit.INPUT  # an empty capture


def checked(config: Path) -> dict[str, tuple[str, str]]:
    """Subject -> level and text, of what a check says."""
    done = hoptap("check", "-c", config, exit_code=Exit.NO)  # it has no interface "none0"
    found = {}
    for each in done.stdout.splitlines():
        level, rest = each.split(maxsplit=1)
        subject, _, text = rest.partition(": ")
        found[subject] = (level, text)
    return found


def test_check_tells_of_the_intake(talk: TlsTalk, tmp_path: Path) -> None:
    wire = {"interfaces": ["none0"]}
    later, fifo, unix = (str(tmp_path / name) for name in ("later.log", "fifo", "sock"))
    config = write_config(tmp_path, capture=wire, keys={"logs": [later]})
    level, text = checked(config)["TLS"]
    assert level == "note" and text.endswith("; the key logs and keys named are not read")
    keys = {
        "decrypt": True,
        "logs": [str(talk.keys), later, "/no/such/log"],
        "fifo": [fifo],
        "unix": unix,
        "udp": "127.0.0.1:0",
        "rsa_keys": [str(talk.private_key), str(talk.keys)],
    }
    found = checked(write_config(tmp_path, capture=wire, keys=keys))
    assert found["TLS"][1].startswith("decrypted where a key is given; up to 8.")
    assert found[f"key log {talk.keys}"] == ("ok", "can be read")
    assert found[f"key log {later}"] == ("note", "is not there yet, awaited")
    assert found["key log /no/such/log"] == ("problem", "No such file or directory")
    assert found[f"FIFO {fifo}"] == ("ok", "will be made")
    assert found[f"keys.unix {unix}"] == ("ok", "will be made")
    assert found["keys.udp 127.0.0.1:0"] == ("ok", "is free")
    assert found[f"RSA key {talk.private_key}"] == ("ok", "can be read")
    assert found[f"RSA key {talk.keys}"][0] == "problem"
    assert not Path(fifo).exists() and not Path(unix).exists()


def test_check_knows_how_long_a_socket_path_may_be(tmp_path: Path) -> None:
    room = 107 - len(str(tmp_path)) - 1  # unix(7)
    found = {}
    for length in (room, room + 1):
        path = str(tmp_path / ("s" * length))
        keys = KeySettings(decrypt=True, unix=path)
        levels = {each.subject: each.level for each in key_findings(Settings(keys=keys))}
        found[length] = levels[f"keys.unix {path}"]
    assert found == {room: Level.OK, room + 1: Level.PROBLEM}


@pytest.mark.namespace
def test_a_key_that_comes_late_opens_a_live_flow(talk: TlsTalk, tmp_path: Path) -> None:
    """Half a second after the last packet; and nothing that the sensor leaves behind holds it."""
    capture = capture_of(talk, tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    log = tmp_path / "late.log"
    config = write_config(
        data, keys={"decrypt": True, "logs": [str(log)]}, history={"enabled": True}
    )
    out = data / "hop.ndjson"
    with (
        open_wire(offloads=False) as wire,
        listening(wire.server, SERVER_INTERFACE, config, out) as sensor,
    ):
        wait_for(lambda: "capturing" in sensor.log.read_text(), "the greeting")
        wire.client.run(*SEND, str(capture), CLIENT_INTERFACE)
        time.sleep(LATE_S)
        log.touch(0o600)
        log.write_bytes(talk.keys.read_bytes())
        wait_for(lambda: len(sensor.records()) == 2, "decrypted records")
        found = sensor.stop()
        assert "decrypting TLS" in sensor.log.read_text()
    assert [each["op"]["name"] for each in found] == ["Login", "Destroy_Task"]
    assert found[0]["ts"] < found[1]["ts"] < log.stat().st_mtime_ns - LATE_S * 1e9 / 2
    left = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert b"bob" in left and PASSWORD.encode() not in left
    for line in talk.keys.read_text().splitlines()[1:]:
        secret = line.split()[2]
        assert secret.encode() not in left and bytes.fromhex(secret) not in left

"""`openssl s_server` and `s_client` over every suite and version, captured and then decrypted.

What is expected stands in tls_table.py. A login in each connection is the proof.
"""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import Record, replay, write_config
from tests.lab.namespaces import Namespace, wait_for
from tests.lab.openssl_talks import PASSWORD
from tests.lab.tls_table import ROWS, Row
from tests.leaks import leaks

pytestmark = [pytest.mark.namespace, pytest.mark.server]

TALKS_TIMEOUT_S = 180
BUFFER_KIB = "16384"  # a busy machine may leave tcpdump without a turn for long
# RFC 8446 section 4.1.3: the random of a HelloRetryRequest
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


@dataclass(frozen=True, slots=True)
class Talked:
    capture: Path
    by_log: list[Record]  # records of the replay with the clients' key log
    by_rsa: list[Record]  # with the server's private key alone


@pytest.fixture(scope="module")
def talked(tmp_path_factory: pytest.TempPathFactory) -> Talked:
    directory = tmp_path_factory.mktemp("table")
    capture = directory / "all.pcap"
    dump = (
        "tcpdump",
        "-Z",
        "root",
        "-i",
        "lo",
        "-U",
        "--immediate-mode",
        "-B",
        BUFFER_KIB,
        "-w",
        str(capture),
    )
    with Namespace() as host, (directory / "tcpdump.log").open("w") as said:
        host.run("ip", "link", "set", "lo", "mtu", "1500")
        dumper = host.start(*dump, stderr=said)
        wait_for(lambda: host.packet_sockets() > 0, "tcpdump")
        command = (sys.executable, "-m", "tests.lab.openssl_talks", str(directory))
        host.run(*command, timeout_s=TALKS_TIMEOUT_S)
        dumper.send_signal(signal.SIGINT)
        dumper.wait(TALKS_TIMEOUT_S)
    assert "\n0 packets dropped by kernel" in (directory / "tcpdump.log").read_text()
    config = write_config(directory)
    found = []
    for option, key in (("--keys", "keys.log"), ("--rsa-key", "rsa.pem")):
        out = directory / f"{key}.ndjson"
        found.append(replay(config, [capture], out, "--quiet", option, str(directory / key)))
    return Talked(capture, *found)


def logins(records: list[Record], row: Row) -> list[Record]:
    """Those of the row's users, in their order."""
    users = {row.user(number) for number in range(row.logins)}
    found = [each for each in records if each["kind"] == "login" and each["to"]["user"] in users]
    return sorted(found, key=lambda each: str(each["to"]["user"]))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_key_log_opens(talked: Talked, row: Row) -> None:
    found = logins(talked.by_log, row)
    assert [each["to"]["user"] for each in found] == [row.user(n) for n in range(row.logins)]
    for each in found:
        assert (each["outcome"], each["visibility"]) == ("success", "decrypted")
        tls = each["tls"]
        assert (tls["version"], tls["cipher"]) == (f"TLS {row.version}", row.cipher)
        assert "reason" not in tls
    resumed = [each["tls"].get("resumed", False) for each in found]
    assert resumed == [row.resumes and number > 0 for number in range(row.logins)]


@pytest.mark.parametrize("row", [row for row in ROWS if row.rsa], ids=lambda row: row.name)
def test_the_private_key_opens(talked: Talked, row: Row) -> None:
    found = logins(talked.by_rsa, row)
    assert [each["to"]["user"] for each in found] == [row.user(n) for n in range(row.logins)]
    assert {each["tls"]["key_source"] for each in found} <= {"rsa", "ticket"}


def test_the_private_key_opens_nothing_else(talked: Talked) -> None:
    users = {row.user(number) for row in ROWS if row.rsa for number in range(row.logins)}
    assert {each["to"]["user"] for each in talked.by_rsa} == users


def test_nothing_is_missing_or_told_twice(talked: Talked) -> None:
    assert {each["kind"] for each in talked.by_log} == {"login"}
    assert len(talked.by_log) == sum(row.logins for row in ROWS)


def test_the_table_holds_what_its_names_say(talked: Talked) -> None:
    """What an option did is seen in the handshakes, where OpenSSL does not say it itself."""
    bytes_seen = talked.capture.read_bytes()
    assert bytes_seen.count(RETRY) == 3  # one row's connection, and another's two
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


def test_no_password(talked: Talked) -> None:
    said = "".join(map(str, talked.by_log))
    assert leaks(said.encode(), {PASSWORD: "password"}) == []

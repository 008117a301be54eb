"""From a spool to rsyslog over RELP, while the sensor, and then the receiver, are killed."""

import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.lab.receivers import ROOT, rsyslog, running, wait_until
from tests.lab.test_syslog_failures import identities
from tests.records import identity

RECORDS = 12_000
CLIENT = "sensor.example.org"

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(shutil.which("rsyslogd") is None, reason="no rsyslog"),
]


def start_sensor(config: Path, first: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.lab.spooling", str(config), str(first), str(RECORDS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def spooled_by(sensor: subprocess.Popen[bytes]) -> int:
    """What it said last, once it is gone."""
    assert sensor.stdout is not None
    with sensor.stdout:
        said = sensor.stdout.read().split(b"\n")[:-1]
    sensor.wait(30)
    return int(said[-1]) if said else 0


def test_what_a_spool_took_arrives(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    files = authority.issue(CLIENT)
    made = rsyslog(tmp_path, authority.issue("localhost"), CLIENT, queue='type="Direct"')
    config = tmp_path / "hoptap.toml"
    config.write_text(
        f"""
[sensor]
data_dir = "{tmp_path}/state"
[[sink]]
id = "siem"
type = "relp"
to = "localhost:{made.ports["relp-tls"]}"
tls = true
tls_ca_file = "{files.ca_file}"
tls_cert_file = "{files.cert_file}"
tls_key_file = "{files.key_file}"
"""
    )

    with running(made) as receiver:
        sensor = start_sensor(config, 0)
        wait_until(lambda: receiver.stored_bytes("relp-tls") > 1_000_000, 30, receiver.said)
        sensor.send_signal(signal.SIGKILL)
        spooled = spooled_by(sensor)
        assert spooled > 0

        sensor = start_sensor(config, spooled)
        enough = receiver.stored_bytes("relp-tls") + 1_000_000
        wait_until(lambda: receiver.stored_bytes("relp-tls") > enough, 30, receiver.said)
        receiver.kill()
        receiver.start()
        assert spooled_by(sensor) == RECORDS
        assert sensor.returncode == 0

        # It ended with a receiver that had just failed: what waits goes out at the next start.
        for _ in range(4):  # each sends for eight seconds at most
            spooled_by(start_sensor(config, RECORDS))
            found = Counter(identities(receiver, "relp-tls"))
            if len(found) == RECORDS:
                break
    assert set(found) == {identity(number) for number in range(RECORDS)}
    # Twice: what a killed sensor had sent and not marked, or spooled and not said; a window.
    assert sum(found.values()) - RECORDS <= 512 + 256 + 128

"""Sealed TLS cut by the kernel: the core says what it says of whole packets."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sensor import _core
from tests.certificates import Authority
from tests.command import HOPTAP, write_config
from tests.lab import sealed_talk
from tests.lab.namespaces import (
    SERVER_ADDRESS,
    SERVER_INTERFACE,
    Namespace,
    open_wire,
    wait_for,
)
from tests.lab.sensor import listening

pytestmark = [
    pytest.mark.namespace,
    pytest.mark.skipif(bool(_core.cutting_refused()), reason=_core.cutting_refused()),
]

TALK = (sys.executable, "-m", "tests.lab.sealed_talk")
WATCH = (sys.executable, "-m", "tests.lab.watching", SERVER_INTERFACE)
WITHOUT_BPF = ("setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin", "--")
STATUS = "127.0.0.1:9797"
SCRAPE = (
    "import urllib.request;"
    f'print(urllib.request.urlopen("http://{STATUS}/metrics").read().decode())'
)
CONNECTIONS = len(sealed_talk.PORTS) * len(sealed_talk.NAMES)
SEALED = CONNECTIONS - len(sealed_talk.NAMES)  # the others carry on in clear
SENT_BYTES = SEALED * sealed_talk.ROUNDS * sealed_talk.ROUND_BYTES


def listeners(host: Namespace) -> int:
    return host.run("ss", "-Hltn").count("LISTEN")


def serve(host: Namespace, directory: Path) -> None:
    files = Authority(directory).issue("server.test")
    host.start(*TALK, "server", SERVER_ADDRESS, files.cert_file, files.key_file)
    wait_for(lambda: listeners(host) == len(sealed_talk.PORTS), "the server")


def watched(directory: Path, *ports: int, offloads: bool) -> dict[str, Any]:
    """What tests.lab.watching says of one talk of sealed_talk."""
    with open_wire(offloads=offloads) as wire:
        serve(wire.server, directory)
        watcher = wire.server.start(*WATCH, *map(str, ports), stdout=subprocess.PIPE)
        assert watcher.stdout is not None and watcher.stdout.readline() == "ready\n"
        wire.client.run(*TALK, "client", SERVER_ADDRESS)
        watcher.send_signal(signal.SIGTERM)
        said: dict[str, Any] = json.loads(watcher.communicate(timeout=30)[0])
    return said


@pytest.mark.parametrize(
    ("offloads", "ports"), [(True, ()), (False, sealed_talk.PORTS)], ids=["super", "wire"]
)
def test_cut(tmp_path: Path, offloads: bool, ports: tuple[int, ...]) -> None:
    said = watched(tmp_path, *ports, offloads=offloads)
    cut, whole = said["cut"], said["whole"]
    assert "cut" in cut["stats"] and "cut" not in whole["stats"]
    # of each of the sealed connections the first rounds at most came whole
    assert SENT_BYTES * 0.5 < cut["stats"]["cut_bytes"] < SENT_BYTES * 1.1
    assert cut["stats"]["dropped"] == whole["stats"]["dropped"] == 0
    assert cut["stats"]["received"] == whole["stats"]["received"]
    assert cut["stats"]["truncated"] == 0
    assert cut["counters"]["tcp_gaps"] == whole["counters"]["tcp_gaps"] == 0
    assert cut["counters"]["tcp_unread_bytes"] > SENT_BYTES * 0.6
    assert whole["counters"]["tcp_unread_bytes"] == 0
    for name in ("flows", "packets", "packet_bytes", "framed_bulk_bytes", "tcp_segments"):
        assert cut["counters"][name] == whole["counters"][name], name
    assert cut["events"] == whole["events"]
    names = [value for kind, _, _, value in whole["events"] if kind == _core.TLS]
    assert all(any(each in value for value in names) for each in sealed_talk.NAMES)
    ends = [kind for kind, *_ in whole["events"] if kind == _core.FLOW_END]
    assert len(ends) == CONNECTIONS


@pytest.mark.parametrize("decrypt", [False, True])
def test_metrics(tmp_path: Path, decrypt: bool) -> None:
    """With keys to come, everything is read."""
    config = write_config(tmp_path, status={"listen": STATUS}, keys={"decrypt": decrypt})
    with open_wire(offloads=True) as wire:
        serve(wire.server, tmp_path)
        out = tmp_path / "hop.ndjson"
        with listening(wire.server, SERVER_INTERFACE, config, out) as sensor:
            wire.client.run(*TALK, "client", SERVER_ADDRESS, str(sealed_talk.HTTPS))
            metrics = wire.server.run(sys.executable, "-c", SCRAPE)
            sensor.stop()
    labels = rf'{{interface="{SERVER_INTERFACE}"}}'
    name = "hoptap_capture_packets_cut_total"
    found = re.findall(rf"^{name}{re.escape(labels)} ([0-9.e+]+)$", metrics, re.MULTILINE)
    assert found == [] if decrypt else float(found[0]) > 0
    assert f"# HELP {name} " in metrics


def test_without_the_right(tmp_path: Path) -> None:
    """The classic program does what it did, and `hoptap check` says why."""
    opening = (
        "from sensor import _core\n"
        "from tests.lab.watching import opened\n"
        "source = opened('lo', (443,), True)\n"
        "source.fill(0)\n"
        "print(sorted(source.source_stats()[0]))\n"
    )
    check = (HOPTAP, "check", "-c", str(write_config(tmp_path)))
    with Namespace() as host:
        allowed = host.run(sys.executable, "-c", opening), host.run(*check)
        refused = (
            host.run(*WITHOUT_BPF, sys.executable, "-c", opening),
            host.run(*WITHOUT_BPF, *check),
        )
    assert "'cut'" in allowed[0] and "'cut'" not in refused[0]
    assert "'received'" in refused[0]
    assert re.search(r"kernel program: eBPF", allowed[1])
    assert re.search(r"kernel program: classic.*CAP_BPF is needed", refused[1])

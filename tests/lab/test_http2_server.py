"""HTTP/2 of a real client and a real server: curl's streams towards nginx, in clear (prior
knowledge) and inside TLS (ALPN), gzip and all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest

from decoders.message import Transaction, TransactionFlag
from sensor import _core
from tests.certificates import self_signed
from tests.lab.namespaces import SERVER_ADDRESS, SERVER_INTERFACE, Wire, open_wire, wait_for
from tests.sensor.core_events import batches_of, everything, limits

pytestmark = [pytest.mark.namespace, pytest.mark.server]

KEY_LOG = 1  # sensor/core/tls.h
REQUESTS, ANSWER_BYTES, TIMEOUT_S = 60, 50_000, 60
LAST = "the last datagram of this test"
NGINX = """
daemon off; pid {directory}/nginx.pid; user root; worker_processes 1;
error_log {directory}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
    uwsgi_temp_path {directory}; scgi_temp_path {directory};
    gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
    server {{
        listen {address}:80 http2;
        listen {address}:443 ssl http2;
        ssl_certificate {directory}/server.pem; ssl_certificate_key {directory}/server.pem;
        root {directory}/files;
    }}
}}
"""


@contextmanager
def server(wire: Wire, directory: Path) -> Iterator[None]:
    self_signed(directory / "server.pem", "h2.example.test")
    files = directory / "files" / "api"
    files.mkdir(parents=True)
    for number in range(REQUESTS):
        (files / str(number)).write_text(f"{number} " * (ANSWER_BYTES // 3))
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX.format(directory=directory, address=SERVER_ADDRESS))
    nginx = wire.server.start("nginx", "-c", str(configuration))
    wait_for(lambda: ":443" in wire.server.run("ss", "-Hltn"), "nginx")
    yield
    nginx.terminate()
    nginx.wait(TIMEOUT_S)


@contextmanager
def captured(wire: Wire, path: Path) -> Iterator[None]:
    """All that passes the server's interface, in `path` afterwards, up to a last datagram."""
    options = ("-Z", "root", "-U", "--immediate-mode", "-B", "16384", "-w", str(path))
    tcpdump = wire.server.start("tcpdump", "-i", SERVER_INTERFACE, *options, stderr=PIPE)
    wait_for(lambda: wire.server.packet_sockets() == 1, "tcpdump")
    yield
    wire.client.run("bash", "-c", f"echo {LAST} >/dev/udp/{SERVER_ADDRESS}/9")
    wait_for(lambda: LAST.encode() in path.read_bytes(), "the last datagram")
    tcpdump.terminate()
    _, said = tcpdump.communicate(timeout=TIMEOUT_S)
    assert "\n0 packets dropped by kernel" in said


def curl(wire: Wire, keys: Path, base: str, numbers: range, *options: str) -> None:
    """Downloads on one connection. Of uploads at once, and of a second request with prior
    knowledge, curl 7.88 makes a mess; python-hyper does both in tests/sensor/test_http2.py."""
    command = ["env", f"SSLKEYLOGFILE={keys}", "curl"]
    for number in numbers:
        command += ["--next"] if number != numbers.start else []
        command += ["-sSfk", *options, "--compressed", "-o", "/dev/null"]
        command += ["-b", f"a={number}; b=2", f"{base}/api/{number}"]
    wire.client.run(*command, timeout_s=TIMEOUT_S)


@pytest.mark.parametrize(
    ("scheme", "options", "at_once", "connections"),
    [
        ("http", ["--http2-prior-knowledge"], 1, 8),
        ("https", ["--http2", "-Z", "--parallel-max", "30"], REQUESTS, 1),
    ],
)
def test_every_exchange(
    scheme: str, options: list[str], at_once: int, connections: int, tmp_path: Path
) -> None:
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed")
    keys, capture = tmp_path / "keys.log", tmp_path / "capture.pcap"
    keys.touch()
    with open_wire(offloads=False) as wire, server(wire, tmp_path), captured(wire, capture):
        for first in range(0, at_once * connections, at_once):
            numbers = range(first, first + at_once)
            curl(wire, keys, f"{scheme}://{SERVER_ADDRESS}", numbers, *options)
    source = _core.Source(everything(), limits(), files=(str(capture),), decrypt=True)
    if scheme == "https":
        assert source.add_secrets(keys.read_bytes(), KEY_LOG)
    events = [event for batch in batches_of(source) for event in batch]
    found = [Transaction(*event[-1]) for event in events if event[0] == _core.TRANSACTION]
    counters = source.counters()
    assert counters["http2_connections"] == connections
    assert counters["http_malformed"] == counters["http2_lost"] == 0
    requests = at_once * connections
    assert sorted(each.target for each in found) == sorted(f"/api/{n}" for n in range(requests))
    flags = TransactionFlag.HTTP2 | (TransactionFlag.DECRYPTED if scheme == "https" else 0)
    for each in found:
        number = each.target.rpartition("/")[2]
        assert (each.flags, each.status) == (flags, 200)
        assert f"cookie: a={number}; b=2\r\n".encode() in each.request_head
        assert f"host: {SERVER_ADDRESS}\r\n".encode() in each.request_head
        assert b"content-encoding: gzip" in each.response_head
        assert each.response_body.decode() == f"{number} " * (ANSWER_BYTES // 3)

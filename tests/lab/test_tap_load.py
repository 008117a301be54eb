"""A tap under load, and when what it traces, or the sensor, is killed. nginx counts beside it."""

import ctypes
import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sensor import _core
from tests.certificates import self_signed
from tests.command import ROOT, write_config
from tests.lab.namespaces import Namespace, wait_for
from tests.lab.sensor import tapping
from tests.lab.tapped import need_taps, private_copy
from tests.lab.tls_clients import Clients
from tests.sensor.core_events import WHOLE_BYTES, RawEvent, everything, limits

pytestmark = [pytest.mark.namespace, pytest.mark.server]

REQUESTS, CONNECTIONS, RELOADS = 10_000, 8, 2
ADDRESS = "127.0.0.1"
WAIT_S = 60
FILL_MS = 20
NGINX = """
daemon off; pid {directory}/nginx.pid; user root; worker_processes 2;
error_log {directory}/nginx.log;
events {{}}
http {{
    log_format bytes "$request_length $bytes_sent";
    access_log {directory}/bytes.log bytes;
    keepalive_requests 1000000;
    client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
    uwsgi_temp_path {directory}; scgi_temp_path {directory};
    server {{
        listen {ADDRESS}:443 ssl reuseport; root {directory};
        ssl_certificate {pem}; ssl_certificate_key {pem};
        location = /echo {{ return 200 $arg_n; }}
    }}
}}
"""


@dataclass
class Server:
    """nginx, a private copy of it, in a network of its own."""

    host: Namespace
    directory: Path
    name: str
    command: tuple[str, ...]
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        self.process = self.host.start(*self.command, "-c", str(self.directory / "nginx.conf"))
        wait_for(lambda: f"{ADDRESS}:443" in self.host.run("ss", "-ltnH"), "nginx")

    @property
    def pids(self) -> list[int]:
        done = subprocess.run(["pgrep", "-x", self.name], capture_output=True, text=True)
        return [int(each) for each in done.stdout.split()]

    def kill(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(WAIT_S)
        wait_for(lambda: not self.pids, "the end of nginx")

    def reload(self) -> None:
        before = set(self.pids)
        self.host.run(*self.command, "-c", str(self.directory / "nginx.conf"), "-s", "reload")
        wait_for(lambda: len(set(self.pids) - before) >= 2, "new workers")

    def ask(self, target: str, count: int = 1, connections: int = 1) -> None:
        url = f"https://{ADDRESS}{target}"
        self.host.run(str(requests()), url, str(count), str(connections), timeout_s=WAIT_S)

    def served(self) -> tuple[int, int]:
        """Bytes asked and answered, by nginx' own count."""
        rows = (self.directory / "bytes.log").read_text().splitlines()
        asked, answered = zip(*(map(int, row.split()) for row in rows), strict=True)
        return sum(asked), sum(answered)


def requests() -> Path:
    binary = ROOT / "build" / "lab" / "requests"
    source = ROOT / "tests" / "bench" / "requests.go"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        cache = {"GOCACHE": str(ROOT / "build" / "lab" / "go-cache"), "GO111MODULE": "off"}
        command = ["go", "build", "-o", str(binary), str(source)]
        subprocess.run(command, check=True, env=os.environ | cache, timeout=300)
    return binary


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    need_taps()
    name, command = private_copy("nginx", tmp_path)
    (tmp_path / "small").write_bytes(b"x" * 300)
    (tmp_path / "page").write_bytes(b"x" * 4096)
    (tmp_path / "large").write_bytes(b"x" * (1 << 20))
    pem = self_signed(tmp_path / "site.pem", "tap.test")
    (tmp_path / "nginx.conf").write_text(NGINX.format(directory=tmp_path, pem=pem, ADDRESS=ADDRESS))
    with Namespace() as host:
        made = Server(host, tmp_path, name, command)
        made.start()
        yield made
        made.kill()


class Reader:
    """Reads a tap in a thread of its own, once it is told to."""

    def __init__(self, target: str, *, wide: bool = False) -> None:
        from sensor.bpf import Tap

        self.tap = Tap(0, target, machine_wide=wide)
        self.tap.open()
        assert self.tap.problem == ""
        whole = limits(http_body_bytes_max=WHOLE_BYTES, flow_closed_timeout_ms=0)
        self.source = _core.Source(everything(), whole, tap=self.tap.ring_fd)
        self.events: list[RawEvent] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.tap.refresh()
            self.events += self.source.fill(FILL_MS)

    def count(self, name: str) -> int:
        return self.source.counters()[name]

    def quiet(self) -> None:
        """Until nothing more comes."""
        seen = -1

        def same() -> bool:
            nonlocal seen
            before, seen = seen, self.count("tap_events")
            time.sleep(10 * FILL_MS / 1000)
            return before == seen

        wait_for(same, "the end of events")

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.source.stop()
        self.events += self.source.fill(0)
        self.source.close()
        self.tap.close()

    def values(self, kind: int) -> list[Any]:
        return [each[5] for each in self.events if each[0] == kind]


@contextmanager
def reading(target: str, *, wide: bool = False) -> Iterator[Reader]:
    reader = Reader(target, wide=wide)
    try:
        yield reader
    finally:
        reader.close()


def accounted(server: Server, reader: Reader) -> int:
    """Bytes lost, by the kernel's count; with those that came, they are all that nginx counted."""
    reader.quiet()
    lost = reader.tap.losses()
    asked, answered = server.served()
    assert reader.count("tap_malformed") == reader.count("tap_flows_shed") == 0
    assert (
        sum(count for name, count in lost.items() if name.endswith("_bytes")) == lost["ring_bytes"]
    )
    assert reader.count("tap_bytes") + lost["ring_bytes"] == asked + answered
    return lost["ring_bytes"]


def test_ten_thousand_requests_at_full_speed(server: Server) -> None:
    with reading(server.name) as reader:
        reader.start()
        server.ask("/small", REQUESTS, CONNECTIONS)
        lost = accounted(server, reader)
    whole = [each for each in reader.values(_core.TRANSACTION) if each[4:6] == ("/small", 200)]
    assert sum(reader.values(_core.GAP)) == lost
    assert len(whole) == REQUESTS or lost > 0
    flows = reader.values(_core.FLOW)
    assert {each[13] for each in flows} == {server.name}
    assert {each[3:5] for each in flows} == {(ADDRESS, 443)}


def test_what_a_late_reader_lost_is_in_gaps(server: Server) -> None:
    """It comes when the ring has run over."""
    with reading(server.name) as reader:
        asking = threading.Thread(target=server.ask, args=("/page", REQUESTS, CONNECTIONS))
        asking.start()
        wait_for(lambda: reader.tap.losses()["ring_events"] > 0, "a full ring", WAIT_S)
        reader.start()
        wait_for(lambda: reader.tap.losses()["ring_events"] > 100, "more losses", WAIT_S)
        asking.join()
        server.ask("/small", CONNECTIONS)
        lost = accounted(server, reader)
    whole = [each for each in reader.values(_core.TRANSACTION) if each[4:6] == ("/page", 200)]
    assert 0 < len(whole) < REQUESTS
    assert sum(reader.values(_core.GAP)) == lost == reader.count("tap_gap_bytes")


def test_what_was_lost_of_a_process_that_is_gone_is_in_gaps(server: Server) -> None:
    """Its ends were lost as well: nothing comes of it any more when the reader does."""
    with reading(server.name) as reader:
        with pytest.raises(RuntimeError):
            killer = threading.Thread(target=_kill_when_full, args=(server, reader))
            killer.start()
            server.ask("/page", 1_000_000, CONNECTIONS)
        killer.join()
        lost = reader.tap.losses()
        reader.start()
        reader.quiet()
        assert reader.tap.losses() == lost
    assert sum(reader.values(_core.GAP)) == lost["ring_bytes"] == reader.count("tap_gap_bytes") > 0
    assert reader.count("flows_expired") == reader.count("tap_flows")


def _kill_when_full(server: Server, reader: Reader) -> None:
    wait_for(lambda: reader.tap.losses()["ring_events"] > 100, "a full ring", WAIT_S)
    server.kill()


def test_a_large_answer_is_whole(server: Server) -> None:
    with reading(server.name) as reader:
        reader.start()
        server.ask("/large", 3)
        reader.quiet()
    bodies = [each[9] for each in reader.values(_core.TRANSACTION)]
    assert bodies == [b"x" * (1 << 20)] * 3


def test_a_process_that_is_killed_and_comes_again(server: Server) -> None:
    with reading(server.name) as reader:
        reader.start()
        server.ask("/small", 20)
        wait_for(lambda: reader.count("http_transactions") == 20, "what it did before")
        with pytest.raises(RuntimeError):
            killer = threading.Timer(0.3, server.kill)
            killer.start()
            server.ask("/small", 1_000_000, CONNECTIONS)
        killer.join()
        wait_for(lambda: reader.tap.processes == [], "the end of all links")
        ended = reader.count("flows_expired")
        assert ended == reader.count("tap_flows")  # nothing waits for a process that is gone
        server.start()
        wait_for(lambda: len(reader.tap.processes) == 3, "the new processes")
        before = reader.count("http_transactions")
        server.ask("/small", 20)
        wait_for(lambda: reader.count("http_transactions") == before + 20, "what it did after")
    assert reader.count("tap_malformed") == 0


def test_a_reload_under_load_misses_nothing_where_files_are_probed(server: Server) -> None:
    """Workers that speak as soon as they are forked; only nginx' own are told."""
    with reading(server.name, wide=True) as reader:
        assert len(reader.tap.processes) == 3
        reader.start()
        for _ in range(RELOADS):
            reloading = threading.Thread(target=server.reload)
            reloading.start()
            while reloading.is_alive():
                server.ask("/small", 4 * CONNECTIONS, CONNECTIONS)
            server.ask("/small", 4 * CONNECTIONS, CONNECTIONS)
        assert accounted(server, reader) == 0
        assert reader.tap.losses()["fork_events"] == 0
    workers = {each[10] for each in reader.values(_core.FLOW)}
    assert len(workers) > 2


ASYNCIO = """
import asyncio, ssl, sys
async def ask(n):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(sys.argv[1], 443, ssl=context)
    for part in range(5):
        writer.write(b"GET /echo?n=%d-%d HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" % (n, part))
        await writer.drain()
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        await reader.readexactly(len(b"%d-%d" % (n, part)))
    writer.close()
async def main():
    await asyncio.gather(*map(ask, range(40)))
asyncio.run(main())
"""


def test_sessions_on_one_thread_are_not_mixed(server: Server, tmp_path: Path) -> None:
    """asyncio's memory BIOs: forty sessions in turns, and no system call names their sockets."""
    clients = Clients(server.host, ADDRESS, tmp_path)
    with reading(str(clients.openssl), wide=True) as reader:
        reader.start()
        path = f"LD_LIBRARY_PATH={tmp_path}"
        server.host.run("env", path, sys.executable, "-c", ASYNCIO, ADDRESS)
        reader.quiet()
    told = Counter((each[4], each[9]) for each in reader.values(_core.TRANSACTION))
    expected = [f"{n}-{part}" for n in range(40) for part in range(5)]
    assert told == Counter((f"/echo?n={each}", each.encode()) for each in expected)
    for flow in reader.values(_core.FLOW):
        assert not flow[12]  # a client
        known = flow[3] == ADDRESS and flow[4] == 443 and flow[7] != ""
        unknown = flow[1].startswith("process:") and flow[2] == flow[4] == 0 and flow[7] == ""
        assert known or unknown


BPF_SYSCALL = 321  # x86-64
FD_BY_ID = {"prog_id": 13, "map_id": 14, "link_id": 30}  # enum bpf_cmd


def kernel_objects(pid: int) -> set[tuple[str, int]]:
    """BPF objects that a process holds, of those it made."""
    found = set()
    for entry in os.scandir(f"/proc/{pid}/fdinfo"):
        for kind, number in re.findall(r"^(\w+_id):\s+(\d+)$", Path(entry.path).read_text(), re.M):
            if kind in FD_BY_ID:
                found.add((kind, int(number)))
    return found


def exists(kind: str, number: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = (ctypes.c_uint32 * 16)(number)
    fd = libc.syscall(
        BPF_SYSCALL, FD_BY_ID[kind], ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    if fd < 0:
        assert ctypes.get_errno() == errno.ENOENT
        return False
    os.close(fd)
    return True


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_sensor(server: Server, tmp_path: Path, how: int) -> None:
    config = write_config(tmp_path)
    with tapping(server.host, config, tmp_path / "hop.ndjson", "--tap", server.name) as sensor:
        server.ask("/small", 100)
        objects = kernel_objects(sensor.process.pid)
        assert {kind for kind, _ in objects} == set(FD_BY_ID)
        sensor.process.send_signal(how)
        assert sensor.process.wait(WAIT_S) == (-how if how == signal.SIGKILL else 0)
    wait_for(lambda: not any(exists(*each) for each in objects), "the end of all in the kernel")
    server.ask("/small", 100, CONNECTIONS)

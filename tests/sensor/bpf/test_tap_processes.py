"""Whom a tap traces: processes that come, fork, begin anew and are killed, and nobody else."""

import ctypes
import errno
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sensor.bpf import Tap, TapError, libraries, processes
from sensor.exits import Exit
from tests.command import ROOT
from tests.lab.talkers import peers
from tests.lab.talkers.client import text
from tests.lab.talkers.peers import Server, python, running, started
from tests.tap_ring import CLOSE, DATA, Heard, lossless, opened

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("heard")]

WAIT_S = 10
_CODE = r"^(\w+)-(\w+) ..x. (\w+) \S+ \d+ +(.*)$"  # of /proc/PID/maps
LINK, PROGRAM, MAP = 30, 13, 14  # BPF_LINK_, _PROG_ and _MAP_GET_FD_BY_ID
SPOKEN = (b"20\n" + text(0, 20), text(0, 20))
HOLD_A_TAP = """
import sys
from sensor.bpf import Tap
tap = Tap(0, sys.argv[1])
tap.open()
print(tap.problem or "open", flush=True)
sys.stdin.read()
"""

TAP_A_CLIENT = """
import sys
from sensor.bpf.programs import RING_BYTES
from tests.lab.talkers.peers import python, started
from tests.tap_ring import Heard, Ring, opened
with started(*python("client", "20")) as client, opened(client.pid) as tap:
    with Ring(tap.ring_fd, RING_BYTES) as ring:
        client.speak(sys.argv[1])
        print(client.pid, {event.pid for event in Heard(ring).of(tap)})
"""


def wait(done: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < end_s, what
        time.sleep(0.01)


def own_name(what: str) -> str:
    """That no other process of this machine has."""
    return f"{what}-{os.urandom(3).hex()}"


def test_workers_that_were_forked_are_followed(heard: Heard, server: Server) -> None:
    """Before the tap was opened, and after it: without a refresh that anybody asked for."""
    name = own_name("workers")
    with started(*python("workers", name, "20")) as master:
        master.speak("fork")
        with opened(name) as tap:
            assert len(tap.processes) == 2
            for _ in range(3):
                master.speak("fork")
            wait(lambda: len(tap.processes) == 5, "a worker that is not traced")
            master.speak(server.port)
            written = [(b"20\n" + text(number, 20), text(number, 20)) for number in range(4)]
            assert heard.said(tap) == written
            assert len({pid for pid, _, _ in heard.streams(tap)}) == 4
            assert lossless(tap)


def test_a_pid_brings_its_forks_along(heard: Heard, server: Server) -> None:
    program = python("workers", own_name("workers"), "20")
    with started(*program) as master, opened(master.pid) as tap:
        master.speak("fork")
        wait(lambda: len(tap.processes) == 2, "a worker that is not traced")
        master.speak(server.port)
        assert heard.said(tap) == [SPOKEN]


def test_a_fork_that_speaks_before_it_is_traced_is_counted(heard: Heard, server: Server) -> None:
    """By the connections that it used until then; what comes after is read."""
    name = own_name("workers")
    with started(*python("workers", name, "20")) as master, opened(name) as tap:
        with tap._lock:  # the sensor comes too late
            master.speak(f"fork {server.port}")
            assert tap.losses()["fork_events"] == 1
        wait(lambda: len(tap.processes) == 2, "a worker that is not traced")
        assert heard.said(tap) == []
        master.speak(server.port)
        assert heard.said(tap) == [SPOKEN]
        assert tap.losses()["fork_events"] == sum(tap.losses().values()) == 1


def test_forks_that_speak_at_once(heard: Heard, server: Server, tmp_path: Path) -> None:
    """Asked for twice, the library has its breakpoints already, and nobody else is told of."""
    name, own = own_name("workers"), {"LD_LIBRARY_PATH": str(tmp_path)}
    peers.private(tmp_path, "libssl.so.3")
    with (
        started(*python("client", "20"), **own) as other,
        started(*python("workers", name, "20"), **own) as master,
        opened(name, machine_wide=True) as tap,
    ):
        assert (tap.problem, tap.processes) == ("", [master.pid])
        other.speak(server.port)
        with tap._lock:  # whatever the sensor does
            for _ in range(3):
                master.speak(f"fork {server.port}")
        assert heard.said(tap) == [(b"20\n" + text(n, 20), text(n, 20)) for n in range(3)]
        assert len({pid for pid, _, _ in heard.streams(tap)} - {other.pid, master.pid}) == 3
        assert lossless(tap)


def test_a_restart_that_speaks_at_once(heard: Heard, server: Server, tmp_path: Path) -> None:
    name, own = own_name("openssl"), {"LD_LIBRARY_PATH": str(tmp_path)}
    program = shutil.copy("/usr/bin/openssl", tmp_path / name)
    peers.private(tmp_path, "libssl.so.3")
    command = (program, "s_client", "-quiet", "-connect", f"127.0.0.1:{server.port}")
    with opened(name, machine_wide=True) as tap:
        with running(*command, **own) as first:
            wait(lambda: tap.processes == [first.pid], "a client that is not traced")
        with tap._lock, running(*command, **own) as again:
            assert again.stdin is not None and again.stdout is not None
            again.stdin.write(b"3\nabc")
            again.stdin.flush()
            assert again.stdout.read(3) == b"abc"
        assert heard.said(tap) == [(b"3\nabc", b"abc")]
        tap.refresh()
        assert tap.processes == []


def test_a_process_that_begins_anew_is_traced_again(heard: Heard, tmp_path: Path) -> None:
    """A server under a name of its own, killed and started: its requests are seen each time."""
    name = own_name("openssl")
    program = Path(shutil.copy("/usr/bin/openssl", tmp_path / name))
    pem = peers.certificate(tmp_path)
    with opened(name) as tap:
        assert tap.problem == "there is no such process"
        pids = [_serve_once(program, pem, tap) for _ in range(2)]
        requests = {pid: both[1] for (pid, _, _), both in heard.streams(tap).items()}
        assert requests == dict.fromkeys(pids, b"GET / HTTP/1.0\r\n\r\n")
        ends = [event.pid for event in heard.of(tap) if event.kind == CLOSE and not event.session]
        assert ends == pids
        tap.refresh()
        assert (tap.processes, tap.problem) == ([], "there is no such process")


def _serve_once(program: Path, pem: Path, tap: Tap) -> int:
    """Its PID; killed after a request."""
    command = [str(program), "s_server", "-accept", "127.0.0.1:0", "-cert", str(pem), "-www"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        port = next(line for line in serving.stdout if "ACCEPT" in line).split(":")[-1].strip()
        wait(lambda: tap.processes == [serving.pid], "a server that is not traced")
        talk = ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}"]
        done = subprocess.run(
            talk, input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True, timeout=WAIT_S, check=False
        )
        assert b"HTTP/1.0 200" in done.stdout
        serving.kill()
    return serving.pid


def test_a_library_that_comes_late_is_found(heard: Heard, server: Server) -> None:
    code = (
        "import sys; print('ready', flush=True); sys.stdin.readline()\n"
        "from tests.lab.talkers import client; print('done', flush=True)\n"
        "port = int(sys.stdin.readline()); client.talk(port, 0, [20]); print('done', flush=True)"
    )
    with started(peers.PYTHON, "-c", code) as late, opened(late.pid) as tap:
        assert (tap.problem, tap.processes) == ("uses no TLS library that is known", [])
        late.speak("load it")
        tap.refresh()
        assert (tap.problem, tap.processes) == ("", [late.pid])
        late.speak(server.port)
        assert heard.said(tap) == [SPOKEN]


def test_others_that_use_the_same_library_are_not_traced(heard: Heard, server: Server) -> None:
    program = python("client", "20")
    with started(*program) as traced, started(*program) as other, opened(traced.pid) as tap:
        other.speak(server.port)
        traced.speak(server.port)
        assert {event.pid for event in heard.of(tap)} == {traced.pid}
        assert heard.said(tap) == [SPOKEN]


def test_two_taps_do_not_count_a_process_twice(heard: Heard, server: Server) -> None:
    with (
        started(*python("client", "20")) as client,
        opened(client.pid) as first,
        opened(client.pid) as second,
    ):
        assert second.problem == f"process {client.pid} is traced by tap {client.pid} already"
        client.speak(server.port)
        assert (heard.said(first), heard.of(second)) == ([SPOKEN], [])
        first.close()
        second.refresh()
        assert (second.problem, second.processes) == ("", [client.pid])


def test_what_was_closed_is_silent_and_unchanged(heard: Heard, server: Server) -> None:
    """No breakpoint stays in the process, which goes on speaking."""
    with started(*python("client", "20")) as client:
        before = _code_at_probes(client.pid)
        with opened(client.pid) as tap:
            client.speak(server.port)
            assert _code_at_probes(client.pid) != before
            tap.close()
            seen = len(heard.of(tap))
            client.speak(server.port)
            assert len(heard.of(tap)) == seen
            assert _code_at_probes(client.pid) == before
            client.end()


def _code_at_probes(pid: int) -> list[bytes]:
    """The first bytes of what is probed, as they are in the process' memory."""
    process = processes.process(pid)
    assert process is not None
    [(file, library)] = [
        (file, found)
        for file in processes.code_files(process)
        if (found := libraries.find(file.path, "plaintext"))
    ]
    maps = Path(f"/proc/{pid}/maps").read_text()
    spans = [
        (int(start, 16), int(stop, 16), int(offset, 16))
        for start, stop, offset, name in re.findall(_CODE, maps, re.MULTILINE)
        if name == file.name
    ]
    places = [
        place.offset - offset + start
        for place in library.places
        for start, stop, offset in spans
        if start <= place.offset - offset + start < stop
    ]
    assert len(places) == len(library.places)
    with open(f"/proc/{pid}/mem", "rb") as memory:
        return [os.pread(memory.fileno(), 2, at) for at in places]


def test_a_killed_process_leaves_nothing(heard: Heard, server: Server) -> None:
    with started(*python("client", "20")) as client, opened(client.pid) as tap:
        client.speak(server.port)
        held = _bpf_objects(os.getpid(), "link_id")
        client.kill()
        tap.refresh()
        assert (tap.processes, tap.problem) == ([], "there is no such process")
        assert len(held - _bpf_objects(os.getpid(), "link_id")) == 2  # entries and returns
        assert heard.of(tap)[-1].kind == CLOSE


def test_a_killed_sensor_leaves_nothing(server: Server) -> None:
    with started(*python("client", "20")) as client:
        before = _code_at_probes(client.pid)
        command = [sys.executable, "-c", HOLD_A_TAP, str(client.pid)]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as sensor:
            assert sensor.stdout is not None
            assert sensor.stdout.readline() == "open\n"
            objects = {
                kind: _bpf_objects(sensor.pid, name)
                for kind, name in ((LINK, "link_id"), (PROGRAM, "prog_id"), (MAP, "map_id"))
            }
            assert all(objects.values())
            sensor.send_signal(signal.SIGKILL)
        left = {(kind, number) for kind, numbers in objects.items() for number in numbers}

        def gone() -> bool:
            return not {each for each in left if _exists(*each)}

        wait(gone, "BPF objects that outlive their process")
        events = Path("/sys/kernel/tracing/uprobe_events")
        assert not events.exists() or events.read_text() == ""
        client.speak(server.port)
        assert _code_at_probes(client.pid) == before


def _bpf_objects(pid: int, name: str) -> set[int]:
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            told = Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
        except OSError:
            continue  # that of the listing itself
        found |= {int(number) for number in re.findall(rf"^{name}:\s*(\d+)", told, re.MULTILINE)}
    return found


def _exists(kind: int, number: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    attribute = ctypes.create_string_buffer(struct.pack("=I", number), 16)
    fd = libc.syscall(321, kind, ctypes.byref(attribute), 16)
    if fd >= 0:
        os.close(fd)
        return True
    assert ctypes.get_errno() == errno.ENOENT
    return False


def test_a_path_is_traced_only_if_asked_for_twice() -> None:
    with pytest.raises(TapError, match="every process that uses this file") as raised:
        Tap(0, "/usr/lib/x86_64-linux-gnu/libssl.so.3")
    assert raised.value.code is Exit.CONFIGURATION


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "no TLS library"), (b"no library", "no TLS library"), (None, "No such file")],
)
def test_no_library(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "library"
    if content is not None:
        path.write_bytes(content)
    tap = Tap(0, str(path), machine_wide=True)
    with pytest.raises(TapError, match=problem) as raised:
        tap.open()
    assert raised.value.code is Exit.CONFIGURATION
    with pytest.raises(TapError, match="is not open"):
        tap.losses()


def test_a_library_without_symbols(tmp_path: Path) -> None:
    copy = peers.private(tmp_path, "libssl.so.3")
    stripped = copy.read_bytes().replace(b"\0SSL_write\0", b"\0xxx_write\0")
    copy.write_bytes(stripped)
    with pytest.raises(TapError, match="OpenSSL lacks SSL_write"):
        Tap(0, str(copy), machine_wide=True).open()


def test_data_of_a_process_that_never_ends_its_session(heard: Heard, server: Server) -> None:
    """Killed in the middle: what it sent is there."""
    with started(*python("client", "20", "5000000")) as client, opened(client.pid) as tap:
        client.order(server.port)
        wait(lambda: any(event.kind == DATA for event in heard.of(tap)), "data")
        client.kill()
        wait(lambda: heard.of(tap)[-1].kind == CLOSE, "the end of the process")
        [(written, _)] = heard.said(tap)
        assert written.startswith(b"20\n" + text(0, 20))


def test_a_number_that_another_process_got_is_not_traced() -> None:
    with started(*python("client", "1")) as client, opened(client.pid) as tap:
        assert tap.processes == [client.pid]
        tap._began = "another time"
        tap.refresh()
        assert (tap.processes, tap.problem) == ([], "there is no such process")


def test_pids_are_those_of_the_sensors_namespace(server: Server) -> None:
    inside = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    done = subprocess.run(
        [*inside, sys.executable, "-c", TAP_A_CLIENT, str(server.port)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    pid, told = done.stdout.split()
    assert told == f"{{{pid}}}"
    assert int(pid) < 100

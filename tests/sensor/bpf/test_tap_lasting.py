"""A tap that lasts: files that are renamed or touched, errors that pass, threads that end first."""

import os
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sensor.bpf import Tap, libraries, processes
from sensor.bpf.watched import NAMES_MAX, Watched
from tests.lab.talkers import peers
from tests.lab.talkers.client import text
from tests.lab.talkers.peers import Server, python, started
from tests.tap_ring import CLOSE, Heard, lossless, opened

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("heard")]

SPOKEN = (b"20\n" + text(0, 20), text(0, 20))


def links() -> int:
    """Of probes and tracepoints, that this process holds."""
    count = 0
    for fd in os.listdir("/proc/self/fdinfo"):
        try:
            count += "link_id" in Path(f"/proc/self/fdinfo/{fd}").read_text()
        except OSError:
            continue  # that of the listing itself
    return count


def replace(path: Path) -> None:
    """As a package's upgrade does it."""
    new = shutil.copy(path, path.with_suffix(".new"))
    os.rename(new, path)


@pytest.mark.parametrize(
    "change",
    [lambda path: path.chmod(0o600), Path.touch, replace,
     lambda path: path.with_suffix(".other").hardlink_to(path)],
    ids=["chmod", "touch", "replace", "link"],
)  # fmt: skip
def test_a_library_in_use_is_probed_once(
    heard: Heard, server: Server, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = peers.private(tmp_path, "libssl.so.3")
    with (
        started(*python("client", "20"), LD_LIBRARY_PATH=str(tmp_path)) as client,
        opened(client.pid) as tap,
    ):
        before = links()
        change(path)
        tap.refresh()
        tap.refresh()
        assert (tap.problem, links()) == ("", before)
        client.speak(server.port)
        assert heard.said(tap) == [SPOKEN]
        assert lossless(tap)


def test_a_file_that_is_touched_is_probed_once(heard: Heard, tmp_path: Path) -> None:
    path = peers.private(tmp_path, "libssl.so.3")
    with opened(path, machine_wide=True) as tap:
        before = links()
        for change in (Path.touch, lambda path: path.chmod(0o600)):
            change(path)
            tap.refresh()
        assert (tap.problem, links()) == ("", before)
        path.write_bytes(path.read_bytes().replace(b"\0SSL_write\0", b"\0xxx_write\0"))
        tap.refresh()
        assert "OpenSSL lacks SSL_write" in tap.problem
        assert links() < before


@contextmanager
def descriptors(more: int) -> Iterator[None]:
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_could_not_be_probed_is_probed_later(heard: Heard, server: Server) -> None:
    with started(*python("client", "20")) as client:
        tap = Tap(60, str(client.pid))
        try:
            with descriptors(2):
                tap.open()
                tap.refresh()
                assert "Too many open files" in tap.problem
                assert tap.processes == []
            tap.refresh()
            assert (tap.problem, tap.processes) == ("", [client.pid])
            client.speak(server.port)
            assert heard.said(tap) == [SPOKEN]
        finally:
            tap.close()


def test_an_error_that_passes_is_not_remembered(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a process that ended while its library was opened."""

    def gone(path: object, mode: object) -> None:
        raise FileNotFoundError(2, os.strerror(2))

    with started(*python("client", "1")) as client:
        with monkeypatch.context() as patch:
            patch.setattr(libraries, "find", gone)
            tap = Tap(61, str(client.pid))
            tap.open()
        try:
            tap.refresh()
            assert (tap.problem, tap.processes) == ("", [client.pid])
        finally:
            tap.close()


def names_of(tap: Tap) -> Watched:
    assert tap._programs is not None
    return tap._programs.watched


def test_names_make_room(heard: Heard) -> None:
    """For those of processes that live, until there are too many of these."""
    with opened("no-such-name") as tap:
        names = names_of(tap)
        for number in range(2 * NAMES_MAX):
            assert names.hold(f"name {number}", 62, True, number)
            names.release(62, number)
        held = 0
        while names.hold(f"other {held}", 62, True, held):
            held += 1
        assert NAMES_MAX - 64 <= held < NAMES_MAX
        with started(*python("client", "1")) as client, opened(client.pid) as late:
            assert (late.problem, late.processes) == ("", [client.pid])
            client.kill()
            late.refresh()
            assert late.processes == []
        names.forget(62)
        assert names.hold("another", 62, True, 0)
        names.forget(62)


def test_an_error_of_one_process_stops_no_other(
    heard: Heard, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"workers-{os.urandom(3).hex()}"
    with (
        started(*python("workers", name, "20")) as first,
        started(*python("workers", name, "20")) as second,
        opened(name) as tap,
    ):
        assert tap.processes == sorted([first.pid, second.pid])
        tap.close()

        def follow(pid: int, taps: object) -> None:
            if pid == first.pid:
                raise OSError(7, os.strerror(7))

        holder = Tap(59, "no-such-name")
        holder.open()
        try:
            monkeypatch.setattr(holder._programs, "follow", follow)
            with opened(name) as again:
                assert again.processes == [second.pid]
                assert again.problem == f"process {first.pid}: {os.strerror(7)}"
        finally:
            holder.close()


STAYING = """
import ctypes, sys, threading
from tests.lab.talkers import client

ended = threading.Event()

def talk():
    for line in sys.stdin:
        if line == 'end\\n':
            ended.set()
        else:
            client.talk(int(line), 0, [20])
        print('done', flush=True)

threading.Thread(target=talk).start()
print('ready', flush=True)
ended.wait()
ctypes.CDLL(None).syscall(60 if sys.argv[1] == 'x86_64' else 93, 0)
"""


def lose_first_thread(client: peers.Client) -> None:
    client.speak("end")
    stat = Path(f"/proc/{client.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "Z":
        os.sched_yield()


def test_a_process_without_its_first_thread(heard: Heard, server: Server) -> None:
    with started(peers.PYTHON, "-c", STAYING, os.uname().machine) as client:
        lose_first_thread(client)
        with opened(client.pid) as tap:
            assert "its first thread has ended" in tap.problem
            assert tap.processes == []
        with opened(client.pid, machine_wide=True) as tap:
            assert (tap.problem, tap.processes) == ("", [client.pid])
            client.speak(server.port)
            assert heard.said(tap) == [SPOKEN]
        client.kill()


def test_a_process_lasts_as_long_as_its_last_thread(heard: Heard, server: Server) -> None:
    """Its first thread ends, in a session that goes on."""
    with (
        started(peers.PYTHON, "-c", STAYING, os.uname().machine) as client,
        opened(client.pid) as tap,
    ):
        assert tap.processes == [client.pid]
        client.speak(server.port)
        lose_first_thread(client)
        tap.refresh()
        assert (tap.problem, tap.processes) == ("", [client.pid])
        client.speak(server.port)
        assert heard.said(tap) == [SPOKEN, SPOKEN]
        assert [each.kind for each in heard.of(tap) if not each.session] == []
        assert lossless(tap)
        found = processes.process(client.pid)
        assert found is not None
        assert any(re.search("libssl", each.name) for each in processes.code_files(found))
        client.kill()
        tap.refresh()
        assert tap.processes == []
        ends = [each.kind for each in heard.of(tap) if not each.session]
        assert ends == [CLOSE]

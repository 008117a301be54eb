"""Programs that were made to harm the sensor which looks at them, or to be taken for others."""

import logging
import mmap
import os
import resource
import shutil
import stat
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sensor.bpf import Admission, Tap, libraries, looking, processes
from sensor.bpf.elf import DAMAGE, Elf, ElfError
from sensor.bpf.files import open_regular, opened
from sensor.bpf.looking import Looking
from sensor.bpf.processes import CodeFile, Process
from tests.lab.talkers import peers

NOBODY = 65534
MIB = 1024 * 1024
SYMBOLS, STRINGS, CODE = 2, 3, 1  # SHT_SYMTAB, SHT_STRTAB, SHT_PROGBITS
LIBSSL = next(Path("/usr/lib").glob("*/libssl.so.3"))
# Maps a file as code, takes a name, and does with the file what it is told.
MAPPING = """
import ctypes, mmap, os, sys
path, name, bytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
ctypes.CDLL(None).prctl(15, name.encode())
maps = []
for each in path.split(","):
    fd = os.open(each, os.O_RDWR)
    maps.append(mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_EXEC))
print("ready", flush=True)
sys.stdin.read()
"""


def elf(*sections: tuple[int, int, int], count: int = 0, titles: bytes = b"\0") -> bytes:
    """Of sections (kind, offset, size); the first one has their names."""
    rows = ((STRINGS, 64, len(titles)), *sections)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 0, 64 + len(titles), 0, 64, 56, 0,
        64, count or len(rows), 0,
    )  # fmt: skip
    told = (
        struct.pack("<IIQQQQIIQQ", 0, kind, 0, 1, at, size, 2, 0, 1, 24) for kind, at, size in rows
    )
    return header + titles + b"".join(told)


def written(path: Path, content: bytes, size: int = 0) -> Path:
    path.write_bytes(content)
    if size:
        os.truncate(path, size)
    return path


def refused(path: Path) -> bool:
    try:
        return libraries.find(str(path), "plaintext") is None
    except ElfError:
        return True


HARMFUL = {
    "65,535 sections": (elf(count=65535), 8 * MIB),
    "symbols without end": (elf((SYMBOLS, 4096, 1 << 40), (STRINGS, 400, 16)), 512 * MIB),
    "tables that overlap": (elf(*[(SYMBOLS, 4096, 12 * MIB)] * 900), 16 * MIB),
    "names without end": (elf((SYMBOLS, 200, 48), (STRINGS, 400, 1 << 62)), 2048 * MIB),
    "a name a million times": (
        elf((SYMBOLS, 400, 48), (STRINGS, 400, 9_000_000)).ljust(400, b"\0")
        + b"SSL_read\0" * 10**6,
        0,
    ),
    "offsets beyond all": (elf((SYMBOLS, (1 << 64) - 1, 48), (STRINGS, (1 << 64) - 1, 48)), 4096),
}


@pytest.mark.parametrize("what", HARMFUL)
def test_a_file_takes_neither_memory_nor_time(tmp_path: Path, what: str) -> None:
    path = written(tmp_path / "library", *HARMFUL[what])
    most_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_s = time.thread_time()
    assert refused(path)
    assert time.thread_time() - began_s < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most_kib < 64 * 1024


def test_a_section_whose_name_does_not_end(tmp_path: Path) -> None:
    path = written(tmp_path / "library", elf((CODE, 64, 8), titles=b"A" * MIB), 32 * MIB)
    with Elf(str(path)) as file:
        assert file.section(".text") is None
        assert len(file._titles) <= 64 * 1024


def test_a_file_that_becomes_shorter_is_damaged(tmp_path: Path) -> None:
    """It is read, as who maps it would be killed."""
    path = written(tmp_path / "library", elf((SYMBOLS, 400, 48), (STRINGS, 40 * MIB, 48)), 64 * MIB)
    with Elf(str(path)) as file:
        os.truncate(path, MIB)
        with pytest.raises((ElfError, *DAMAGE)):
            file.functions("SSL_read")
        assert not any(isinstance(each, mmap.mmap) for each in vars(file).values())


def test_a_fifo_in_the_place_of_a_file_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "library"
    path.write_bytes(b"\x7fELF")
    status = path.stat()
    file = CodeFile((status.st_dev, status.st_ino), str(path), "library")
    path.rename(tmp_path / "kept")
    os.mkfifo(path)
    with pytest.raises(OSError, match="no regular file"):
        open_regular(str(path))
    with pytest.raises(OSError, match="no regular file"), file.opened():
        pass
    path.unlink()
    path.write_bytes(b"\x7fELF, and another one")
    with pytest.raises(OSError, match="another file"), file.opened():
        pass
    with opened(str(tmp_path / "kept"), file.identity) as fd:
        assert stat.S_ISREG(os.fstat(fd).st_mode)


@contextmanager
def running(*command: str, user: int = 0, **environment: str) -> Iterator[Process]:
    """That says when it is ready; it ends when the pipe does."""
    with subprocess.Popen(
        command, user=user, group=user, extra_groups=[], env=os.environ | environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as each:  # fmt: skip
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
        found = processes.process(each.pid)
        assert found is not None
        yield found
        each.kill()


def own_name() -> str:
    return f"proxy-{os.urandom(3).hex()}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where any user may look."""
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)
    return tmp_path


READY = "import ssl, sys; print('ready', flush=True); sys.stdin.read()"


@pytest.mark.root
def test_files_of_a_process_that_may_not_be_looked_at(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """map_files takes a right of its own: the others are looked at all the same."""
    libssl = peers.private(place, "libssl.so.3")
    with running(peers.PYTHON, "-c", READY, LD_LIBRARY_PATH=str(place)) as process:
        libssl.unlink()
        stat_of = os.stat

        def without_the_right(path: str) -> os.stat_result:
            if "/map_files/" in str(path):
                raise PermissionError(1, os.strerror(1))
            return stat_of(path)

        monkeypatch.setattr(os, "stat", without_the_right)
        found = {Path(each.name).name: each for each in processes.code_files(process)}
        assert {"libssl.so.3 (deleted)", "libcrypto.so.3"} <= found.keys()
        with found["libcrypto.so.3"].opened():
            pass


@pytest.mark.root
def test_files_of_a_turn_take_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what was not met before one at least, and the rest in later turns."""
    monkeypatch.setattr(looking, "_LOOK_S_MAX", 0)
    with running(peers.PYTHON, "-c", READY) as process:
        files = processes.code_files(process)
        each_turn = Looking("plaintext")
        for number, file in enumerate(files):
            each_turn.begin()
            assert each_turn.has_time(file)
            each_turn.library(file)
            assert all(map(each_turn.has_time, files[: number + 1]))
            assert not any(map(each_turn.has_time, files[number + 1 :]))
            assert each_turn.late == (file is not files[-1])


@pytest.mark.root
def test_a_process_has_its_files_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "FILES_MAX", 3)
    with running(peers.PYTHON, "-c", READY) as process:
        assert len(processes.code_files(process)) == 3


def copied(place: Path, name: str, owner: int, mode: int = 0o755) -> str:
    program = place / name
    shutil.copy(os.path.realpath(peers.PYTHON), program)
    os.chown(program, owner, owner)
    program.chmod(mode)
    return str(program)


@pytest.mark.root
@pytest.mark.parametrize(
    ("owner", "mode", "why"),
    [
        (0, 0o755, ""),
        (NOBODY, 0o755, "belongs to user 65534"),
        (0, 0o775, "can be written to by others than its owner"),
        (0, 0o757, "can be written to by others than its owner"),
    ],
)
def test_who_owns_the_program_of_a_name(
    place: Path, caplog: pytest.LogCaptureFixture, owner: int, mode: int, why: str
) -> None:
    name = own_name()
    program = copied(place, name, owner, mode)
    with running(program, "-c", READY, user=NOBODY) as process:
        for target, admission, expected in (
            (name, Admission(), why and f"not traced: {program} {why}"),
            (name, Admission(any_owner=True), ""),
            (name, Admission(exe=program, any_owner=True), ""),
            (name, Admission(exe="/usr/sbin/nginx"), "there is no such process"),
            (name, Admission(uid=1), "there is no such process"),
            (str(process.pid), Admission(), ""),
        ):
            assert Tap(0, target, admission=admission).look() == expected


@pytest.mark.root
def test_a_user_is_trusted_with_his_files(place: Path) -> None:
    name = own_name()
    with running(copied(place, name, NOBODY), "-c", READY, user=NOBODY):
        assert Tap(0, name, admission=Admission(uid=NOBODY)).look() == ""


@pytest.mark.root
def test_who_took_a_name(place: Path) -> None:
    """Of root it may be the name of a script; others can call themselves what they like."""
    name, script = own_name(), written(place / "script", b"")
    command = (peers.PYTHON, "-c", f"import ssl\n{MAPPING}", str(script), name, "0")
    script.write_bytes(bytes(4096))
    script.chmod(0o666)
    with running(*command):
        assert Tap(0, name).look() == ""
    with running(*command, user=NOBODY):
        assert "took the name" in Tap(0, name).look()
        assert Tap(0, name, admission=Admission(uid=NOBODY)).look() == ""


@pytest.mark.root
@pytest.mark.usefixtures("heard")
def test_who_owns_the_library(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its warning is one line, however often it is looked at; root's private copy is traced."""
    name = own_name()
    program, libssl = copied(place, name, 0), peers.private(place, "libssl.so.3")
    with running(program, "-c", READY, LD_LIBRARY_PATH=str(place)) as process:
        for owner, traced in ((0, [process.pid]), (NOBODY, [])):
            os.chown(libssl, owner, owner)
            tap = Tap(1, name)
            with caplog.at_level(logging.WARNING, "hoptap"):
                tap.open()
            try:
                tap.refresh()
                assert tap.processes == traced
                objection = f"not traced: {libssl} belongs to user {NOBODY}"
                assert tap.problem == ("" if traced else objection)
            finally:
                tap.close()
        assert [each.getMessage() for each in caplog.records] == [f"tap {name}: {objection}"]

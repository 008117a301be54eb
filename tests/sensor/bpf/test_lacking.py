"""What a tap would need and how to get it; headers that another kernel left."""

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from sensor.bpf import (
    Mode,
    Tap,
    btf,
    headers,
    kernel,
    lacking,
    missing,
    missing_for,
    reduced,
    rights,
)
from sensor.exits import Exit
from tests.command import ROOT
from tests.lab.talkers.peers import python, started

TELL = "from sensor.bpf import missing; print(*[each.what for each in missing()], sep='\\n')"
OPEN = "from sensor.bpf import Tap; tap = Tap(0, 'none'); tap.open(); print(tap.problem)"


def run_without_rights(code: str) -> subprocess.CompletedProcess[str]:
    none = ("--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all")
    return subprocess.run(
        ["setpriv", *none, sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.root
def test_rights() -> None:
    first = run_without_rights(TELL).stdout.splitlines()[0]
    assert first.split() == ["CAP_SYS_PTRACE", "CAP_BPF", "CAP_PERFMON"]


@pytest.mark.root
def test_without_rights_it_says_so_in_a_line() -> None:
    said = run_without_rights(OPEN)
    assert said.returncode != 0
    last = said.stderr.splitlines()[-1]
    assert last == (
        "sensor.bpf.programs.TapError: tap: needs CAP_SYS_PTRACE CAP_BPF CAP_PERFMON: "
        "see hoptap check"
    )


CODE = """
from sensor.bpf import Tap, TapError
try:
    Tap(0, "none").open()
except TapError as error:
    print(int(error.code))
"""


@pytest.mark.root
def test_a_right_that_is_missing_is_no_defect() -> None:
    assert run_without_rights(CODE).stdout == f"{Exit.PERMISSION:d}\n"


@pytest.mark.root
def test_a_compiler_that_is_missing_is_no_defect(tmp_path: Path) -> None:
    """Headers of nobody: BCC has nothing to compile with."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=os.environ | {"BCC_KERNEL_SOURCE": str(tmp_path)},
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == f"{Exit.CONFIGURATION:d}\n"


def test_rights_before_linux_6_10(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "has_multi", lambda: False)
    monkeypatch.setattr(rights, "has", lambda capability: False)
    assert "CAP_SYS_PTRACE CAP_SYS_ADMIN" in [each.what for each in missing()]


@pytest.mark.parametrize(
    ("release", "has"), [("6.9.12-amd64", False), ("6.10.0", True), ("5.15.0-91-generic", False)]
)
def test_release(monkeypatch: pytest.MonkeyPatch, release: str, has: bool) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    assert kernel.has_multi() == has
    assert not any("Linux" in each.what for each in missing())


def test_an_old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "release", lambda: "5.10.0-8-amd64")
    assert "Linux 5.15 (this is 5.10.0-8-amd64)" in [each.what for each in missing()]


def test_no_headers_and_no_bcc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lacking, "has_bcc", lambda: False)
    hide_headers(monkeypatch, tmp_path)
    found = {each.what: each.how for each in missing()}
    assert found["BCC"] == "apt install python3-bpfcc"
    [headers_how] = [how for what, how in found.items() if what.startswith("kernel headers")]
    assert "BCC_KERNEL_SOURCE" in headers_how


def hide_headers(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    monkeypatch.setattr(headers, "KHEADERS", directory / "none")
    monkeypatch.setattr(headers, "_own", lambda: directory / "none")
    monkeypatch.setattr(headers, "_trees", lambda: directory.glob("linux-headers-*"))
    monkeypatch.setattr(headers, "_SOURCES", directory)


def test_the_newest_headers_are_put_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As Debian splits them; another version's part is not mixed in."""
    hide_headers(monkeypatch, tmp_path)
    architecture = headers.architecture()
    for version in ("6.1.0-9", "6.1.0-10"):
        for part, file in (
            ("common", "include/linux/types.h"),
            ("amd64", "include/generated/autoconf.h"),
            ("common", f"arch/{architecture}/include/asm/ptrace.h"),
            ("amd64", f"arch/{architecture}/include/generated/asm/x.h"),
        ):
            path = tmp_path / f"linux-headers-{version}-{part}" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{version} {part}")
    with headers.environment() as told:
        merged = Path(told["BCC_KERNEL_SOURCE"])
        assert (merged / "include/linux/types.h").read_text() == "6.1.0-10 common"
        assert (merged / "include/generated/autoconf.h").read_text() == "6.1.0-10 amd64"
        include = merged / f"arch/{architecture}/include"
        assert sorted(os.listdir(include)) == ["asm", "generated"]
    assert not merged.exists()


@pytest.mark.root
def test_headers_that_may_not_be_looked_at(tmp_path: Path) -> None:
    """As under systemd's ProtectKernelModules: as if there were none, and why is told."""
    own = tmp_path / "modules" / platform.release() / "build"
    own.mkdir(parents=True)
    tell = (
        "from pathlib import Path; from sensor.bpf import headers, missing;"
        f"headers._MODULES = Path({str(tmp_path / 'modules')!r});"
        "headers._SOURCES = headers.KHEADERS = Path('/none');"
        "print(headers.found() or [each.how for each in missing()][-1])"
    )
    assert run_without_rights(tell).stdout == f"{own}\n"
    (tmp_path / "modules").chmod(0)
    assert "ProtectKernelModules=no" in run_without_rights(tell).stdout


@pytest.mark.root
def test_the_right_to_files_that_were_replaced() -> None:
    said = run_without_rights(TELL.replace("missing", "reduced")).stdout
    assert "CAP_CHECKPOINT_RESTORE CAP_DAC_READ_SEARCH: libraries that were replaced" in said
    assert not any("CAP_CHECKPOINT_RESTORE" in each.what for each in reduced())


def test_headers_that_were_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/somewhere")
    assert headers.found() == "BCC_KERNEL_SOURCE=/somewhere"
    with headers.environment() as told:
        assert told == {}


@pytest.mark.parametrize("content", [b"", b"\x9f\xeb\x01\x00", b"\x9f\xeb" + b"\xff" * 60])
def test_no_type_information(tmp_path: Path, content: bytes) -> None:
    """Then the addresses of sockets are not told; all else works."""
    path = tmp_path / "vmlinux"
    path.write_bytes(content)
    assert btf.socket_offsets(path) == {}
    assert btf.socket_offsets(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("target", "mode", "how"),
    [
        ("/no/such/file", "plaintext", "there is no /no/such/file: /proc/PID/maps"),
        ("/bin/true", "plaintext", "give the path of libssl"),
        ("/bin/true", "keys", 'mode = "plaintext"'),
    ],
)
def test_how_a_file_could_be_tapped(target: str, mode: Mode, how: str) -> None:
    [found] = missing_for(target, mode, machine_wide=True)
    assert found.how.startswith(how)


@pytest.mark.parametrize(("lacks", "how"), [(True, "see the rights"), (False, "it is guarded")])
def test_a_process_that_may_not_be_looked_at(
    monkeypatch: pytest.MonkeyPatch, lacks: bool, how: str
) -> None:
    denied = f"process 1: {os.strerror(errno.EACCES)}"
    monkeypatch.setattr(Tap, "look", lambda tap: denied)
    monkeypatch.setattr(rights, "has", lambda capability: not lacks)
    [found] = missing_for("1")
    assert (found.what, found.how.startswith(how)) == (denied, True)


def test_no_sys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kernel, "UPROBE_TYPE", tmp_path / "type")
    monkeypatch.setattr(btf, "socket_offsets", dict)
    [found] = [each for each in missing() if each.what.startswith("uprobes")]
    assert "/sys mounted" in found.how
    assert [each.how for each in reduced()] == [
        "a kernel with CONFIG_DEBUG_INFO_BTF, and /sys mounted"
    ]


@pytest.mark.root
def test_a_target_is_looked_at_without_tracing_it() -> None:
    assert [each.what for each in missing_for("no-such-name")] == ["there is no such process"]
    assert missing_for("/bin/true", machine_wide=True)[0].what.startswith("uses no TLS library")
    assert "every process" in missing_for("/bin/true")[0].what
    with started(*python("client", "1")) as client:
        assert missing_for(str(client.pid)) == []
        assert missing_for(str(client.pid), "keys") == []

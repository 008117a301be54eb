"""Instructions end where objdump says, in what compilers made of C and of Go."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sensor.bpf import gobinary, libraries, x86
from sensor.bpf.elf import Elf, ElfError
from tests.lab.talkers.peers import go_client

TIMEOUT_S = 60
LIBSSL = Path("/usr/lib/x86_64-linux-gnu/libssl.so.3")
LINE = re.compile(r"^ +([0-9a-f]+):\t(\S+)", re.MULTILINE)

pytestmark = pytest.mark.skipif(not shutil.which("objdump"), reason="no objdump")


def disassembled(path: Path, start: int, size: int) -> list[tuple[int, str]]:
    """Address and name of each instruction."""
    span = [f"--start-address={start}", f"--stop-address={start + size}"]
    done = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", *span, str(path)],
        capture_output=True, text=True, check=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    return [(int(address, 16), name) for address, name in LINE.findall(done.stdout)]


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return go_client(tmp_path_factory.mktemp("go"))


def test_all_of_a_library() -> None:
    with Elf(str(LIBSSL)) as file:
        section = file.section(".text")
        assert section is not None
        expected = disassembled(LIBSSL, *section)
        code = file.bytes_at(*section)
    assert len(expected) > 50_000
    found = [each.start for each in x86.instructions(code, section[0])]
    assert found == [address for address, _ in expected]


def test_functions_of_go(go_program: Path) -> None:
    """And where they return, which is all that a probe needs."""
    names = (
        "crypto/tls.(*Conn).Read",
        "crypto/tls.(*Conn).Write",
        "runtime.mallocgc",
        "fmt.Fprintf",
    )
    with Elf(str(go_program)) as file:
        functions = gobinary.functions(file, *names)
        assert functions.keys() == set(names)
        by_symbol = file.functions(*names)
        for name, function in functions.items():
            assert by_symbol[name].address == function.address
            expected = disassembled(go_program, function.address, by_symbol[name].size)
            code = file.bytes_at(function.address, by_symbol[name].size)
            decoded = list(x86.instructions(code, function.address))
            assert [each.start for each in decoded] == [address for address, _ in expected]
            returns = [each.start for each in decoded if each.returns]
            assert returns == [address for address, name in expected if name.startswith("ret")]
            assert returns


def test_an_unknown_instruction_is_no_guess() -> None:
    with pytest.raises(ValueError, match="at 0x1001"):
        list(x86.instructions(b"\x90\x06\x90", 0x1000))
    with pytest.raises(ValueError, match="at 0x1000"):
        list(x86.instructions(b"\x48\x8d\x05\x00", 0x1000))


def damaged(path: Path) -> Iterator[bytes]:
    """The file cut short, and with each of its headers overwritten."""
    whole = path.read_bytes()
    for size in (1, 16, 63, 64, 1000, len(whole) // 2):
        yield whole[:size]
    sections = int.from_bytes(whole[40:48], "little")
    for at in (*range(16, 64, 2), *range(sections, len(whole), 997)):
        yield whole[:at] + b"\xff" * 16 + whole[at + 16 :]


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """None of them makes the tap fail in another way than by saying so."""
    copy, answers = tmp_path / "library", set()
    for content in damaged(LIBSSL):
        copy.write_bytes(content)
        for mode in ("plaintext", "keys"):
            try:
                answers.add(type(libraries.find(str(copy), mode)).__name__)
            except (ElfError, libraries.Unsuited) as error:
                answers.add(type(error).__name__)
    assert {"NoneType", "Unsuited"} <= answers

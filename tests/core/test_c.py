"""Builds and runs each tests/core/test_*.c under AddressSanitizer and UndefinedBehaviorSanitizer.

The first line of a program names the core sources it links: `/* links: stream.c tls*.c */`. It
ends with 0 when every check held, and with 77 when it could not run here, having printed why.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "sensor" / "core"
TESTS = ROOT / "tests" / "core"
PROGRAMS = sorted(TESTS.glob("test_*.c"))
SKIPPED = 77
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-fno-omit-frame-pointer"]
LIBRARIES = ["-lm", "-lz", "-lzstd", "-lnghttp2", "-lssl", "-lcrypto", "-lpthread"]


def linked_sources(program: Path) -> list[Path]:
    first_line = program.read_text().split("\n", 1)[0]
    match = re.fullmatch(r"/\* links:((?: [a-z0-9_*]+\.c)*) \*/", first_line)
    assert match, f"{program.name}: the first line must read /* links: a.c b.c */"
    return [path for name in match[1].split() for path in sorted(CORE.glob(name))]


def build(program: Path, compiler: str) -> Path:
    """The program, compiled unless the one built before is newer than all it is made of."""
    binary = ROOT / "build" / "core-tests" / compiler / program.stem
    sources = [program, *linked_sources(program)]
    made_of = [*sources, *CORE.glob("*.h"), *TESTS.glob("*.h"), Path(__file__)]
    if binary.exists() and binary.stat().st_mtime > max(each.stat().st_mtime for each in made_of):
        return binary
    binary.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, *FLAGS, *SANITIZERS, f"-I{CORE}", f"-I{TESTS}", *map(str, sources)]
    done = subprocess.run(
        [*command, "-o", str(binary), *LIBRARIES], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"{program.name} does not build\n{done.stderr}", pytrace=False)
    return binary


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_program(program: Path, compiler: str, tmp_path: Path) -> None:
    binary = build(program, compiler)
    done = subprocess.run(
        [str(binary)], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    said = done.stdout + done.stderr
    if done.returncode == SKIPPED:
        pytest.skip(said.strip())
    if done.returncode != 0:
        pytest.fail(f"{program.name} ended with {done.returncode}\n{said}", pytrace=False)


def test_there_are_programs() -> None:
    assert PROGRAMS

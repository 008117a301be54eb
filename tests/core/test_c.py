"""Builds and runs each tests/core/test_*.c under AddressSanitizer and UndefinedBehaviorSanitizer.

The first line of a program names the core sources it links: `/* links: stream.c tls*.c */`. It
ends with 0 when every check held, and with 77 when it could not run here, having printed why.
"""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "sensor" / "core"
TESTS = ROOT / "tests" / "core"
BUILD = ROOT / "build" / "core-tests"
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


def compiled(source: Path, compiler: str) -> Path:
    """Its object, made once for all programs, unless one is newer than all it is made of."""
    made = BUILD / compiler / f"{source.stem}.o"
    headers = [*CORE.glob("*.h"), *(TESTS.glob("*.h") if source.parent == TESTS else ())]
    if not is_newer(made, [source, *headers]):
        run([compiler, *FLAGS, *SANITIZERS, f"-I{CORE}", f"-I{TESTS}", "-c", source, "-o", made])
    return made


def build(program: Path, compiler: str) -> Path:
    binary = BUILD / compiler / program.stem
    binary.parent.mkdir(parents=True, exist_ok=True)
    sources = [program, *linked_sources(program)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda source: compiled(source, compiler), sources))
    if not is_newer(binary, objects):
        run([compiler, *SANITIZERS, *objects, "-o", binary, *LIBRARIES])
    return binary


def is_newer(made: Path, made_of: list[Path]) -> bool:
    if not made.exists():
        return False
    newest = max(each.stat().st_mtime_ns for each in [*made_of, Path(__file__)])
    return made.stat().st_mtime_ns > newest


def run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stderr}", pytrace=False)


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

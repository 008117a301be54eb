"""Programs to tap: private copies, under names that nothing else on this machine has.

A probe is on a file, for a process; a copy of both keeps a test from every other process.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab.namespaces import namespaces_work

LIBRARIES = re.compile(r"(lib(?:ssl|crypto|gnutls)\.so\.\d+) => (\S+)")
TIMEOUT_S = 30


def need_taps() -> None:
    """Skips where no tap can be opened."""
    if not namespaces_work():
        pytest.skip("needs root and namespaces")
    from sensor.bpf import missing

    lacking = missing()
    if lacking:
        pytest.skip("; ".join(each.what for each in lacking))


def private_copy(program: str, directory: Path) -> tuple[str, tuple[str, ...]]:
    """The copy's name, and the command that runs it with its own TLS libraries.

    Skips when there is no such program here.
    """
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program}")
    name = f"{Path(program).name[:7]}-{os.urandom(3).hex()}"  # a process' name has 15 characters
    shutil.copy(os.path.realpath(found), directory / name)
    libraries = directory / f"{name}.lib"
    libraries.mkdir()
    listed = subprocess.run(
        ["ldd", found], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    for file, path in LIBRARIES.findall(listed.stdout):
        shutil.copy(path, libraries / file)
    return name, ("env", f"LD_LIBRARY_PATH={libraries}", str(directory / name))

"""deploy/keysend.c, built as its own first lines say."""

import subprocess
from pathlib import Path

from tests.command import ROOT

TIMEOUT_S = 60


def build(directory: Path) -> Path:
    """The library to preload."""
    library = directory / "keysend.so"
    source = ROOT / "deploy" / "keysend.c"
    [line] = [each for each in source.read_text().splitlines() if " gcc " in each]
    command = line.split()[1:]
    assert command[-3:-1] == ["keysend.so", "keysend.c"], command
    command[-3:-1] = [str(library), str(source)]
    subprocess.run([*command, "-Wall", "-Wextra", "-Werror"], check=True, timeout=TIMEOUT_S)
    return library

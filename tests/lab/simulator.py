"""govmomi's vCenter simulator, built once from Debian's sources, and a pyvmomi client for it."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab.namespaces import Namespace

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "tests" / "lab" / "vcsim").glob("*.go"))
BUILD = ROOT / "build" / "lab"
GOPATH = Path("/usr/share/gocode")  # where Debian's golang-*-dev packages are
USER = "administrator@vsphere.local"
PASSWORD = "Right-Battery-Staple-7"
BUILD_TIMEOUT_S = 900
START_TIMEOUT_S = 30


def built() -> Path:
    """The simulator's binary. Skips when Go or govmomi's sources are not installed."""
    return built_of("vcsim", SOURCES)


def built_of(name: str, sources: Sequence[Path]) -> Path:
    """The same of another program."""
    binary = BUILD / name
    newest = max(source.stat().st_mtime for source in sources)
    if binary.exists() and binary.stat().st_mtime > newest:
        return binary
    if not shutil.which("go") or not (GOPATH / "src/github.com/vmware/govmomi").is_dir():
        pytest.skip("no golang-go, or no golang-github-vmware-govmomi-dev")
    BUILD.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOPATH": str(GOPATH),
        "GOCACHE": str(BUILD / "go-cache"),
        "GOTOOLCHAIN": "local",
    }
    subprocess.run(
        ["go", "build", "-o", str(binary), *map(str, sources)],
        env=environment,
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )
    return binary


def start(host: Namespace, address: str, *options: str) -> str:
    """Starts a simulator that takes USER with PASSWORD only; its URL, once it listens."""
    return start_with(host, address, "-user", USER, "-password", PASSWORD, *options)


def start_with(host: Namespace, address: str, *options: str) -> str:
    """The same of one that takes the accounts that the options say."""
    process = host.start(str(built()), "-address", address, *options, stdout=subprocess.PIPE)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.startswith("http"), "the simulator did not start"
    return url

"""The wheel as it is shipped: one abi3 file, complete, and working away from the source tree."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sensor.bpf.compile import SOURCES

ROOT = Path(__file__).parents[1]
BUILD_TIMEOUT_S = 600


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "sensor", "decoders", "exporters"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    for built in (source / "sensor").glob("_core*.so"):
        built.unlink()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run(
        [*command, "--wheel-dir", str(directory), str(source)], check=True, timeout=BUILD_TIMEOUT_S
    )
    [built_wheel] = directory.glob("*.whl")
    return built_wheel


def test_one_wheel_for_every_python(wheel: Path) -> None:
    assert wheel.name.startswith("hoptap-")
    assert "-cp311-abi3-linux_" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert "sensor/_core.abi3.so" in names
    for name in ("sensor/py.typed", "sensor/_core.pyi", "sensor/demo/chain.pcap.gz"):
        assert name in names
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {"sensor", "decoders", "exporters"}
    # Kernel programs are compiled where they run; of the core there is only what they share.
    kernel = {f"sensor/bpf/{name}" for name in SOURCES} | {"sensor/core/tap_event.h"}
    assert {name for name in names if name.endswith((".c", ".h", ".o"))} == kernel
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_wheel_replays_its_demo(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    environment = os.environ | {"PYTHONPATH": str(installed)}
    out = tmp_path / "out.ndjson"
    demo = installed / "sensor" / "demo" / "chain.pcap.gz"
    code = "import sensor.cli, sys; print(sensor.cli.__file__); sys.exit(sensor.cli.main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "replay", "--out", str(out), str(demo)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    paths = {
        json.loads(line).get("chain", {}).get("path", "") for line in out.read_text().splitlines()
    }
    assert any(path.count(":") >= 5 for path in paths)  # three hops

"""How the sensor sits in its host: service manager, rights, the unit that deploys it."""

import configparser
import os
import resource
import shutil
import socket
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from sensor import notify, privileges
from sensor.exits import ConfigError, Exit

ROOT = Path(__file__).parents[2]
PR_GET_DUMPABLE = 3


def run_python(program: str) -> str:
    """In a process of its own: what it gives up is gone for good."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    address = f"@hoptap-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        notify.notify("READY=1", "STATUS=capturing")
        assert manager.recv(100) == b"READY=1\nSTATUS=capturing"
    notify.notify("STOPPING=1")  # nobody listens any more: that is no error
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify.notify("READY=1")


@pytest.mark.parametrize(("text", "expected"), [("60000000", 30.0), ("", 0.0), ("x", 0.0)])
def test_the_watchdog_is_fed_twice_as_often_as_asked(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: float
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", text)
    assert notify.watchdog_s() == expected


def test_there_is_no_core_dump() -> None:
    program = (
        "import ctypes, resource; from sensor import privileges; privileges.forbid_core_dumps();"
        f"print(resource.getrlimit({resource.RLIMIT_CORE}),"
        f" ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}))"
    )
    assert run_python(program) == "(0, 0) 0"


@pytest.mark.root
def test_root_becomes_another_user_for_good() -> None:
    program = (
        "import os; from sensor import privileges; privileges.become('nobody');"
        "print(os.getresuid(), os.getgroups(),"
        f" privileges.has_capability({privileges.CAP_NET_RAW}));"
        "\ntry: os.setuid(0)\nexcept PermissionError: print('refused')"
    )
    groups = os.getgrouplist("nobody", 65534)[1:]
    assert run_python(program) == f"(65534, 65534, 65534) {groups} False\nrefused"


def test_a_user_that_cannot_be_had_is_one_line() -> None:
    with pytest.raises(ConfigError, match="there is no user 'no-such-user'"):
        privileges.become("no-such-user")
    program = (
        "import os; from sensor import privileges, exits; os.geteuid() or os.setuid(65534);"
        "\ntry: privileges.become('root')\nexcept exits.PrivilegeError as error: print(error)"
    )
    assert run_python(program) == "sensor.user: only root can become 'root'"


def test_the_unit_gives_the_least_that_capturing_needs() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "deploy/hoptap.service")
    service = parser["Service"]
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_RAW"
    assert service["User"] != "root"
    assert service["LimitCORE"] == "0"
    assert service["MemorySwapMax"] == "0"
    for name in ("NoNewPrivileges", "MemoryDenyWriteExecute", "PrivateDevices", "ProtectHome"):
        assert service[name] == "yes", name
    assert service["ProtectSystem"] == "strict"
    assert service["Type"] == "notify"
    # Spools and the evidence log are in the data directory, receivers in private networks.
    assert service["StateDirectory"] == "hoptap"
    assert service["IPAddressDeny"] == "any"
    networks = [ip_network(each) for each in service["IPAddressAllow"].split()[1:]]
    assert networks and all(each.is_private for each in networks)
    # What does not heal by itself is not tried again and again.
    codes = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert codes == {Exit.USAGE, Exit.CONFIGURATION, Exit.PERMISSION}


def analyzed(*arguments: str) -> str:
    """What systemd says of a unit, without a complaint."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def test_systemd_calls_the_unit_well_confined() -> None:
    """2.0 of 10, in which less is better; the unit without any confinement has 9.6."""
    analyzed("security", "--offline=true", "--threshold=20", str(ROOT / "deploy/hoptap.service"))


def test_what_a_tap_needs_more_is_a_drop_in(tmp_path: Path) -> None:
    """Its capabilities are those that a tap asks for; the rest of the unit holds."""
    shipped = (ROOT / "deploy/hoptap.service").read_text()
    unit, drop_in = tmp_path / "hoptap.service", tmp_path / "hoptap.service.d" / "tap.conf"
    unit.write_text(shipped.replace("/opt/hoptap/bin/hoptap", sys.executable))
    drop_in.parent.mkdir()
    drop_in.write_text((ROOT / "deploy/hoptap-tap.conf").read_text())
    assert analyzed("verify", str(unit)) == ""
    analyzed("security", "--offline=true", "--threshold=30", str(unit))
    lines = (ROOT / "deploy/hoptap-tap.conf").read_text().splitlines()
    given = {
        name: " ".join(line.partition("=")[2] for line in lines if line.startswith(f"{name}="))
        for name in ("AmbientCapabilities", "CapabilityBoundingSet", "ProtectKernelModules")
    }
    assert given["AmbientCapabilities"] == given["CapabilityBoundingSet"]
    assert given["AmbientCapabilities"].startswith("CAP_BPF CAP_PERFMON CAP_SYS_PTRACE ")
    assert given["ProtectKernelModules"] == "no"

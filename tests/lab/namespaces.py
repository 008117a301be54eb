"""Network namespaces joined by a veth pair, that vanish with the test that made them.

A namespace has no name: a child `cat` holds it and ends when its standard input closes, so even
a killed test run leaves nothing behind. Commands started inside are killed with their parent.
"""

import functools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

ROOT = Path(__file__).parents[2]
COMMAND_TIMEOUT_S = 30
CLIENT_ADDRESS = "10.91.0.1"
SERVER_ADDRESS = "10.91.0.2"
CLIENT_INTERFACE = "client0"
SERVER_INTERFACE = "server0"


class Namespace:
    """A network namespace and the processes started in it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._holder = self._stack.enter_context(
            subprocess.Popen(
                ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        )
        assert self._holder.stdin is not None and self._holder.stdout is not None
        self._stack.callback(self._holder.kill)
        self._holder.stdin.write(b"\n")
        self._holder.stdin.flush()
        if self._holder.stdout.read(1) != b"\n":  # cat answers once it is inside
            self.close()
            raise OSError("cannot make a network namespace")
        self.pid = self._holder.pid
        self.run("ip", "link", "set", "lo", "up")
        # no router solicitations among the packets of a test
        for scope in ("all", "default"):
            self.run("sh", "-c", f"echo 1 >/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")

    def _inside(self, command: tuple[str, ...]) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *command]

    def run(self, *command: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Standard output of a command that must succeed."""
        done = subprocess.run(
            self._inside(command),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def start(
        self,
        *command: str,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
    ) -> subprocess.Popen[str]:
        """A process inside; killed, if it still runs, when the namespace closes."""
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *self._inside(command)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        return process

    def packet_sockets(self) -> int:
        """AF_PACKET sockets that are bound and receive, as /proc/net/packet lists them."""
        rows = self.run("cat", "/proc/net/packet").splitlines()[1:]
        return sum(row.split()[5] == "1" for row in rows)

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Wire:
    """Two hosts and the veth pair between them."""

    client: Namespace
    server: Namespace


@contextmanager
def open_wire(*, offloads: bool) -> Iterator[Wire]:
    """Without offloads frames are as on a real wire; with them there are TSO super-packets."""
    with Namespace() as client, Namespace() as server:
        peer = ("peer", "name", SERVER_INTERFACE, "netns", str(server.pid))
        client.run("ip", "link", "add", CLIENT_INTERFACE, "type", "veth", *peer)
        ends = (
            (client, CLIENT_INTERFACE, CLIENT_ADDRESS),
            (server, SERVER_INTERFACE, SERVER_ADDRESS),
        )
        for host, interface, address in ends:
            if not offloads:
                features = ("tso", "off", "gso", "off", "gro", "off", "tx", "off")
                host.run("ethtool", "-K", interface, *features)
            host.run("ip", "address", "add", f"{address}/24", "dev", interface)
            host.run("ip", "link", "set", interface, "up")
        yield Wire(client, server)


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
    """Polls until the condition holds; TimeoutError names what did not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.02)


@functools.cache
def namespaces_work() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        with open_wire(offloads=False):
            return True
    except (OSError, RuntimeError):
        return False

"""Who the tapped programs speak with, and how they are started and told to speak."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import self_signed
from tests.command import ROOT

HERE = Path(__file__).parent
SPEAK_TIMEOUT_S = 30
# Debian's, which uses the system's libssl; another may have one of its own.
PYTHON = "/usr/bin/python3"


class Server:
    """Takes `SIZE\\n` and as many bytes, and gives them back."""

    def __init__(self, pem: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(plain,), daemon=True).start()

    def _echo(self, plain: socket.socket) -> None:
        try:
            with plain, self._context.wrap_socket(plain, server_side=True) as tls:
                stream = tls.makefile("rwb")
                while line := stream.readline():
                    stream.write(stream.read(int(line)))
                    stream.flush()
        except OSError:
            return  # the peer was killed


class Client:
    """A program of this directory, which waits to be told."""

    def __init__(self, *command: str | Path, **environment: str) -> None:
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self._hear("ready")

    def speak(self, order: int | str) -> None:
        self.order(order)
        self._hear("done")

    def order(self, order: int | str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """As it ends by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(SPEAK_TIMEOUT_S) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _hear(self, word: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n"


@contextmanager
def started(*command: str | Path, **environment: str) -> Iterator[Client]:
    client = Client(*command, **environment)
    try:
        yield client
    finally:
        client.kill()


@contextmanager
def running(*command: str | Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Any program, with pipes; killed at the end."""
    with subprocess.Popen(
        command, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def python(module: str, *arguments: str) -> tuple[str, ...]:
    return (PYTHON, "-m", f"tests.lab.talkers.{module}", *arguments)


def node(*arguments: str) -> tuple[str, ...]:
    program = shutil.which("node")
    if program is None:
        pytest.skip("no node")
    return (program, str(HERE / "client.js"), *arguments)


def go_client(directory: Path, *flags: str) -> Path:
    """Built; skips without Go."""
    if not shutil.which("go"):
        pytest.skip("no golang-go")
    binary = directory / "client"
    cache = {"GOCACHE": str(ROOT / "build" / "lab" / "go-cache"), "GO111MODULE": "off"}
    command = ["go", "build", *flags, "-o", str(binary), str(HERE / "client.go")]
    subprocess.run(
        command, check=True, timeout=600, env=os.environ | cache | {"GOTOOLCHAIN": "local"}
    )
    return binary


def certificate(directory: Path) -> Path:
    return self_signed(directory / "site.pem", "tapped.test")


def private(directory: Path, name: str) -> Path:
    """A copy of the library that nobody else uses."""
    copy = directory / name
    shutil.copy(next(Path("/usr/lib").glob(f"*/{name}")), copy)
    return copy

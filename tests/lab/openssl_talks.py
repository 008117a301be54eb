"""The rows of tls_table.py, spoken by `openssl s_server` and `s_client` on loopback.

`python -m tests.lab.openssl_talks DIRECTORY` leaves the clients' key log in DIRECTORY/keys.log.
Whoever runs it captures. Each login is of its own user: row.user(0) is the first one's.
"""

import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.certificates import P_256, RSA, self_signed
from tests.lab.tls_table import ROWS, STARTS, TLS13, Row
from tests.tls_talk import login

ADDRESS = "127.0.0.1"
PORT = 4433
STEP_TIMEOUT_S = 20
PART_ROWS = 20
SHOWN_BYTES = 4000  # the last of what was said, of a program that does not go on
AT_ONCE = 2  # two programs each, which mostly wait for each other
PASSWORD = "Blue-Tape-Orbit-4"
REQUEST_END = REPLY_END = b"</soapenv:Envelope>"

# What an openssl program is told to do while it runs, and what it then says.
COMMANDS = {
    "client K": b"KEYUPDATE",
    "client k": b"KEYUPDATE",
    "client R": b"RENEGOTIATING",
    "server K": b"SSL_do_handshake",
    "server r": b"SSL_do_handshake",
}


class Program:
    """An openssl that is spoken with through its standard input and output."""

    def __init__(self, directory: Path, *arguments: str, extended: bool) -> None:
        configuration = directory / f"openssl-{'extended' if extended else 'unextended'}.cnf"
        self._process = subprocess.Popen(
            ["stdbuf", "-oL", "openssl", *arguments],
            cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=os.environ | {"OPENSSL_CONF": str(configuration)},
        )  # fmt: skip
        self._command = " ".join(("openssl", *arguments))
        self._heard_to = 0
        self.said = b""

    def say(self, text: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def hear(self, *texts: bytes) -> None:
        """Waits until it has said each of these, in this order."""
        for text in texts:
            while (found := self.said.find(text, self._heard_to)) < 0:
                self._read()
            self._heard_to = found + len(text)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        while self._read(ended=True):
            pass
        self._process.wait(STEP_TIMEOUT_S)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self, ended: bool = False) -> bool:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            some = ready.select(STEP_TIMEOUT_S) and os.read(self._process.stdout.fileno(), 65536)
        if not some and not ended:
            raise RuntimeError(f"{self._command}: said only\n{self.said[-SHOWN_BYTES:].decode()}")
        self.said += some or b""
        return bool(some)


class Talk:
    """One row, spoken with a server that others have spoken with: one client after another."""

    def __init__(self, row: Row, server: Program, directory: Path, port: int) -> None:
        self._row = row
        self._server = server
        self._directory = directory
        self._where = f"{ADDRESS}:{port}"
        self._session, self._early = f"session-{row.name}", f"early-{row.name}"
        self._logins = 0
        self._client: Program | None = None

    def __call__(self) -> None:
        try:
            self._connect("-keylogfile", "keys.log", "-sess_out", self._session)
            for step in self._row.steps:
                self._step(step)
            said = self._disconnect()
            missing = [text.decode() for text in self._row.says if text not in said]
            assert not missing, f"{self._row.name}: not said: {missing}\n{said.decode()}"
        finally:
            if self._client is not None:
                self._client.kill()

    def _step(self, step: str) -> None:
        if step == "login":
            self._login()
        elif step in STARTS:
            self._disconnect()
            log: tuple[str, ...] = ("-keylogfile", "keys.log")
            if step == "again unlogged":
                log = ()
            if step == "early":
                asked, _ = self._next()
                (self._directory / self._early).write_bytes(asked)
                log += ("-early_data", self._early)
            self._connect("-sess_in", self._session, *log)
            if step == "early":
                self._answer()
        else:
            who, letter = step.split()
            program = self._server if who == "server" else self._client
            assert program is not None
            program.say(letter.encode() + b"\n")
            program.hear(COMMANDS[step])

    def _next(self) -> tuple[bytes, bytes]:
        return login(self._row.user(self._logins), PASSWORD)

    def _login(self) -> None:
        assert self._client is not None
        self._client.say(self._next()[0])
        self._answer()

    def _answer(self) -> None:
        assert self._client is not None
        user = self._row.user(self._logins).encode()
        self._server.hear(b"<userName>" + user, REQUEST_END)
        self._server.say(self._next()[1])
        self._client.hear(b"<userName>" + user, REPLY_END)
        self._logins += 1

    def _connect(self, *options: str) -> None:
        arguments = ("-connect", self._where, *self._suite(), *self._row.client, *options)
        extended = self._row.extended
        self._client = Program(self._directory, "s_client", *arguments, extended=extended)

    def _disconnect(self) -> bytes:
        assert self._client is not None
        self._client.say(b"Q\n")
        self._client.end()
        return self._client.said

    def _suite(self) -> tuple[str, ...]:
        row = self._row
        if row.version == "1.3":
            return ("-tls1_3", "-ciphersuites", row.suite)
        version = {"1.0": "-tls1", "1.1": "-tls1_1", "1.2": "-tls1_2"}[row.version]
        return (version, "-cipher", f"{row.suite}:@SECLEVEL=0")


def _prepare(directory: Path) -> None:
    """Certificates with their keys; configurations that owe nothing to the machine's own."""
    for name, kind in (("rsa", RSA), ("ec", P_256), ("client", RSA)):
        self_signed(directory / f"{name}.pem", f"{name}.test", kind)
    for name, sign in (("extended", ""), ("unextended", "-")):
        (directory / f"openssl-{name}.cnf").write_text(
            "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n"
            f"[tls]\nOptions = {sign}ExtendedMasterSecret\n"
        )
    (directory / "keys.log").touch(0o600)


def _parts() -> Iterator[list[Row]]:
    """Rows that one server speaks, a few: several parts are spoken at once."""
    alike: dict[tuple[tuple[str, ...], bool], list[Row]] = {}
    for row in ROWS:
        alike.setdefault((row.server, row.extended), []).append(row)
    for rows in alike.values():
        yield from (rows[start : start + PART_ROWS] for start in range(0, len(rows), PART_ROWS))


def _speak(rows: list[Row], directory: Path, port: int) -> None:
    server = Program(
        directory, "s_server", "-accept", f"{ADDRESS}:{port}", "-cert", "rsa.pem",
        "-dcert", "ec.pem", "-cipher", "ALL:@SECLEVEL=0", "-ciphersuites", ":".join(TLS13),
        *rows[0].server, extended=rows[0].extended,
    )  # fmt: skip
    try:
        server.hear(b"ACCEPT")
        for row in rows:
            Talk(row, server, directory, port)()
    finally:
        server.kill()


def main() -> int:
    directory = Path(sys.argv[1])
    _prepare(directory)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        talks = [pool.submit(_speak, rows, directory, n) for n, rows in enumerate(_parts(), PORT)]
        for each in talks:
            each.result()
    return 0


if __name__ == "__main__":
    sys.exit(main())

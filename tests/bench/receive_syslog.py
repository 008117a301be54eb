"""Syslog and RELP into rsyslog, and beside them what rsyslog itself sends there."""

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from exporters.endpoint import Endpoint
from exporters.formats.rfc5424 import RFC5424, message
from exporters.relp import Relp
from exporters.syslog import Syslog
from exporters.transport import Refused, Transport, Tree
from tests.bench.receivers import ALONE_ONLY, Measured, Start, receiver
from tests.certificates import Authority
from tests.lab.manyrecords import many
from tests.lab.receivers import rsyslog, running

CLIENT = "sensor.example.org"


class LineCount:
    """Lines of a growing file, read on from where the last count ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._lines = 0

    def __call__(self) -> int:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                while chunk := file.read(1 << 20):
                    self._lines += chunk.count(b"\n")
                    self._at += len(chunk)
        return self._lines


def into_rsyslog(name: str) -> Start:
    @contextmanager
    def start(directory: Path) -> Iterator[Measured]:
        authority = Authority(directory / "authority")
        tls = authority.issue(CLIENT) if name.endswith("tls") else None
        with running(rsyslog(directory, authority.issue("localhost"), CLIENT)) as server:
            host = "localhost" if tls else "127.0.0.1"
            endpoint = Endpoint(host, server.ports[name], 5, 30, tls)
            transport: Transport = (
                Relp(endpoint, RFC5424) if "relp" in name else Syslog(endpoint, name, RFC5424)
            )
            yield Measured(transport, LineCount(server.stored(name)), server.cpu_s)

    return start


class RsyslogSender:
    """A sender of rsyslog's own: it follows a file, to which a message is added for each record."""

    acknowledges = False

    def __init__(self, directory: Path, action: str) -> None:
        self._followed = directory / "followed"
        self._followed.touch()
        config = directory / "sender.conf"
        config.write_text(
            f"""
global(workDirectory="{directory}" maxMessageSize="8k")
module(load="imfile") module(load="omrelp")
template(name="whole" type="string" string="%msg%")
main_queue(queue.size="200000")
input(type="imfile" file="{self._followed}" tag="x")
action(template="whole" {action})
"""
        )
        command = ["rsyslogd", "-n", "-f", str(config), "-i", str(directory / "sender.pid")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._line = message(many(1)[0]) + b"\n"

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        with self._followed.open("ab") as file:
            file.write(self._line * len(records))
        return ()

    def probe(self) -> str:
        return ""

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)


def sent_by_rsyslog(name: str, action: Callable[[int], str]) -> Start:
    @contextmanager
    def start(directory: Path) -> Iterator[Measured]:
        authority = Authority(directory / "authority")
        with running(rsyslog(directory, authority.issue("localhost"), CLIENT)) as server:
            sender = RsyslogSender(directory, action(server.ports[name]))
            count = LineCount(server.stored(name))
            try:
                sender.send(many(1))
                while not count():  # from here on it follows
                    time.sleep(0.05)
                yield Measured(sender, count, server.cpu_s)
            finally:
                sender.close()

    return start


def _tcp(port: int) -> str:
    framing = 'protocol="tcp" TCP_Framing="octet-counted"'
    return f'type="omfwd" target="127.0.0.1" port="{port}" {framing}'


def _relp(port: int) -> str:
    return f'type="omrelp" target="127.0.0.1" port="{port}"'


for _name, _called in (
    ("udp", "syslog-udp"),
    ("tcp", "syslog-tcp"),
    ("tls", "syslog-tls"),
    ("relp", "relp"),
    ("relp-tls", "relp-tls"),
):
    receiver(_called)(into_rsyslog(_name))
for _name, _called, _action in (("tcp", "rsyslog-omfwd", _tcp), ("relp", "rsyslog-omrelp", _relp)):
    receiver(_called)(sent_by_rsyslog(_name, _action))
    ALONE_ONLY.add(_called)

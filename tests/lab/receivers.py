"""Real syslog receivers, in the foreground on loopback: rsyslog, and syslog-ng where unpacked."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exporters.endpoint import TlsFiles

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 20.0
SYSLOG_NG = ROOT / ".venv" / "syslog-ng"  # deploy/setup.sh puts it there


class Receiver:
    """A receiver that writes each message as a line to `stored`. `ports` by the input's name."""

    def __init__(
        self,
        command: Callable[[Path], list[str]],
        config: str,
        directory: Path,
        ports: dict[str, int],
        environment: dict[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.ports = ports
        self.process: subprocess.Popen[bytes] | None = None
        self._command = command
        self._environment = environment
        self._said = directory / "said.log"
        self._config = directory / "receiver.conf"
        self._config.write_text(config)

    def start(self) -> None:
        with self._said.open("ab") as said:
            self.process = subprocess.Popen(
                self._command(self._config),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, **(self._environment or {})},
            )
        wait_until(self._listens, START_TIMEOUT_S, self.said)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def kill(self) -> None:
        """As a crash would: nothing is written on the way out."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_TIMEOUT_S)
        self.process = None

    def cpu_s(self) -> float:
        """Processor time used so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stored(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def stored_bytes(self, name: str) -> int:
        path = self.stored(name)
        return path.stat().st_size if path.exists() else 0

    def lines(self, name: str) -> list[bytes]:
        path = self.stored(name)
        return path.read_bytes().splitlines() if path.exists() else []

    def await_lines(self, name: str, count: int, timeout_s: float = 30.0) -> list[bytes]:
        """The stored lines once there are so many, or those there when time is up."""
        until = time.monotonic() + timeout_s
        while _newlines(self.stored(name)) < count and time.monotonic() < until:
            time.sleep(0.05)
        return self.lines(name)

    def said(self) -> str:
        return self._said.read_text(errors="replace")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        return all(
            _accepts(port) for name, port in self.ports.items() if not name.startswith("udp")
        )


def rsyslog(
    directory: Path, server: TlsFiles, client_name: str, *, queue: str = 'size="200000"'
) -> Receiver:
    """Inputs udp, tcp, tls (mutual), relp and relp-tls (mutual), each with a file of its own.

    With the queue type="Direct" a message is stored before it is acknowledged; with any other in
    memory a crash loses what was acknowledged and is not stored.
    """
    ports = free_ports("udp", "tcp", "tls", "relp", "relp-tls")
    driver = (
        f'StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/name" '
        f'PermittedPeer="{client_name}"'
    )
    tls = (
        f'tls="on" tls.caCert="{server.ca_file}" tls.myCert="{server.cert_file}" '
        f'tls.myPrivKey="{server.key_file}" tls.authMode="name" tls.permittedPeer="{client_name}"'
    )
    inputs = {
        "udp": 'type="imudp" address="127.0.0.1" rcvbufSize="16m"',
        "tcp": 'type="imtcp" address="127.0.0.1"',
        "tls": f'type="imtcp" address="127.0.0.1" {driver}',
        "relp": 'type="imrelp" address="127.0.0.1"',
        "relp-tls": f'type="imrelp" address="127.0.0.1" {tls}',
    }
    config = f"""
global(workDirectory="{directory}" defaultNetstreamDriverCAFile="{server.ca_file}"
       defaultNetstreamDriverCertFile="{server.cert_file}"
       defaultNetstreamDriverKeyFile="{server.key_file}")
module(load="imudp") module(load="imtcp") module(load="imrelp")
template(name="stored" type="string" string="%structured-data%%msg%\\n")
main_queue(queue.{queue})
"""
    for name, options in inputs.items():
        config += f"""
ruleset(name="{name}") {{ action(type="omfile" file="{directory}/{name}.log" template="stored") }}
input({options} port="{ports[name]}" ruleset="{name}")
"""
    config += f'action(type="omfile" file="{directory}/own.log")\n'
    return Receiver(_rsyslogd(directory), config, directory, ports)


def shipped_rsyslog(directory: Path, server: TlsFiles) -> Receiver:
    """With deploy/rsyslog/hoptap.conf: input relp-tls, and the file that it writes."""
    ports = free_ports("relp-tls")
    config = (ROOT / "deploy" / "rsyslog" / "hoptap.conf").read_text()
    for theirs, here in (
        ("/etc/rsyslog.d/tls/ca.pem", server.ca_file),
        ("/etc/rsyslog.d/tls/siem.pem", server.cert_file),
        ("/etc/rsyslog.d/tls/siem.key", server.key_file),
        ("/var/log/hoptap.json", str(directory / "relp-tls.log")),
        ('port="2514"', f'port="{ports["relp-tls"]}"'),
    ):
        assert config.count(theirs) == 1, theirs
        config = config.replace(theirs, here)
    work = f'global(workDirectory="{directory}")\n'
    return Receiver(_rsyslogd(directory), work + config, directory, ports)


def _rsyslogd(directory: Path) -> Callable[[Path], list[str]]:
    return lambda config: ["rsyslogd", "-n", "-f", str(config), "-i", str(directory / "pid")]


def syslog_ng(directory: Path, server: TlsFiles) -> Receiver:
    """Inputs tcp and tls (mutual); what is stored is the structured data as JSON, and the text."""
    ports = free_ports("tcp", "tls")
    config = f"""@version: 3.38
options {{ stats-freq(0); log-msg-size(65536); keep-hostname(yes); use-dns(no); }};
template stored {{
    template("$(format-json --scope none .SDATA.* text=$MSG host=$HOST kind=$MSGID)\\n"); }};
source tcp {{ syslog(ip(127.0.0.1) port({ports["tcp"]}) transport("tcp") flags(no-hostname)); }};
source tls {{ syslog(ip(127.0.0.1) port({ports["tls"]}) transport("tls")
    tls(key-file("{server.key_file}") cert-file("{server.cert_file}")
        ca-file("{server.ca_file}") peer-verify(required-trusted))); }};
destination tcp {{ file("{directory}/tcp.log" template(stored)); }};
destination tls {{ file("{directory}/tls.log" template(stored)); }};
log {{ source(tcp); destination(tcp); flags(flow-control); }};
log {{ source(tls); destination(tls); flags(flow-control); }};
"""
    program, options, environment = _syslog_ng_program()
    return Receiver(
        lambda path: [
            program, "--foreground", "--no-caps", f"--cfgfile={path}", *options,
            f"--persist-file={directory}/persist", f"--pidfile={directory}/pid",
            f"--control={directory}/control",
        ],
        config,
        directory,
        ports,
        environment,
    )  # fmt: skip


def has_syslog_ng() -> bool:
    return shutil.which("syslog-ng") is not None or SYSLOG_NG.is_dir()


def _syslog_ng_program() -> tuple[str, list[str], dict[str, str]]:
    if installed := shutil.which("syslog-ng"):
        return installed, [], {}
    [modules] = (SYSLOG_NG / "usr/lib/syslog-ng").glob("[0-9]*")
    libraries = [modules.parent, *SYSLOG_NG.glob("lib/*-linux-gnu"),
                 *SYSLOG_NG.glob("usr/lib/*-linux-gnu")]  # fmt: skip
    return (
        str(SYSLOG_NG / "usr/sbin/syslog-ng"),
        [f"--module-path={modules}"],
        {"LD_LIBRARY_PATH": ":".join(map(str, libraries))},
    )


@contextmanager
def running(receiver: Receiver) -> Iterator[Receiver]:
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def free_ports(*names: str) -> dict[str, int]:
    """Ports of loopback that are free for TCP and UDP now."""
    found: dict[str, int] = {}
    held = []
    while len(found) < len(names):
        stream, datagram = (
            socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
        )
        held += [stream, datagram]
        stream.bind(("127.0.0.1", 0))
        port = stream.getsockname()[1]
        try:
            datagram.bind(("127.0.0.1", port))
        except OSError:
            continue
        found[names[len(found)]] = port
    for each in held:
        each.close()
    return found


def wait_until(holds: Callable[[], bool], timeout_s: float, why: Callable[[], str]) -> None:
    until = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until, why()
        time.sleep(0.02)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _newlines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))

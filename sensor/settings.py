"""Every setting of the sensor: type, default, bounds, unit in the name, reason of the default.

`sensor.config` reads these fields to check a TOML file; deploy/hoptap.toml shows them commented.
"""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from sensor.alert_settings import AlertSettings
from sensor.evidence_settings import EvidenceSettings
from sensor.service_settings import ServiceSettings
from sensor.setting import setting
from sensor.sink_settings import SinkSettings
from sensor.tap_settings import TapSettings

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def check_interface(name: str) -> str:
    """Kernel rule dev_valid_name(): 1..15 bytes, no slash, colon or space."""
    if not 0 < len(name.encode()) < 16 or any(c in "/:" or c.isspace() for c in name):
        return f"{name!r} is no interface name"
    return ""


def check_network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        return str(error)
    return ""


def split_listen(listen: str) -> tuple[str, int]:
    """`127.0.0.1:9798` or `[::1]:9798` -> address and port. Raises ValueError with one line."""
    host, colon, port = listen.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{listen!r}: an IPv6 address is written in brackets, [::1]:9798")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{listen!r} is not ADDRESS:PORT")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{listen!r}: the address must be numeric") from None
    return host, int(port)


def check_listen(listen: str) -> str:
    if not listen:
        return ""
    try:
        split_listen(listen)
    except ValueError as error:
        return str(error)
    return ""


def check_loopback(listen: str) -> str:
    """Secrets do not cross a network."""
    problem = check_listen(listen)
    if problem or not listen:
        return problem
    host, _ = split_listen(listen)
    return "" if ipaddress.ip_address(host).is_loopback else f"{host} is no loopback address"


@dataclass(frozen=True, slots=True)
class SensorSettings:
    id: str = setting("", "empty: the host name, which is what an operator looks for")
    data_dir: str = setting("/var/lib/hoptap", "where systemd's StateDirectory=hoptap points")
    hash_key_file: str = setting(
        "", "empty: hash.key in data_dir; sensors of one site share it so that sessions join"
    )
    user: str = setting("", "empty: stay; a service manager already gives the least privilege")


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    interfaces: tuple[str, ...] = setting(
        (), "empty: none is guessed, the command line names them", check=check_interface
    )
    workers: int = setting(
        1, "one core keeps up with a management segment; more share by flow", low=1, high=64
    )
    ring_bytes: int = setting(
        64 * MIB,
        "per interface and worker: half a second of a full 1 Gbit/s link while Python is busy",
        low=MIB,
        high=2 * GIB,
    )
    ports: tuple[int, ...] = setting(
        (), "empty: every port, since management proxies listen anywhere", low=1, high=65535
    )
    heartbeat_port: int = setting(
        902, "UDP, where hosts tell vCenter that they live, if not changed", low=1, high=65535
    )
    promiscuous: bool = setting(True, "frames on a span port are addressed to others")
    cut_sealed: bool = setting(
        True,
        "of TLS that no key opens the kernel then hands over headers alone, if CAP_BPF allows it; "
        "keys.decrypt = true reads all",
    )
    tunnelled: bool = setting(
        False,
        "true when the span comes in VXLAN or GENEVE: the kernel splits by the outer header, "
        "so each worker then reads all and keeps its own flows",
    )


@dataclass(frozen=True, slots=True)
class KeySettings:
    decrypt: bool = setting(
        False,
        "false: of TLS only names and services are seen; true reads what TLS was to keep private, "
        "which the site's policy, its works council and the law must allow",
    )
    logs: tuple[str, ...] = setting(
        (), "empty: none is guessed; NSS key log files, followed as they grow and rotate"
    )
    fifo: tuple[str, ...] = setting((), "empty: none; made if missing, for the group to write to")
    unix: str = setting("", "empty: none; path of a datagram socket, for the group to send to")
    udp: str = setting(
        "", "empty: none; a loopback address and port, as HAProxy logs to", check=check_loopback
    )
    rsa_keys: tuple[str, ...] = setting(
        (), "empty: only RSA key exchange, which TLS 1.3 has not, is opened by a private key"
    )
    lag_ms: int = setting(
        1_000,
        "everything seen waits as long, so that a key as late changes no order; a proxy logs its "
        "keys once a request ends",
        low=0,
        high=60_000,
    )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Names are those of sensor/core/bounds.h and tls_limits.h."""

    flows_max: int = setting(
        65536,
        "Suricata's flow.hash-size; a segment holds some thousand flows",
        low=16,
        high=1 << 24,
    )
    flow_idle_timeout_ms: int = setting(
        300_000,
        "a long poll of the property collector is quiet for minutes",
        low=100,
        high=86_400_000,
    )
    flow_closed_timeout_ms: int = setting(
        10_000,
        "late segments after FIN arrive within seconds, keys within tls_held_timeout_ms",
        low=0,
        high=600_000,
    )
    memory_bytes_max: int = setting(
        256 * MIB, "all that traffic can make one worker hold", low=MIB, high=1 << 40
    )
    stream_buffer_bytes_max: int = setting(
        MIB, "out-of-order bytes per stream: one common TCP receive window", low=4 * KIB, high=GIB
    )
    stream_gap_timeout_ms: int = setting(
        2_000,
        "a lost segment is sent again within 1 s (RFC 6298 initial RTO), then once more",
        low=1,
        high=600_000,
    )
    stream_chunk_bytes_max: int = setting(
        MIB, "what is of interest stands at the head of a non-HTTP stream", low=0, high=GIB
    )
    fragment_timeout_ms: int = setting(30_000, "Linux net.ipv4.ipfrag_time", low=1, high=600_000)
    fragment_datagrams_max: int = setting(
        4096, "fragments are rare on a segment; more at once is an attack", low=1, high=1 << 20
    )
    duplicate_window_ms: int = setting(
        20,
        "two span ports deliver copies within milliseconds; 0 keeps duplicates",
        low=0,
        high=10_000,
    )
    http_head_bytes_max: int = setting(
        65536,
        "nginx allows 4 headers of 8 KiB, Kerberos tokens reach 48 KiB",
        low=KIB,
        high=16 * MIB,
    )
    http_body_bytes_max: int = setting(
        MIB, "per body, decompressed: a reconfiguration of a VM is some 100 KiB", low=KIB, high=GIB
    )
    http_pipeline_max: int = setting(
        256, "requests outstanding on a flow; clients pipeline tens at most", low=1, high=65536
    )
    http2_streams_max: int = setting(
        1024,
        "outstanding on a connection: servers allow 100 to 250; the oldest makes room",
        low=1,
        high=65536,
    )
    http_tokens_per_flow_max: int = setting(
        64, "a pooled backend connection carries tens of sessions", low=1, high=65536
    )
    operations_max: int = setting(
        1024,
        "rows of counts: a site uses some hundred of the thousand operations of vim25",
        low=16,
        high=65536,
    )
    tls_secrets_max: int = setting(
        65536,
        "sixteen thousand sessions of TLS 1.3 per worker in 6 MB; a replay makes room for its logs",
        low=16,
        high=1 << 30,
    )
    tls_tickets_max: int = setting(
        16384, "clients resume within hours; 1.5 MB per worker", low=16, high=1 << 30
    )
    tls_held_bytes_max: int = setting(
        4 * MIB,
        "per flow, what a large answer takes: HAProxy logs its key after that; 0 never waits",
        low=0,
        high=GIB,
    )
    tls_held_total_bytes_max: int = setting(
        64 * MIB, "of all flows, a quarter of memory_bytes_max", low=0, high=1 << 40
    )
    tls_held_timeout_ms: int = setting(
        10_000,
        "how late a key may be: a forwarder may flush every few seconds",
        low=1,
        high=600_000,
    )


@dataclass(frozen=True, slots=True)
class OutputSettings:
    ndjson: str = setting("", "empty: hop.ndjson in data_dir; - is standard output")
    rotate_bytes: int = setting(
        256 * MIB, "a file that opens in an editor; 0 never rotates by size", low=0, high=1 << 40
    )
    rotate_s: int = setting(86_400, "a file a day; 0 never rotates by time", low=0, high=31_536_000)
    keep_files: int = setting(30, "a month of days; 0 keeps all", low=0, high=1_000_000)
    fsync: str = setting(
        "interval",
        "a power cut costs at most fsync_interval_ms",
        choices=("never", "interval", "always"),
    )
    fsync_interval_ms: int = setting(
        1_000, "one flush a second costs a disk nothing", low=10, high=600_000
    )
    queue_records_max: int = setting(
        65536,
        "some minutes of records, about 200 MB at worst, while a disk hangs",
        low=16,
        high=1 << 24,
    )


@dataclass(frozen=True, slots=True)
class HistorySettings:
    enabled: bool = setting(True, "`hoptap who` answers from it")
    path: str = setting("", "empty: history.db in data_dir")
    keep_days: int = setting(90, "what audit rules commonly want at hand", low=1, high=36_500)
    bytes_max: int = setting(
        4 * GIB, "some ten million records; the oldest leave first", low=MIB, high=1 << 44
    )
    queue_records_max: int = setting(65536, "as for output", low=16, high=1 << 24)


@dataclass(frozen=True, slots=True)
class StatusSettings:
    listen: str = setting(
        "127.0.0.1:9798", "this machine only; empty turns it off", check=check_listen
    )


@dataclass(frozen=True, slots=True)
class SiteSettings:
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "empty: private addresses are believed, and what they say of their clients is marked a "
        "claim; else only these",
        check=check_network,
    )
    no_services: tuple[str, ...] = setting(
        (),
        "empty: whatever answers or calls as a service is one; else these addresses and networks "
        "are none, whatever is seen, and a request's id from there leads to nobody: jump hosts, "
        "machines with scripts",
        check=check_network,
    )


@dataclass(frozen=True, slots=True)
class CorrelateSettings:
    hold_ms: int = setting(
        2_000, "how long an action waits for what explains it: capture lag", low=0, high=600_000
    )
    provisional_ms: int = setting(
        200,
        "what is certain enough without a key is said so soon, and again for good after hold_ms; "
        "0: once, after hold_ms",
        low=0,
        high=600_000,
    )
    horizon_s: int = setting(
        900, "how long an action may be amended, or cause another", low=1, high=86_400
    )
    task_horizon_s: int = setting(
        86_400, "the same while its task is open: cloning takes hours", low=1, high=2_592_000
    )
    session_idle_timeout_s: int = setting(
        1_800,
        "vCenter's default: then the server has forgotten the session",
        low=60,
        high=2_592_000,
    )
    actions_max: int = setting(100_000, "about 3 kB each", low=1000, high=1 << 24)
    sessions_max: int = setting(100_000, "about 1 kB each", low=1000, high=1 << 24)
    tickets_max: int = setting(
        10_000, "a ticket is redeemed within seconds of its issue", low=100, high=1 << 24
    )
    addresses_max: int = setting(
        65_536, "clients and servers whose service is known", low=256, high=1 << 24
    )
    objects_max: int = setting(
        100_000, "the machines, hosts and folders of a large site", low=1000, high=1 << 24
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """One field per section of the file; a tuple is a section that may stand several times."""

    sensor: SensorSettings = SensorSettings()
    capture: CaptureSettings = CaptureSettings()
    keys: KeySettings = KeySettings()
    limits: LimitSettings = LimitSettings()
    correlate: CorrelateSettings = CorrelateSettings()
    output: OutputSettings = OutputSettings()
    history: HistorySettings = HistorySettings()
    evidence: EvidenceSettings = EvidenceSettings()  # noqa: RUF009 - frozen
    status: StatusSettings = StatusSettings()
    sites: SiteSettings = SiteSettings()
    alerts: AlertSettings = AlertSettings()  # noqa: RUF009 - frozen
    sink: tuple[SinkSettings, ...] = ()  # [[sink]], any number
    tap: tuple[TapSettings, ...] = ()  # [[tap]], any number
    service: tuple[ServiceSettings, ...] = ()  # [[service]], any number

    @property
    def hash_key_path(self) -> Path:
        return Path(self.sensor.hash_key_file or Path(self.sensor.data_dir, "hash.key"))

    @property
    def ndjson_path(self) -> Path:
        return Path(self.output.ndjson or Path(self.sensor.data_dir, "hop.ndjson"))

    @property
    def history_path(self) -> Path:
        return Path(self.history.path or Path(self.sensor.data_dir, "history.db"))

    def spool_path(self, sink: str) -> Path:
        return Path(self.sensor.data_dir, "spool", sink)

    def dead_letter_path(self, sink: str) -> Path:
        return Path(self.sensor.data_dir, "refused", f"{sink}.ndjson")

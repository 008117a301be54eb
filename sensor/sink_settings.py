"""A [[sink]] of the configuration: a receiver of records, what it gets, and how it is reached.

No secret is in here: it is in a file that the settings name, and read when the sink is made.
"""

import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from decoders.message import OperationClass
from sensor import records
from sensor.metrics import RECORD_KINDS
from sensor.service_settings import check_id as check_service
from sensor.setting import setting
from sensor.sink_types import (
    FORMATS,
    FORMATS_OF,
    KEYS_OF,
    KEYS_OF_ALL,
    OF_PATHS,
    OF_SEVERAL,
    OF_URLS,
    TYPES,
    USUAL_FORMAT,
    USUAL_TOPIC,
)

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
OTHER_OUTPUTS = ("ndjson", "history", "evidence", "other")  # labels of metrics that are no [[sink]]
SECRET_FILES = ("password_file", "token_file", "shared_key_file", "tls_key_file")

_PARTS = {
    "chain": records.Chain,
    "hop": records.Hop,
    "from": records.Endpoint,
    "to": records.Endpoint,
    "op": records.Operation,
    "target": records.ObjectRef,
    "flow": records.FlowRef,
    "tls": records.Tls,
    "client": records.Client,
    "process": records.Process,
    "sensor": records.SensorRef,
}
_WHOLE = {*(each.name for each in fields(records.Record)), "from"} - {"source"}
_INDISPENSABLE = ("schema", "kind", "ts", "id")  # receivers know a record by them


def check_sink_id(name: str) -> str:
    """It becomes a label of metrics and a directory."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        return f"{name!r} is no id: up to 64 letters, digits, - and _"
    return f"{name!r} is the sensor's own" if name in OTHER_OUTPUTS else ""


def check_receiver(to: str) -> str:
    """What the type wants is checked with the type; here what no type takes."""
    if "@" in to and not to.startswith("/"):  # and the text is not shown: it may hold a password
        return "names an account: give it as username and password_file, or token_file"
    return ""


def check_dropped(path: str) -> str:
    """A dotted path of hop/1."""
    if path in _INDISPENSABLE:
        return f"{path} is what receivers know a record by"
    top, _, rest = path.partition(".")
    names = {each.name for each in fields(_PARTS[top])} if top in _PARTS else set()
    names = {"class" if name == "cls" else name for name in names}
    if top in _WHOLE and (not rest or rest in names or top == "extra"):
        return ""
    return f"{path!r} is no field of a record, as client.user_agent"


@dataclass(frozen=True, slots=True)
class SinkSettings:
    id: str = setting("", "needed; names it in metrics and its spool", check=check_sink_id)
    type: str = setting("", f"needed; {', '.join(TYPES)}", choices=TYPES)
    to: str = setting(
        "",
        "needed; a path (file, unix), HOST:PORT (syslog, relp, forward, nats; kafka: several, with "
        "commas) or a URL (hec, elasticsearch, otlp)",
        check=check_receiver,
    )
    format: str = setting(
        "",
        "empty: rfc5424 for syslog and relp, splunk for hec, ecs for elasticsearch, else hop; or "
        f"{', '.join(FORMATS[:-1])}",
        choices=("", *FORMATS),
    )
    kinds: tuple[str, ...] = setting((), "empty: every kind of record", choices=RECORD_KINDS)
    services: tuple[str, ...] = setting(
        (), "empty: all; else what has one of them anywhere in its chain", check=check_service
    )
    classes: tuple[str, ...] = setting(
        (), "empty: all; else only operations of these", choices=tuple(OperationClass)
    )
    protocol: str = setting(
        "tcp", "of syslog; udp loses without a word", choices=("udp", "tcp", "tls")
    )
    tls: bool = setting(False, "of relp, forward, kafka and nats; URLs say https")
    tls_ca_file: str = setting("", "empty: the authorities that this machine trusts")
    tls_cert_file: str = setting("", "empty: the sensor shows no certificate")
    tls_key_file: str = setting("", "empty: it is in tls_cert_file")
    tls_name: str = setting("", "empty: the certificate must be of the host in `to`")
    username: str = setting("", "empty: none; of forward, elasticsearch, kafka, nats")
    password_file: str = setting("", "needed with username; a file that others cannot read")
    token_file: str = setting(
        "", "empty: none; of hec (which needs one), elasticsearch (API key), otlp"
    )
    shared_key_file: str = setting("", "empty: none; of forward")
    topic: str = setting(
        "",
        "empty: hoptap.hop as tag (forward), topic (kafka) and subject (nats), the data stream "
        "logs-hoptap.hop-default (elasticsearch), the token's index (hec)",
    )
    compress: bool = setting(True, "where the protocol has it; records shrink to a tenth")
    mode: str = setting(
        "packed", "of forward", choices=("message", "forward", "packed", "compressed")
    )
    acknowledge: bool = setting(
        True, "forward and hec can do without; then what is under way may be lost"
    )
    ack_timeout_ms: int = setting(
        30_000, "how long a receiver may take, then it is sent again", low=100, high=600_000
    )
    connect_timeout_ms: int = setting(5_000, "one lost SYN and its repeat", low=100, high=120_000)
    batch_records_max: int = setting(512, "sent at once, acknowledged at once", low=1, high=65_536)
    batch_bytes_max: int = setting(
        MIB, "receivers commonly take no more at once", low=KIB, high=64 * MIB
    )
    queue_records_max: int = setting(65536, "as for output", low=16, high=1 << 24)
    spool_bytes_max: int = setting(
        GIB,
        "a receiver may be away for a million records; then the oldest are dropped, and counted",
        low=64 * KIB,
        high=1 << 44,
    )
    spool_age_max_s: int = setting(
        7 * 86_400, "a long weekend and more; older ones are dropped", low=60, high=31_536_000
    )
    fsync: str = setting(
        "interval",
        "of its file or spool: a power cut costs at most a second of records",
        choices=("never", "interval", "always"),
    )
    rotate_bytes: int = setting(256 * MIB, "of file; as for output", low=0, high=1 << 40)
    rotate_s: int = setting(86_400, "of file; as for output", low=0, high=31_536_000)
    keep_files: int = setting(30, "of file; as for output", low=0, high=1_000_000)
    pseudonymize: tuple[str, ...] = setting(
        (),
        "empty: nothing; user: keyed hashes instead of user names, ip: the same of addresses; "
        "`hoptap who` finds what a hash stands for",
        choices=("user", "ip"),
    )
    drop: tuple[str, ...] = setting(
        (), "empty: nothing; fields that are left out", check=check_dropped
    )

    @property
    def format_name(self) -> str:
        return self.format or USUAL_FORMAT[self.type]

    @property
    def topic_name(self) -> str:
        return self.topic or USUAL_TOPIC.get(self.type, "")

    @property
    def is_spooled(self) -> bool:
        return self.type != "file"

    @property
    def uses_tls(self) -> bool:
        return self.tls or self.protocol == "tls" or self.to.startswith("https://")


def split_receivers(to: str) -> list[tuple[str, int]]:
    """`siem.example.org:514` or `[fd00::1]:514`, several with commas. Raises ValueError."""
    return [_split_receiver(each.strip()) for each in to.split(",")]


def _split_receiver(to: str) -> tuple[str, int]:
    if "://" in to:
        raise ValueError(f"{to!r} is a URL; this type takes HOST:PORT")
    host, colon, port = to.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{to!r}: an IPv6 address is written in brackets, [fd00::1]:514")
    valid = re.fullmatch(r"[A-Za-z0-9._:%-]+", host)
    if not colon or not valid or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError(f"{to!r} is not HOST:PORT")
    return host, int(port)


Problem = tuple[int, str, str]  # which sink, from 1; key; what is wrong


def contradictions(sinks: Sequence[SinkSettings]) -> Iterator[Problem]:
    """Of each sink what its values say against each other, and of all of them together."""
    met: dict[str, int] = {}
    for at, sink in enumerate(sinks, 1):
        for key, problem in _contradictions_of(sink):
            yield at, key, problem
        if sink.id in met:
            yield at, "id", f"{sink.id!r} names two sinks"
        met[sink.id] = at
    paths = [sink.to for sink in sinks if sink.type == "file"]
    for at, sink in enumerate(sinks, 1):
        if sink.type == "file" and paths.count(sink.to) > 1:
            yield at, "to", f"{sink.to} is the file of two sinks"


def _contradictions_of(sink: SinkSettings) -> Iterator[tuple[str, str]]:
    for key in ("type", "to"):
        if not getattr(sink, key):
            yield "", f"needs {key}"
            return
    yield from _strange_keys(sink)
    if problem := _receiver_problem(sink):
        yield "to", problem
    formats = FORMATS_OF[sink.type]
    if sink.format and sink.format not in formats:
        yield "format", f"{sink.type} does not take {sink.format}, but {', '.join(formats)}"
    yield from _account_problems(sink)
    if sink.tls_key_file and not sink.tls_cert_file:
        yield "tls_key_file", "needs tls_cert_file"


def _strange_keys(sink: SinkSettings) -> Iterator[tuple[str, str]]:
    """What is set and means nothing: somebody thinks that it does."""
    meant = KEYS_OF_ALL | KEYS_OF[sink.type]
    for each in fields(sink):
        if getattr(sink, each.name) == each.default:
            continue
        if each.name not in meant:
            yield each.name, f"means nothing for {sink.type}"
        elif each.name.startswith("tls_") and not sink.uses_tls:
            yield each.name, f"means nothing without {_tls_of(sink)}"


def _tls_of(sink: SinkSettings) -> str:
    """How TLS is asked for."""
    if sink.type in OF_URLS:
        return "https"
    return 'protocol = "tls"' if sink.type == "syslog" else "tls = true"


def _receiver_problem(sink: SinkSettings) -> str:
    if sink.type in OF_PATHS:
        return "" if sink.to.startswith("/") else f"{sink.to!r} is no path from /"
    if sink.type in OF_URLS:
        return _url_problem(sink.to)
    try:
        receivers = split_receivers(sink.to)
    except ValueError as error:
        return str(error)
    if len(receivers) > 1 and sink.type not in OF_SEVERAL:
        return f"{sink.type} has one receiver; make a [[sink]] for each"
    return ""


def _url_problem(to: str) -> str:
    try:
        url = urlsplit(to)
        url.port  # noqa: B018 - raises when it is none
    except ValueError as error:
        return f"{to!r}: {error}"
    if url.scheme not in ("http", "https"):
        return f"{to!r} is no URL of http or https"
    return "" if url.hostname else f"{to!r} names no host"


def _account_problems(sink: SinkSettings) -> Iterator[tuple[str, str]]:
    if sink.username and not sink.password_file and "username" in KEYS_OF[sink.type]:
        yield "username", "needs password_file"
    if sink.password_file and not sink.username:
        yield "password_file", "needs username"
    if sink.token_file and sink.username:
        yield "token_file", "and username: one of them"
    if sink.type == "hec" and not sink.token_file:
        yield "", "needs token_file"


def file_problems(sinks: Sequence[SinkSettings]) -> Iterator[Problem]:
    """Files that a sink needs and that cannot be read, or of a secret that others can read."""
    for at, sink in enumerate(sinks, 1):
        secret = SECRET_FILES if sink.tls_key_file else (*SECRET_FILES, "tls_cert_file")
        for key in (*SECRET_FILES, "tls_ca_file", "tls_cert_file"):
            path = getattr(sink, key)
            problem = _file_problem(Path(path), key in secret) if path else ""
            if problem:
                yield at, key, problem


def _file_problem(path: Path, is_secret: bool) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            if not file.read(1):
                return f"{path} is empty"
    except OSError as error:
        return f"{path}: {error.strerror}"
    if is_secret and mode & stat.S_IROTH:
        return f"{path}: mode {mode:04o} lets others read it; chmod o-r {path}"
    return ""


def secret_of(path: str) -> str:
    """The first line of a secret file; "" when none is named. Raises OSError or ValueError."""
    if not path:
        return ""
    lines = Path(path).read_bytes().decode().splitlines()
    return lines[0].strip() if lines else ""

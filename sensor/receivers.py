"""A [[sink]] of the configuration -> the transport that reaches its receiver, and its format.

Transports are imported when one is made: some need what an extra brings.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from exporters.endpoint import Endpoint, TlsFiles, tls_context
from exporters.formats.format import Format
from exporters.formats.registry import FORMATS
from exporters.httpclient import HttpEndpoint
from exporters.outbox import SinkError
from exporters.transport import Transport
from sensor.exits import ConfigError
from sensor.sink_settings import SinkSettings, secret_of, split_receivers

EXTRAS = {"kafka": "confluent_kafka", "nats": "nats"}  # extra of pip -> what it brings
# OTLP has one document, which its transport makes.
_OTLP = Format("otlp", dict)


@dataclass(frozen=True, slots=True)
class Receiver:
    transport: Transport
    format: Format


def receiver_of(sink: SinkSettings, hostname: str, report: Callable[[str], None]) -> Receiver:
    """Nothing is connected yet. Raises ConfigError of one line, without any secret."""
    format = format_of(sink)
    try:
        _require_extra(sink.type)
        making = _Making(sink, format, hostname, report)
        if making.tls is not None:
            tls_context(making.tls)  # a connection, later, would make it in vain for ever
        return Receiver(_MAKERS[sink.type](making), format)
    except SinkError as error:
        raise ConfigError(f"sink {sink.id}: {error}") from None
    except ImportError as error:
        text = f"needs {error.name}, which is not installed; pip install 'hoptap[{sink.type}]'"
        raise ConfigError(f"sink {sink.id}: {text}") from None
    except OSError as error:
        raise ConfigError(f"sink {sink.id}: {error.filename}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"sink {sink.id}: a secret file is not UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"sink {sink.id}: {error}") from None


def format_of(sink: SinkSettings) -> Format:
    return _OTLP if sink.format_name == "otlp" else FORMATS[sink.format_name]


def missing_extra(sink: SinkSettings) -> str:
    """What is to be installed for this sink, or ""."""
    try:
        _require_extra(sink.type)
    except ImportError:
        return f"pip install 'hoptap[{sink.type}]'"
    return ""


def _require_extra(type_: str) -> None:
    """Transports import it when they connect, which is too late to say so."""
    if type_ in EXTRAS:
        __import__(EXTRAS[type_])


@dataclass(frozen=True, slots=True)
class _Making:
    """What every maker goes by."""

    sink: SinkSettings
    format: Format
    hostname: str
    report: Callable[[str], None]

    @property
    def tls(self) -> TlsFiles | None:
        sink = self.sink
        if not sink.uses_tls:
            return None
        return TlsFiles(sink.tls_ca_file, sink.tls_cert_file, sink.tls_key_file, sink.tls_name)

    @property
    def endpoint(self) -> Endpoint:
        [(host, port)] = split_receivers(self.sink.to)
        return Endpoint(host, port, *self._timeouts_s, self.tls)

    @property
    def http(self) -> HttpEndpoint:
        return HttpEndpoint(self.sink.to, *self._timeouts_s, self.tls, self.sink.compress)

    @property
    def _timeouts_s(self) -> tuple[float, float]:
        return self.sink.connect_timeout_ms / 1000, self.sink.ack_timeout_ms / 1000

    @property
    def password(self) -> str:
        return secret_of(self.sink.password_file)

    @property
    def token(self) -> str:
        return secret_of(self.sink.token_file)


def _unix(making: _Making) -> Transport:
    from exporters.unixsocket import UnixSocket

    timeout_s = making.sink.ack_timeout_ms / 1000
    return UnixSocket(making.sink.to, making.format, timeout_s=timeout_s)


def _syslog(making: _Making) -> Transport:
    from exporters.syslog import Syslog

    return Syslog(making.endpoint, making.sink.protocol, making.format, making.report)


def _relp(making: _Making) -> Transport:
    from exporters.relp import Relp

    return Relp(making.endpoint, making.format)


def _forward(making: _Making) -> Transport:
    from exporters.forward import Forward

    sink = making.sink
    return Forward(
        making.endpoint,
        making.format,
        tag=sink.topic_name,
        mode=sink.mode,
        hostname=making.hostname,
        shared_key=secret_of(sink.shared_key_file),
        username=sink.username,
        password=making.password,
        acknowledge=sink.acknowledge,
    )


def _hec(making: _Making) -> Transport:
    from exporters.hec import Hec

    return Hec(
        making.http,
        making.format,
        token=making.token,
        index=making.sink.topic_name,
        hostname=making.hostname,
        acknowledge=making.sink.acknowledge,
    )


def _elasticsearch(making: _Making) -> Transport:
    from exporters.bulk import Bulk

    return Bulk(
        making.http,
        making.format,
        stream=making.sink.topic_name,
        username=making.sink.username,
        password=making.password,
        api_key=making.token,
    )


def _otlp(making: _Making) -> Transport:
    from exporters.otlp import Otlp

    return Otlp(making.http, token=making.token, resource={"host.name": making.hostname})


def _kafka(making: _Making) -> Transport:
    from exporters.kafka import Kafka

    sink = making.sink
    return Kafka(
        sink.to.replace(" ", ""),
        making.format,
        topic=sink.topic_name,
        tls=making.tls,
        username=sink.username,
        password=making.password,
        compress=sink.compress,
        connect_timeout_s=sink.connect_timeout_ms / 1000,
        ack_timeout_s=sink.ack_timeout_ms / 1000,
    )


def _nats(making: _Making) -> Transport:
    from exporters.jetstream import JetStream

    sink = making.sink
    return JetStream(
        making.endpoint,
        making.format,
        subject=sink.topic_name,
        username=sink.username,
        password=making.password,
    )


_MAKERS: dict[str, Callable[[_Making], Transport]] = {
    "unix": _unix,
    "syslog": _syslog,
    "relp": _relp,
    "forward": _forward,
    "hec": _hec,
    "elasticsearch": _elasticsearch,
    "otlp": _otlp,
    "kafka": _kafka,
    "nats": _nats,
}


def host_name() -> str:
    return socket.gethostname()

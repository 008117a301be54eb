"""What each type of a [[sink]] takes: keys that mean something for it, formats, what `to` is.

Names of formats are those of exporters/formats/registry.py.
"""

_TLS = ("tls_ca_file", "tls_cert_file", "tls_key_file", "tls_name")
_ACCOUNT = ("username", "password_file")
_SENT = (
    *("ack_timeout_ms", "connect_timeout_ms", "batch_records_max", "batch_bytes_max"),
    *("spool_bytes_max", "spool_age_max_s"),
)
KEYS_OF_ALL = frozenset(
    (
        *("id", "type", "to", "format", "kinds", "services", "classes"),
        *("queue_records_max", "fsync", "pseudonymize", "drop"),
    )
)
KEYS_OF: dict[str, frozenset[str]] = {
    "file": frozenset(("rotate_bytes", "rotate_s", "keep_files")),
    "unix": frozenset(_SENT),
    "syslog": frozenset((*_SENT, *_TLS, "protocol")),
    "relp": frozenset((*_SENT, *_TLS, "tls")),
    "forward": frozenset(
        (*_SENT, *_TLS, *_ACCOUNT, "tls", "shared_key_file", "topic", "mode", "acknowledge")
    ),
    "hec": frozenset((*_SENT, *_TLS, "token_file", "topic", "compress", "acknowledge")),
    "elasticsearch": frozenset((*_SENT, *_TLS, *_ACCOUNT, "token_file", "topic", "compress")),
    "otlp": frozenset((*_SENT, *_TLS, "token_file", "compress")),
    "kafka": frozenset((*_SENT, *_TLS, *_ACCOUNT, "tls", "topic", "compress")),
    "nats": frozenset((*_SENT, *_TLS, *_ACCOUNT, "tls", "topic")),
}
TYPES = tuple(KEYS_OF)
OF_PATHS = ("file", "unix")
OF_URLS = ("hec", "elasticsearch", "otlp")
OF_SEVERAL = ("kafka",)  # servers, separated by commas

_DOCUMENTS = ("hop", "ecs", "ocsf", "splunk", "asim", "udm", "eve")
_LINES = ("cef", "leef", "zeek")
FORMATS = (*_DOCUMENTS, *_LINES, "msgpack", "rfc5424", "otlp")
FORMATS_OF: dict[str, tuple[str, ...]] = {
    "file": (*_DOCUMENTS, *_LINES),  # msgpack has no lines
    "unix": (*_DOCUMENTS, *_LINES, "msgpack"),
    "syslog": ("rfc5424", *_DOCUMENTS, *_LINES),
    "relp": ("rfc5424", *_DOCUMENTS, *_LINES),
    "forward": (*_DOCUMENTS, *_LINES),
    "hec": (*_DOCUMENTS, *_LINES),
    "elasticsearch": _DOCUMENTS,
    "otlp": ("otlp",),
    "kafka": (*_DOCUMENTS, *_LINES, "msgpack"),
    "nats": (*_DOCUMENTS, *_LINES, "msgpack"),
}
USUAL_FORMAT = {
    "file": "hop",
    "unix": "hop",
    "syslog": "rfc5424",
    "relp": "rfc5424",
    "forward": "hop",
    "hec": "splunk",
    "elasticsearch": "ecs",
    "otlp": "otlp",
    "kafka": "hop",
    "nats": "hop",
}
USUAL_TOPIC = {
    "forward": "hoptap.hop",
    "kafka": "hoptap.hop",
    "nats": "hoptap.hop",
    "elasticsearch": "logs-hoptap.hop-default",
}

"""Puts the evidence log of a live sensor together: its file, its key, its authority."""

import logging
import os
import socket
from functools import partial
from pathlib import Path

from exporters.evidence import EvidenceSink, Plan, Signer, anchors_counted
from exporters.outbox import SinkError
from exporters.timestamp import Authority
from sensor.exits import ConfigError, os_error_line
from sensor.metrics import Metrics
from sensor.settings import Settings

log = logging.getLogger(__name__)

KEY_BYTES_MAX = 1 << 16
SUBJECT = "evidence.key_file"


def open_log(settings: Settings, metrics: Metrics) -> EvidenceSink:
    """Raises ConfigError when the key is none, SinkError when the file cannot be written on."""
    evidence = settings.evidence
    anchors = anchors_counted()
    path = Path(evidence.file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(os_error_line(str(path.parent), error), final=True) from None
    sink = EvidenceSink(
        path,
        metrics.exports,
        plan=Plan(
            evidence.checkpoint_records,
            evidence.checkpoint_s,
            evidence.rotate_bytes,
            evidence.rotate_s,
        ),
        sensor=settings.sensor.id or socket.gethostname(),
        report=lambda line: log.warning("%s", line),
        announce=lambda line: log.info("%s", line),
        signer=read_signer(evidence.key_file) if evidence.key_file else None,
        stamp=Authority(evidence.tsa_url).stamp if evidence.tsa_url else None,
        anchors=anchors,
    )
    metrics.counted.append(anchors)
    for name, help_text, read in (
        ("chain_sequence", "Number of the evidence log's last line.", lambda: sink.head.seq),
        (
            "checkpoint_sequence",
            "Number of its last checkpoint; -1 before the first.",
            lambda: sink.checkpoint.seq,
        ),
        (
            "checkpoint_timestamp_seconds",
            "When that was made; 0 before the first.",
            lambda: sink.checkpoint_ns / 1e9,
        ),
    ):
        metrics.gauges[f"hoptap_evidence_{name}"] = (help_text, read)
    return sink


def read_signer(path: str) -> Signer:
    """Raises ConfigError."""
    from sensor import _core

    pem = read_key(path)
    try:
        public = _core.ed25519_public_key(pem)
        _core.ed25519_sign(pem, b"")  # a public key signs nothing
    except ValueError as error:
        raise ConfigError(f"{SUBJECT}: {path}: {error}") from None
    return Signer(public.hex(), partial(_core.ed25519_sign, pem))


def read_key(path: str) -> bytes:
    """Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o004:
                log.warning("%s: others on this machine may read it; chmod o-r %s", SUBJECT, path)
            return file.read(KEY_BYTES_MAX)
    except OSError as error:
        raise ConfigError(os_error_line(f"{SUBJECT}: {path}", error)) from None

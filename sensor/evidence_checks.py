"""What `hoptap check` says of the evidence log: its end, its key, its time stamp authority."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from exporters.evidence import tail
from exporters.outbox import SinkError
from exporters.timestamp import Authority, TimestampError
from sensor.evidence import read_signer
from sensor.exits import ConfigError
from sensor.finding import Finding, Level
from sensor.settings import Settings

SUBJECT = "evidence log"


def evidence_findings(settings: Settings, probe: bool) -> Iterator[Finding]:
    """With `probe` the authority is asked for a time stamp, of nothing."""
    evidence = settings.evidence
    if not evidence.file:
        return
    path = Path(evidence.file)
    if path.exists() and path.stat().st_size:
        try:
            yield Finding(Level.OK, SUBJECT, f"{path} goes on after seq {tail(path).seq}")
        except SinkError as error:
            yield Finding(Level.PROBLEM, SUBJECT, str(error))
    yield _key(evidence.key_file)
    if evidence.tsa_url:
        yield _authority(evidence.tsa_url, probe)


def _key(path: str) -> Finding:
    if not path:
        text = "no key_file: whoever can write the log can write all of it anew"
        return Finding(Level.NOTE, SUBJECT, text)
    try:
        signer = read_signer(path)
    except ConfigError as error:
        return Finding(Level.PROBLEM, SUBJECT, str(error))
    return Finding(Level.OK, SUBJECT, f"signed with the Ed25519 key {signer.key[:16]}")


def _authority(url: str, probe: bool) -> Finding:
    if not probe:
        return Finding(Level.NOTE, SUBJECT, f"{url} gives time stamps, if it does; --probe asks")
    try:
        Authority(url).stamp(sha256(b"").hexdigest())
    except TimestampError as error:
        return Finding(Level.PROBLEM, SUBJECT, str(error))
    return Finding(Level.OK, SUBJECT, f"{url} gives time stamps")

"""Settings of the evidence log."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from sensor.setting import setting


def check_url(text: str) -> str:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        return f"{text!r} is no http or https URL"
    return ""


@dataclass(frozen=True, slots=True)
class EvidenceSettings:
    file: str = setting(
        "", "empty: none is kept; records bound to each other, as `hoptap verify` checks them"
    )
    checkpoint_records: int = setting(
        10_000, "at most so many could be written anew, unseen", low=1, high=1 << 30
    )
    checkpoint_s: int = setting(300, "the same in time, while there is news", low=1, high=86_400)
    key_file: str = setting(
        "", "empty: marks are not signed; an Ed25519 key in PEM that the log's readers have not"
    )
    tsa_url: str = setting(
        "",
        "empty: nobody else vouches; an RFC 3161 authority that is asked at checkpoints",
        check=check_url,
    )
    rotate_bytes: int = setting(
        1 << 30,
        "a million records; 0 never rotates by size; no file is ever removed",
        low=0,
        high=1 << 40,
    )
    rotate_s: int = setting(86_400, "a file a day; 0 never rotates by time", low=0, high=31_536_000)
    queue_records_max: int = setting(65_536, "as for output", low=16, high=1 << 24)

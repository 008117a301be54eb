"""What `hoptap check` says of one part: in place, works with less, or would fail."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"  # works with less
    PROBLEM = "problem"  # `hoptap run` would fail, or be blind


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    subject: str
    text: str

"""The recorded captures below tests/captures, and what each folder has beside its packets.

capture.pcap.zst; keys.log.gz or server.key.pem.gz, the secrets of its TLS; records.ndjson, the
golden output; truth.json.gz or calls.jsonl.gz, what really happened; withheld.log.gz, the key log
that goes with a private key.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from tests.command import Record, hoptap, read_records

CAPTURES = Path(__file__).parent / "captures"
# Those that tests/lab/record.py makes, each of a module of its own.
RECORDINGS = sorted(
    path.stem.replace("_", "-")
    for ending in ("clear", "tls")
    for path in (Path(__file__).parent / "lab" / "recordings").glob(f"*_{ending}.py")
)
_SECRETS = {"keys.log.gz": "--keys", "server.key.pem.gz": "--rsa-key"}


def capture_of(name: str) -> Path:
    return CAPTURES / name / "capture.pcap.zst"


def unpacked(name: str, file: str) -> bytes:
    return gzip.decompress((CAPTURES / name / file).read_bytes())


def truth_of(name: str) -> dict[str, Any]:
    truth: dict[str, Any] = json.loads(unpacked(name, "truth.json.gz"))
    return truth


def calls_of(name: str) -> list[dict[str, Any]]:
    """What the server says it was asked, in order."""
    return [json.loads(line) for line in unpacked(name, "calls.jsonl.gz").splitlines()]


def tls_secrets_of(name: str) -> bytes:
    """Key log and private key, also what the sensor is not given; b"" of a capture in clear."""
    files = [file for file in (*_SECRETS, "withheld.log.gz") if (CAPTURES / name / file).exists()]
    return b"".join(unpacked(name, file) for file in files)


def key_options(name: str, directory: Path) -> list[str | Path]:
    """The options that decrypt the capture, with its secrets unpacked into `directory`."""
    options: list[str | Path] = []
    for file, option in _SECRETS.items():
        if (CAPTURES / name / file).exists():
            secrets = directory / file.removesuffix(".gz")
            secrets.touch(mode=0o600)
            secrets.write_bytes(unpacked(name, file))
            options += [option, secrets]
    return options


def replayed(name: str, directory: Path, *options: str | Path) -> list[Record]:
    """The records of the capture, decrypted when its secrets are there."""
    key = directory / "hash.key"
    key.touch(mode=0o600)
    key.write_text("00" * 32)
    out = directory / f"{name}.ndjson"
    options = ("--hash-key", key, "--out", out, *options, *key_options(name, directory))
    hoptap("replay", *options, capture_of(name))
    return read_records(out)

"""Golden captures: every record of a replay, whole, as a person once read it.

pytest tests/test_captures.py --update      rewrites records.ndjson; read the diff
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import Record, hoptap, read_records

CAPTURES = Path(__file__).parent / "captures"
# The large one is held against its truth instead (tests/sensor/test_truth.py): 2,803 records are
# more than a person reads.
GOLDEN = sorted(
    path.parent
    for path in CAPTURES.glob("*/capture.pcap.zst")
    if path.parent.name != "chain-large-clear"
)


def named(value: Any, names: dict[str, str]) -> Any:
    """The value with each record's id, which is random, replaced by its place in the output."""
    if isinstance(value, dict):
        return {key: named(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [named(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def golden_lines(records: list[Record]) -> list[str]:
    names = {record["id"]: f"record {number}" for number, record in enumerate(records, 1)}
    for record in records:
        del record["sensor"]  # this machine's name, this version
    return [json.dumps(named(record, names), ensure_ascii=False) for record in records]


def key_log(directory: Path, tmp_path: Path) -> list[str | Path]:
    """The options that decrypt the capture, when its session secrets are there."""
    packed = directory / "keys.log.gz"
    if not packed.exists():
        return []
    log = tmp_path / "keys.log"
    log.touch(mode=0o600)
    log.write_bytes(gzip.decompress(packed.read_bytes()))
    return ["--keys", log]


@pytest.mark.parametrize("directory", GOLDEN, ids=lambda path: path.name)
@pytest.mark.parametrize("workers", ["1", "3"])
def test_golden(directory: Path, workers: str, tmp_path: Path, update: bool) -> None:
    key = tmp_path / "hash.key"
    key.touch(mode=0o600)
    key.write_text("00" * 32)
    out = tmp_path / "out.ndjson"
    capture = directory / "capture.pcap.zst"
    options = ["--hash-key", key, "--workers", workers, "--out", out, *key_log(directory, tmp_path)]
    hoptap("replay", *options, capture)
    lines = golden_lines(read_records(out))
    expected = directory / "records.ndjson"
    if update:
        expected.write_text("".join(f"{line}\n" for line in lines))
    assert lines == expected.read_text().splitlines()

"""Golden captures: every record of a replay, whole, as a person once read it.

pytest tests/test_captures.py --update      rewrites records.ndjson; read the diff
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import Record
from tests.packaged import CAPTURES, replayed

# The others are held against their truth (tests/sensor/test_truth.py), of 2,803 records more than a
# person reads, or against a twin in clear (tests/test_tls_captures.py). An empty file and --update
# make a new golden capture.
GOLDEN = sorted(path.parent.name for path in CAPTURES.glob("*/records.ndjson"))


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


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("workers", ["1", "3"])
def test_golden(name: str, workers: str, tmp_path: Path, update: bool) -> None:
    lines = golden_lines(replayed(name, tmp_path, "--workers", workers))
    expected = CAPTURES / name / "records.ndjson"
    if update:
        expected.write_text("".join(f"{line}\n" for line in lines))
    assert lines == expected.read_text().splitlines()

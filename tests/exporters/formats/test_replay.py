"""`hoptap replay --format NAME`."""

import json
from pathlib import Path

import msgpack
import pytest

from exporters.formats import zeek
from tests.command import DEMO_CAPTURE, hoptap


def written(name: str, *options: str | Path) -> str:
    return hoptap("replay", "--quiet", "--format", name, *options, DEMO_CAPTURE).stdout


def test_lines_of_json() -> None:
    records, documents = written("ndjson").splitlines(), written("ecs").splitlines()
    paths = [json.loads(line)["chain"]["path"] for line in records]
    assert [json.loads(line)["hop"]["path"] for line in documents] == paths
    assert len(paths) > 10


def test_the_preamble_is_written_once(tmp_path: Path) -> None:
    assert written("zeek", "--out", tmp_path / "hop.log") == ""
    text = (tmp_path / "hop.log").read_text()
    assert text.startswith(zeek.PREAMBLE) and text.count("#fields") == 1
    head, rows = zeek.PREAMBLE.count("\n"), len(written("hop").splitlines())
    assert len(text.splitlines()) == head + rows


def test_msgpack_needs_no_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "hop.msgpack"
    written("msgpack", "--out", path)
    with path.open("rb") as file:
        records = list(msgpack.Unpacker(file))
    assert {record["schema"] for record in records} == {"hop/1"}


@pytest.mark.parametrize("name", ["otlp", "nonsense"])
def test_only_formats_of_files(name: str) -> None:
    done = hoptap("replay", "--format", name, DEMO_CAPTURE, exit_code=2)
    assert "--format" in done.stderr and "leef" in done.stderr

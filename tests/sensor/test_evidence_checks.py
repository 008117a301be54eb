"""`hoptap check` of the evidence log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporters.evidence import EvidenceSink, Plan
from sensor import checks
from sensor.evidence import open_log
from sensor.evidence_checks import evidence_findings
from sensor.evidence_settings import EvidenceSettings
from sensor.metrics import ExportCounts, Metrics
from sensor.settings import Settings
from tests.exporters import authority
from tests.exporters.authority import Authority
from tests.records import numbered


def told(probe: bool = False, **settings: str) -> list[str]:
    evidence = EvidenceSettings(**settings)  # type: ignore[arg-type]
    found = evidence_findings(Settings(evidence=evidence), probe)
    return [f"{each.level} {each.text}" for each in found]


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with authority.serving(tmp_path_factory.mktemp("tsa")) as serving:
        yield serving


def test_no_log_is_nothing_to_say() -> None:
    assert told() == []


def test_the_end_of_the_log_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "evidence.ndjson"
    unsigned = "note no key_file: whoever can write the log can write all of it anew"
    assert told(file=str(path)) == [unsigned]
    sink = EvidenceSink(
        path, ExportCounts(), plan=Plan(), sensor="s1", report=pytest.fail, announce=print
    )
    sink.write([numbered(1)])
    sink.close()
    assert told(file=str(path)) == [f"ok {path} goes on after seq 3", unsigned]
    path.write_bytes(path.read_bytes().replace(b"task-1", b"task-7"))
    (first, _) = told(file=str(path))
    assert first.startswith(f"problem {path}: was changed after seq 0: `hoptap verify` it")


def test_the_key_is_tried(tmp_path: Path, tsa: Authority) -> None:
    log = str(tmp_path / "evidence.ndjson")
    (line,) = told(file=log, key_file=str(tmp_path / "none"))
    assert line == f"problem evidence.key_file: {tmp_path}/none: No such file or directory"
    (line,) = told(file=log, key_file=str(tsa.directory / "ca.key"))
    assert line.endswith("ca.key: no Ed25519 key") and line.startswith("problem ")


def test_the_authority_is_asked_when_one_says_so(tmp_path: Path, tsa: Authority) -> None:
    settings = {"file": str(tmp_path / "evidence.ndjson"), "tsa_url": tsa.url}
    asked = tsa.asked
    assert (
        told(False, **settings)[1] == f"note {tsa.url} gives time stamps, if it does; --probe asks"
    )
    assert tsa.asked == asked
    assert told(True, **settings)[1] == f"ok {tsa.url} gives time stamps"
    tsa.answers = [b"<html>"]
    assert told(True, **settings)[1] == f"problem {tsa.url}: the answer is no time stamp"


def test_it_is_part_of_the_check(tmp_path: Path) -> None:
    evidence = EvidenceSettings(file=str(tmp_path / "log" / "evidence.ndjson"))
    found = {(each.subject, each.text) for each in checks.findings(Settings(evidence=evidence))}
    texts = [text for subject, text in found if subject == "evidence log"]
    assert len(texts) == 2
    assert any(text.startswith(f"{evidence.file}, ") for text in texts)
    open_log(Settings(evidence=evidence), Metrics("")).close()
    assert Path(evidence.file).exists()

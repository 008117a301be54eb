"""No secret of any capture leaves the sensor: not in a record, a log line or the history."""

import base64
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.canaries import canary_capture
from tests.command import hoptap, write_config
from tests.impair import decompressed, write_pcap
from tests.leaks import encodings, leaks, secrets_of

CAPTURES = Path(__file__).parent / "captures"
RECORDED = sorted(CAPTURES.glob("*-clear*/capture.pcap.zst"))
PROXIED = sorted(CAPTURES.glob("*-term-*/capture.pcap.zst"))
# What the sensor keeps secret itself: the key of its hashes.
OWN_SECRETS = {"hash.key"}


def everything_said(capture: Path, directory: Path) -> dict[str, bytes]:
    """Every output of a replay with all of them turned on: name -> content."""
    data_dir = directory / "data"
    data_dir.mkdir()
    config = write_config(data_dir)
    out, history = data_dir / "out.ndjson", data_dir / "history.db"
    done = hoptap("replay", "--debug", "-c", config, "--out", out, "--history", history, capture)
    said = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    for path in data_dir.rglob("*"):
        if path.is_file() and path.name not in OWN_SECRETS:
            said[str(path.relative_to(data_dir))] = path.read_bytes()
    assert said["out.ndjson"] and said["history.db"]
    return said


def assert_silent(said: dict[str, bytes], secrets: dict[str, str]) -> None:
    found = {name: leaks(content, secrets) for name, content in said.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("capture", RECORDED + PROXIED, ids=lambda path: path.parent.name)
def test_recorded_traffic(capture: Path, tmp_path: Path) -> None:
    plain = tmp_path / "capture.pcap"
    plain.write_bytes(decompressed(capture.read_bytes()))
    secrets = secrets_of(plain)
    assert {"password", "set-cookie vmware_soap_session"} <= set(secrets.values())
    assert_silent(everything_said(plain, tmp_path), secrets)


def test_canaries(tmp_path: Path) -> None:
    packets, canaries = canary_capture()
    capture = write_pcap(tmp_path / "canaries.pcap", packets)
    content = capture.read_bytes()
    assert len(canaries) > 150
    said = everything_said(capture, tmp_path)
    assert said["out.ndjson"].count(b'"login"') >= 5
    assert_silent(said, canaries)
    hidden = [what for secret, what in canaries.items() if not leaks(content, {secret: what})]
    assert set(hidden) <= {"UTF-16", "broken gzip"}  # the search would have found all others


@pytest.mark.parametrize("around", [("", ""), ("x", "y"), ("xy", "yy"), ("xyz", "")])
@pytest.mark.parametrize("secret", ["Gu3st!pw", 'a&b<c>"d\\e', "grüße-42"])
def test_the_search_finds_every_encoding(secret: str, around: tuple[str, str]) -> None:
    text = secret.join(around)
    raw = text.encode()
    for content in (
        raw,
        raw.hex().encode(),
        quote(text, safe="").encode(),
        escape(text).encode(),
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw),
    ):
        assert leaks(b"before " + content + b" after", {secret: "secret"}), content
    assert leaks(b"nothing of the kind", {secret: "secret"}) == []
    assert all(len(form) >= 6 for form in encodings(secret).values())

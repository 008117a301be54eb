"""No secret of any capture leaves the sensor: not in a record, a log line or the history.

Nor do the secrets it is handed over to decrypt with, in metrics and status included.
"""

import base64
import sys
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.canaries import canary_capture
from tests.command import hoptap, write_config
from tests.impair import decompressed, read_pcap, write_pcap, write_pcapng
from tests.lab.namespaces import CLIENT_INTERFACE, SERVER_INTERFACE, open_wire, wait_for
from tests.lab.sensor import listening
from tests.leaks import (
    encodings,
    key_leaks,
    key_material,
    leaks,
    secrets_of,
    secrets_under_tls,
)
from tests.packaged import CAPTURES, RECORDINGS, capture_of, key_options, tls_secrets_of

RECORDED = sorted(
    path
    for path in CAPTURES.glob("*-clear*/capture.pcap.zst")
    if path.parent.name not in RECORDINGS  # tests/test_recordings.py
)
PROXIED = sorted(CAPTURES.glob("*-term-*/capture.pcap.zst"))
DECRYPTED = sorted(
    path.parent.name
    for file in ("keys.log.gz", "server.key.pem.gz")
    for path in CAPTURES.glob(f"*/{file}")
    if path.parent.name not in ("tls-resumption", *RECORDINGS)  # nobody logs in; as above
)
TSHARK_OPTIONS = {"--keys": "tls.keylog_file:{}", "--rsa-key": 'uat:rsa_keys:"{}",""'}
LISTEN = "127.0.0.1:9797"
SEND_TIMEOUT_S = 60
# What the sensor keeps secret itself: the key of its hashes.
OWN_SECRETS = {"hash.key"}


def everything_said(capture: Path, directory: Path, *options: str | Path) -> dict[str, bytes]:
    """Every output of a replay with all of them turned on: name -> content."""
    data_dir = directory / "data"
    data_dir.mkdir()
    config = write_config(data_dir)
    out, history = data_dir / "out.ndjson", data_dir / "history.db"
    outputs = ("--out", out, "--history", history)
    done = hoptap("replay", "--debug", "-c", config, *outputs, *options, capture)
    said = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    assert_whole(said | files_of(data_dir))
    return said | files_of(data_dir)


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name not in OWN_SECRETS
    }


def assert_whole(said: dict[str, bytes]) -> None:
    assert said["out.ndjson"] and said["history.db"]


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


def both_secrets(name: str, directory: Path) -> tuple[dict[str, str], dict[bytes, str]]:
    """What is said under TLS and must not be told, and what TLS itself keeps secret."""
    plain = directory / "capture.pcap"
    plain.write_bytes(decompressed(capture_of(name).read_bytes()))
    option, path = key_options(name, directory)
    spoken = secrets_under_tls(plain, TSHARK_OPTIONS[str(option)].format(path))
    material = key_material(tls_secrets_of(name))
    assert {"password", "Basic password"} & set(spoken.values())
    # what names a session is the same in both places
    assert {"set-cookie vmware_soap_session", "returned by Login"} & set(spoken.values())
    assert len(material) >= 15
    return spoken, material


def assert_no_key(said: dict[str, bytes], material: dict[bytes, str]) -> None:
    found = {name: key_leaks(content, material) for name, content in said.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("name", DECRYPTED)
def test_decrypted_traffic(name: str, tmp_path: Path) -> None:
    spoken, material = both_secrets(name, tmp_path)
    said = everything_said(capture_of(name), tmp_path, *key_options(name, tmp_path))
    # Of a proxy that speaks clear HTTP behind, the clear leg tells and the other one is evidence.
    opened = b'"key":"proxy"' if name.startswith(("haproxy", "nginx")) else b'"decrypted"'
    assert said["out.ndjson"].count(opened) >= 10
    assert_silent(said, spoken)
    assert_no_key(said, material)


def test_secrets_inside_a_capture_file(tmp_path: Path) -> None:
    name = "direct-tls13-pyvmomi"
    spoken, material = both_secrets(name, tmp_path)
    packets = read_pcap(tmp_path / "capture.pcap")
    capture = write_pcapng(tmp_path / "capture.pcapng", packets, secrets=tls_secrets_of(name))
    said = everything_said(capture, tmp_path, "--decrypt")
    assert said["out.ndjson"].count(b'"decrypted"') >= 10
    assert_silent(said, spoken)
    assert_no_key(said, material)


@pytest.mark.namespace
def test_a_sensor_at_work(tmp_path: Path) -> None:
    """With its status and metrics asked for while it has the keys and after it used them."""
    name = "direct-tls13-pyvmomi"
    spoken, material = both_secrets(name, tmp_path)
    _, keys = key_options(name, tmp_path)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    out = data_dir / "out.ndjson"
    config = write_config(
        data_dir,
        output={"ndjson": str(out)},
        history={"enabled": True, "path": str(data_dir / "history.db")},
        evidence={"file": str(data_dir / "evidence.ndjson")},
        status={"listen": LISTEN},
        keys={"decrypt": True, "logs": [str(keys)]},
    )
    send = (sys.executable, "-m", "tests.lab.send", str(tmp_path / "capture.pcap"))
    with (
        open_wire(offloads=False) as wire,
        listening(wire.server, SERVER_INTERFACE, config, out) as sensor,
    ):
        wire.client.run(*send, CLIENT_INTERFACE, timeout_s=SEND_TIMEOUT_S)
        wait_for(lambda: len(sensor.records()) >= 30, "records")
        said = {
            path: wire.server.run("curl", "--silent", f"http://{LISTEN}/{path}").encode()
            for path in ("metrics", "healthz", "readyz")
        }
        sensor.stop()
    said |= files_of(data_dir)
    assert b"hoptap_tls_sessions_total{" in said["metrics"] and said["readyz"]
    assert_whole(said)
    assert_silent(said, spoken)
    assert_no_key(said, material)


@pytest.mark.parametrize("around", [b"", b"x", b"xy"])
def test_the_search_finds_part_of_a_key(around: bytes) -> None:
    secret = bytes(range(7, 39))
    part = around + secret[10:22] + around
    for content in (part, part.hex().encode(), base64.b64encode(part)):
        assert key_leaks(b"before " + content + b" after", {secret: "secret"}), content
    assert key_leaks(part[::-1], {secret: "secret"}) == []


def test_what_a_private_key_holds() -> None:
    name = "direct-tls12-rsa-pyvmomi"
    kinds = list(key_material(tls_secrets_of(name)).values())
    assert kinds.count("number of the private key") == 6  # d, p, q, and three of the remainders
    assert kinds.count("CLIENT_RANDOM") >= 10


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

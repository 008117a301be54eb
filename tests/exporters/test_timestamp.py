"""Time stamps of a real authority in the evidence log, and answers that are none."""

import json
import socket
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from exporters import timestamp
from exporters.chain import Head, bind, read
from exporters.evidence import EvidenceSink, Plan
from exporters.timestamp import TimestampError
from sensor import verify
from sensor.exits import Exit
from sensor.metrics import ExportCounts
from tests.command import hoptap
from tests.exporters import authority
from tests.exporters.authority import Authority
from tests.records import numbered

DIGEST = sha256(b"head").hexdigest()


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with authority.serving(tmp_path_factory.mktemp("tsa")) as serving:
        yield serving


def test_the_query_is_what_openssl_makes(tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.write_bytes(timestamp.query(bytes.fromhex(DIGEST), b"\x01" + bytes(7)))
    text = subprocess.run(
        ["openssl", "ts", "-query", "-in", ours, "-text"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "Version: 1\n" in text and "Hash Algorithm: sha256\n" in text
    assert "Nonce: 0x0100000000000000\n" in text and "Certificate required: yes\n" in text
    command = ["openssl", "ts", "-query", "-digest", DIGEST, "-sha256", "-cert", "-no_nonce"]
    theirs = subprocess.run(command, capture_output=True, check=True).stdout
    without = ours.read_bytes().replace(b"\x02\x08\x01" + bytes(7), b"")
    assert without[2:] == theirs[2:]  # but for the length of all


def write_log(path: Path, url: str, count: int = 6) -> None:
    sink = EvidenceSink(
        path,
        ExportCounts(),
        plan=Plan(checkpoint_records=2),
        sensor="s1",
        report=pytest.fail,
        announce=lambda line: None,
        stamp=timestamp.Authority(url).stamp,
    )
    for number in range(count):
        sink.write([numbered(number)])
    sink.close()


@pytest.fixture(scope="module")
def log(tsa: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "evidence.ndjson"
    write_log(path, tsa.url)
    assert tsa.asked == 3
    return path


def test_time_stamps_are_verified(tsa: Authority, log: Path) -> None:
    said = hoptap("verify", log, "--tsa-ca", tsa.ca).stdout
    assert "ok       time stamps: 3 are good; seq " in said and " GMT\n" in said
    assert "seq 12 to 13 come after the last time stamp: only their hashes vouch" in said
    unchecked = hoptap("verify", log).stdout
    assert "note     time stamps: 3 were not checked; --tsa-ca would tell" in unchecked


def test_another_authority_is_not_believed(log: Path, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    other.make()
    found = hoptap("verify", log, "--tsa-ca", other.ca, exit_code=Exit.NO).stdout
    assert "line 5, seq 4: the time stamp does not vouch for the log: " in found
    assert len(found.splitlines()) == 1


def rewritten(log: Path, path: Path, *, last_good: int) -> verify.Options:
    """Records after `last_good` are changed and all hashes computed anew; old stamps stay."""
    head, lines = Head(), []
    for raw in log.read_bytes().splitlines(keepends=True):
        line = read(raw)
        assert line is not None
        body = line.body if line.seq <= last_good else line.body.replace(b"bob", b"eve")
        if line.mark is not None:
            mark = json.loads(body) | {"of": {"seq": head.seq, "hash": head.hash}}
            body = json.dumps(mark, sort_keys=True, separators=(",", ":")).encode()
        made, head = bind(head, body)
        lines.append(made)
    path.write_bytes(b"".join(lines))
    return verify.Options((str(path),))


def test_what_was_written_anew_no_longer_fits_its_stamp(
    tsa: Authority, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = rewritten(log, tmp_path / "evidence.ndjson", last_good=4)
    assert verify.verify(options) == Exit.OK  # the hashes alone cannot tell
    assert verify.verify(replace(options, tsa_ca=str(tsa.ca))) == Exit.NO
    assert "seq 8: the time stamp does not vouch for the log: " in capsys.readouterr().out


def test_a_stamp_that_is_damaged_is_no_defect(tsa: Authority, tmp_path: Path) -> None:
    for token in (b"", b"\x30\x00", b"no stamp"):
        first, head = bind(
            Head(), b'{"evidence":"open","of":{"hash":"%s","seq":-1},"time":1}' % (b"0" * 64)
        )
        mark = {"evidence": "anchor", "of": {"hash": head.hash, "seq": 0}, "time": 1}
        mark["token"] = b64encode(token).decode()
        second, _ = bind(head, json.dumps(mark, sort_keys=True, separators=(",", ":")).encode())
        path = tmp_path / "log.ndjson"
        path.write_bytes(first + second)
        found = hoptap("verify", path, "--tsa-ca", tsa.ca, exit_code=Exit.NO).stdout
        assert "seq 1: the time stamp does not vouch for the log: " in found


def test_answers_that_are_no_time_stamp(tsa: Authority, log: Path) -> None:
    line = next(line for line in log.read_bytes().splitlines(keepends=True) if b"token" in line)
    token = b64decode(json.loads(line)["token"])
    refused = bytes.fromhex("30053003020102")
    for answer, reason in (
        (b"", "the answer is no time stamp"),
        (b"<html>", "the answer is no time stamp"),
        (b"\x30\x84\xff", "the answer is no time stamp"),
        (refused, "no time stamp granted, status 2"),
        (token, "a time stamp of something else"),
        (b"\x30" * (timestamp.RESPONSE_BYTES_MAX + 1), "the answer is too long for a time stamp"),
    ):
        tsa.answers = [answer]
        with pytest.raises(TimestampError) as caught:
            timestamp.Authority(tsa.url).stamp(DIGEST)
        assert str(caught.value) == f"{tsa.url}: {reason}"


def test_an_authority_that_is_not_there_is_one_line(tsa: Authority) -> None:
    tsa.status, tsa.answers = 503, [b""]
    with pytest.raises(TimestampError, match=r"/: HTTP status 503$"):
        timestamp.Authority(tsa.url).stamp(DIGEST)
    tsa.status = 200
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{holder.getsockname()[1]}/"
        with pytest.raises(TimestampError, match=r"/: Connection refused$"):
            timestamp.Authority(url).stamp(DIGEST)
        holder.listen()
        with pytest.raises(TimestampError, match=r"/: timed out$"):
            timestamp.Authority(url, timeout_s=0.2).stamp(DIGEST)

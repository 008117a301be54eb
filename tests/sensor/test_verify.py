"""`hoptap verify`: whatever was changed, moved, removed or cut is found, and named."""

import json
import random
import re
import subprocess
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters.chain import Head, bind, read
from exporters.evidence import EvidenceSink, Plan
from sensor import evidence, verify
from sensor.exits import ConfigError, Exit, InputError, UsageError
from sensor.metrics import ExportCounts
from tests.certificates import P_256, Authority, public_half, signing_key
from tests.command import hoptap
from tests.records import numbered

RECORDS = 30
ZEROS = b"0" * 64
Edit = Callable[[list[bytes]], list[bytes]]


@dataclass(frozen=True, slots=True)
class Log:
    """A log of three files, whose marks are signed, and what vouches for it."""

    directory: Path
    key: Path  # its public half
    heads: tuple[Head, ...]  # every checkpoint, as the journal got it

    @property
    def files(self) -> list[Path]:
        return [*sorted(self.directory.glob("log-*.ndjson")), self.directory / "log.ndjson"]

    def options(self, **changes: object) -> verify.Options:
        given = verify.Options(files=tuple(map(str, self.files)), keys=(str(self.key),))
        return replace(given, **changes)  # type: ignore[arg-type]


def write_log(directory: Path, key: Path | None, plan: Plan, count: int = RECORDS) -> list[Head]:
    """By a sensor that was started twice."""
    announced: list[str] = []
    for run in range(2):
        sink = EvidenceSink(
            directory / "log.ndjson",
            ExportCounts(),
            plan=plan,
            sensor="s1",
            report=pytest.fail,
            announce=announced.append,
            signer=None if key is None else evidence.read_signer(str(key)),
        )
        for number in range(run * count // 2, (run + 1) * count // 2):
            sink.write([numbered(number)])
        sink.close()
    return [verify.parse_head(line.rsplit(" ", 1)[1]) for line in announced]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    directory = tmp_path_factory.mktemp("log")
    key = signing_key(directory / "evidence.key")
    heads = write_log(directory, key, Plan(checkpoint_records=4, rotate_bytes=20_000))
    log = Log(directory, public_half(key, directory / "evidence.pub"), tuple(heads))
    assert len(log.files) == 3
    return log


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[verify.Options], tuple[Exit, str]]:
    def run(options: verify.Options) -> tuple[Exit, str]:
        capsys.readouterr()
        return verify.verify(options), capsys.readouterr().out

    return run


Said = Callable[[verify.Options], tuple[Exit, str]]


def broken(options: verify.Options) -> str:
    """What is said of the first bad place; "" when nothing is bad."""
    try:
        seen = verify._Walk(options).through()
    except verify.Broken as found:
        return str(found)
    problems = [each for each in verify._findings(options, seen) if each.level == "problem"]
    return "; ".join(each.text for each in problems)


def edited(log: Log, directory: Path, edit: Edit, file: int = 1) -> verify.Options:
    """A copy of the log in which the lines of a file went through `edit`."""
    files = []
    for number, path in enumerate(log.files):
        lines = path.read_bytes().splitlines(keepends=True)
        copy = directory / path.name
        copy.write_bytes(b"".join(edit(lines) if number == file else lines))
        files.append(str(copy))
    return log.options(files=tuple(files))


def first_seq(log: Log, file: int = 1) -> int:
    line = read(log.files[file].read_bytes().splitlines(keepends=True)[0])
    assert line is not None
    return line.seq


def test_a_log_as_it_was_written(log: Log, said: Said) -> None:
    exit_code, text = said(log.options())
    assert exit_code == Exit.OK
    lines = sum(path.read_bytes().count(b"\n") for path in log.files)
    assert f"ok       log: {lines} lines, seq 0 to {lines - 1}, each follows" in text
    assert "ok       marks: all " in text
    assert "ok       end: the log was closed at 20" in text
    assert "note     end: lines cut off the end, checkpoints among them, leave no trace" in text
    assert re.search(rf"^ok       head: {lines - 1}:[0-9a-f]{{64}}$", text, re.MULTILINE)
    assert said(log.options(files=tuple(map(str, reversed(log.files)))))[1] == text
    with_heads = said(log.options(heads=log.heads))
    assert with_heads[0] == Exit.OK and "leave no trace" not in with_heads[1]


def test_another_key_has_signed_nothing(log: Log, tmp_path: Path, said: Said) -> None:
    other = public_half(signing_key(tmp_path / "other.key"), tmp_path / "other.pub")
    exit_code, text = said(log.options(keys=(str(other),)))
    assert exit_code == Exit.NO
    assert text == f"problem  log: {log.files[0]} line 1, seq 0: is signed by another key\n"
    assert said(log.options(keys=(str(other), str(log.key))))[0] == Exit.OK


def test_every_bit_counts(log: Log, tmp_path: Path) -> None:
    """One bit of each line, anywhere, its newline included: that line is named."""
    chance = random.Random(7)
    count = len(log.files[1].read_bytes().splitlines())
    for number in [*range(count)] * 6:

        def flip(lines: list[bytes], number: int = number) -> list[bytes]:
            line = bytearray(lines[number])
            at = chance.randrange(len(line))
            line[at] ^= 1 << chance.randrange(8)
            return [*lines[:number], bytes(line), *lines[number + 1 :]]

        options = edited(log, tmp_path, flip)
        text = broken(options)
        if number == 0 and "log-" in text and f"{options.files[1]} line 1" not in text:
            # A first line without its number cannot be put in order: it comes first.
            assert "is no line of an evidence log" in text
        assert f"{options.files[1]} line {number + 1}" in text, text


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_other_bytes_are_found(data: st.DataObject, log: Log, tmp_path: Path) -> None:
    whole = log.files[2].read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    removed = data.draw(st.integers(0, 400))
    put = data.draw(st.binary(max_size=40) | st.just(b"\n") | st.just(whole[at : at + 300]))
    changed = whole[:at] + put + whole[at + removed :]
    if changed == whole:
        return
    options = edited(log, tmp_path, lambda lines: [changed], file=2)
    if whole.startswith(changed) and changed.endswith(b"\n"):  # whole lines cut off the end
        options = replace(options, heads=log.heads[-1:])
    assert broken(options)


@pytest.mark.parametrize("file", [0, 1, 2])
def test_lines_removed_swapped_or_repeated_are_named(log: Log, tmp_path: Path, file: int) -> None:
    first = first_seq(log, file)
    count = len(log.files[file].read_bytes().splitlines())

    def told(edit: Edit) -> str:
        return broken(edited(log, tmp_path, edit, file))

    path = tmp_path / log.files[file].name
    assert told(lambda lines: [*lines[:5], *lines[6:]]) == (
        f"{path} line 6, seq {first + 6}: seq {first + 5} to {first + 5} are missing before it"
    )
    assert told(lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]]) == (
        f"{path} line 6, seq {first + 6}: seq {first + 5} to {first + 5} are missing before it"
    )
    assert told(lambda lines: [*lines[:5], lines[4], *lines[5:]]) == (
        f"{path} line 6, seq {first + 4}: is repeated, or out of order: it comes after "
        f"seq {first + 4}"
    )
    text = told(lambda lines: lines[1:])
    if file == 0:
        assert f"{path} line 1, seq 1: lines 0 to 0 of the log are missing before it" in text
    else:
        assert f"{path} line 1, seq {first + 1}: seq {first} to {first} are missing" in text
    if file < 2:  # of the last file, that is the end of the log
        after = first + count
        following = tmp_path / log.files[file + 1].name
        assert told(lambda lines: lines[:-1]) == (
            f"{following} line 1, seq {after}: seq {after - 1} to {after - 1} are missing before it"
        )
        assert f"seq {first} to {after - 1} are missing before it" in told(lambda lines: []) or (
            file == 0
        )


def test_the_beginning_may_be_elsewhere_if_one_says_so(log: Log, said: Said) -> None:
    files = tuple(map(str, log.files[1:]))
    first = first_seq(log)
    exit_code, text = said(log.options(files=files))
    assert exit_code == Exit.NO
    assert f"lines 0 to {first - 1} of the log are missing before it (--part" in text
    exit_code, text = said(log.options(files=files, part=True))
    assert exit_code == Exit.OK
    assert f"note     log: a part of it: what was before seq {first} was not looked at" in text
    exit_code, text = said(log.options(files=files, part=True, heads=log.heads[:1]))
    assert exit_code == Exit.NO and "is before these files" in text


def test_an_end_cut_off_shows_against_a_head_kept_elsewhere(log: Log, tmp_path: Path) -> None:
    for left in (1, 5, -1):
        options = edited(log, tmp_path, lambda lines, left=left: lines[:left], file=2)  # type: ignore[misc]
        assert broken(options) == ""  # nothing in the files can tell
        text = broken(replace(options, heads=log.heads))
        assert re.search(r"the log ends at seq \d+, a head kept elsewhere is \d+: cut", text)
    options = edited(log, tmp_path, lambda lines: [b"".join(lines)[:-1]], file=2)
    assert "is cut short" in broken(options)


def forge(lines: list[bytes], head: Head, change: tuple[bytes, bytes]) -> list[bytes]:
    """As somebody without the key would write it: another text, all hashes computed anew."""
    forged = []
    for raw in lines:
        line = read(raw)
        assert line is not None
        body = line.body.replace(*change)
        if line.mark is not None:
            mark = line.mark | {"of": {"seq": head.seq, "hash": head.hash}}
            body = json.dumps(mark, sort_keys=True, separators=(",", ":")).encode()
        made, head = bind(head, body)
        forged.append(made)
    return forged


def test_hashes_computed_anew_are_found_by_the_key_or_a_head(log: Log, tmp_path: Path) -> None:
    change = (b"bob@acme", b"eve@acme")
    options = edited(log, tmp_path, lambda lines: forge(lines, Head(), change), file=0)
    options = replace(options, files=options.files[:1])
    assert "line 1," not in broken(options)  # the first mark is as it was
    assert re.search(r"line \d+, seq \d+: is signed by another key", broken(options))
    unsigned = replace(options, keys=())
    assert broken(unsigned) == ""
    assert "a head kept elsewhere is another" in broken(replace(unsigned, heads=log.heads[:1]))


def test_signatures_taken_away_are_found(log: Log, tmp_path: Path) -> None:
    def strip(lines: list[bytes]) -> list[bytes]:
        head, stripped = Head(), []
        for raw in lines:
            line = read(raw)
            assert line is not None
            body = re.sub(rb',"signature":"[^"]*"', b"", line.body)
            if line.mark is not None:
                mark = json.loads(body) | {"of": {"seq": head.seq, "hash": head.hash}}
                body = json.dumps(mark, sort_keys=True, separators=(",", ":")).encode()
            made, head = bind(head, body)
            stripped.append(made)
        return stripped

    options = edited(log, tmp_path, strip, file=0)
    assert broken(replace(options, files=options.files[:1])).endswith("seq 0: is not signed")


@pytest.mark.parametrize(
    "body",
    ['{"evidence":}', '{"evidence":"open"}', '{"evidence":["open"]}',
     '{"evidence":"open","of":{"hash":"HASH","seq":0},"time":"x"}',
     '{"evidence":"anchor","of":{"hash":"HASH","seq":0},"time":1}',
     '{"evidence":"open' + "[" * 100_000 + "}"],
)  # fmt: skip
def test_a_mark_that_is_none_is_no_defect(tmp_path: Path, body: str) -> None:
    first, head = bind(Head(), b'{"evidence":"open","of":{"hash":"%s","seq":-1},"time":1}' % ZEROS)
    second, _ = bind(head, body.replace("HASH", head.hash).encode())
    path = tmp_path / "log.ndjson"
    path.write_bytes(first + second)
    authority = Authority(tmp_path).certificate
    text = broken(verify.Options((str(path),), tsa_ca=str(authority)))
    assert text == f"{path} line 2, seq 1: is no mark of an evidence log"


def test_a_log_without_a_key_says_what_it_is_worth(tmp_path: Path, said: Said) -> None:
    write_log(tmp_path, None, Plan(), 4)
    exit_code, text = said(verify.Options((str(tmp_path / "log.ndjson"),)))
    assert exit_code == Exit.OK
    assert "note     marks: none is signed: whoever may write the files could have" in text


def test_what_comes_after_the_last_checkpoint_is_told(log: Log, tmp_path: Path) -> None:
    options = edited(log, tmp_path, lambda lines: lines[:2], file=2)
    seen = verify._Walk(options).through()
    texts = [each.text for each in verify._findings(options, seen)]
    last = seen.head.seq
    assert f"seq {last} to {last} come after the last checkpoint: only their hashes" in " ".join(
        texts
    )
    assert any("the log was not closed" in text for text in texts)


def test_the_command_and_its_exit_codes(log: Log, tmp_path: Path) -> None:
    options = (
        "--key",
        str(log.key),
        *[each for head in log.heads for each in ("--head", str(head))],
    )
    assert "head: " in hoptap("verify", *log.files, *options).stdout
    gone = hoptap("verify", tmp_path / "none.ndjson", exit_code=Exit.INPUT)
    assert gone.stderr == f"hoptap: error: {tmp_path}/none.ndjson: No such file or directory\n"
    edited(log, tmp_path, lambda lines: [lines[0], *lines[2:]])
    found = hoptap("verify", *sorted(tmp_path.glob("log*")), exit_code=Exit.NO)
    first = first_seq(log)
    assert f"line 2, seq {first + 2}: seq {first + 1} to {first + 1} are missing" in found.stdout
    (tmp_path / "empty").touch()
    assert "no line in it" in hoptap("verify", tmp_path / "empty", exit_code=Exit.NO).stdout
    hoptap("verify", log.files[0], "--head", "7", exit_code=Exit.USAGE)
    hoptap("verify", log.files[0], "--key", log.files[0], exit_code=Exit.INPUT)


def test_a_key_that_is_none_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "evidence.key"
    with pytest.raises(ConfigError, match=r"evidence.key_file: .*: No such file or directory"):
        evidence.read_signer(str(path))
    signing_key(path, *P_256)
    with pytest.raises(ConfigError, match=f"evidence.key_file: {path}: no Ed25519 key"):
        evidence.read_signer(str(path))
    with pytest.raises(InputError, match="no Ed25519 key"):
        verify.verify(verify.Options((), (str(path),)))
    public = public_half(signing_key(path), tmp_path / "evidence.pub")
    with pytest.raises(ConfigError, match="no key in PEM that opens without a passphrase"):
        evidence.read_signer(str(public))
    with pytest.raises(InputError) as refused:
        verify.verify(verify.Options((), (str(public), str(path))))
    assert refused.value.lines == (f"{path}: this is the private key; give its .pub",)


def test_authorities_are_read_before_the_log(log: Log, tmp_path: Path) -> None:
    ca = tmp_path / "tsa.pem"

    def refused() -> str:
        done = hoptap("verify", *log.files, "--tsa-ca", ca, exit_code=Exit.INPUT)
        assert done.stdout == ""
        return done.stderr.removeprefix(f"hoptap: error: --tsa-ca {ca}: ")

    assert refused() == "No such file or directory\n"
    for text in (b"", b"no PEM", log.key.read_bytes()):
        ca.write_bytes(text)
        assert refused() == "there is no certificate in PEM in it\n"


def test_a_log_without_time_stamps_does_not_pass_for_stamped(
    log: Log, tmp_path: Path, said: Said
) -> None:
    ca = str(Authority(tmp_path).certificate)
    exit_code, text = said(log.options(keys=(), tsa_ca=ca))
    assert exit_code == Exit.NO
    none = "problem  time stamps: there is none in these files: no authority vouches for them\n"
    assert none in text
    assert "come after" not in text
    assert said(log.options(tsa_ca=ca))[0] == Exit.NO


@pytest.mark.parametrize("text", ["", "7", "x:1", f"-1:{'0' * 64}", f"01:{'0' * 64}"])
def test_a_head_is_a_number_and_a_hash(text: str) -> None:
    with pytest.raises(UsageError):
        verify.parse_head(text)


def test_openssl_finds_our_signatures_good(log: Log, tmp_path: Path) -> None:
    """What a mark is signed over is what the documentation says, checked by another program."""
    lines = log.files[0].read_bytes().splitlines()
    mark = json.loads(lines[0])
    del mark["integrity"]
    signature = mark.pop("signature")
    text = json.dumps(mark, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    (tmp_path / "text").write_text(text)
    (tmp_path / "signature").write_bytes(b64decode(signature))
    subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", log.key, "-rawin",
         "-in", tmp_path / "text", "-sigfile", tmp_path / "signature"],
        check=True, capture_output=True,
    )  # fmt: skip

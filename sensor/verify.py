"""`hoptap verify`: is an evidence log as it was written? Names the first record that is not.

What was cut off the end leaves no trace in the files: only a head that was kept elsewhere (the
journal has one for each checkpoint) shows it. Without a key, a log proves that nobody edited it
who did not bother to compute its hashes anew; with it, that nobody did who has not the key.
"""

import re
import ssl
import subprocess
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from exporters.chain import FILE_START, ORIGIN, Head, Line, read, signed_part
from sensor import terminal
from sensor.exits import Exit, InputError, UsageError, os_error_line
from sensor.finding import Finding, Level

LINE_BYTES_MAX = 1 << 24  # a record has some KiB; what is longer is none
OPENSSL_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Options:
    files: tuple[str, ...]
    keys: tuple[str, ...] = ()  # any of them may have signed
    tsa_ca: str = ""
    heads: tuple[Head, ...] = ()  # kept elsewhere
    part: bool = False  # the beginning of the log is not among the files


class Broken(Exception):
    """The log is not as it was written; one line that names the first bad place."""


@dataclass(slots=True)
class _Seen:
    """What was found on the way through the files."""

    begins: int = 0
    head: Head = field(default_factory=Head)
    time_ns: int = 0  # of the last mark
    last_kind: str = ""  # of the last line, if that is a mark
    marks: int = 0
    signed: int = 0
    checkpoint: int = -1  # seq of the last mark that is signed by a key given, or stamped
    stamped: list[tuple[str, int]] = field(default_factory=list)  # time, seq of what it vouches
    unread_stamps: int = 0


def verify(options: Options) -> Exit:
    """Says what was found, on standard output. Raises InputError for what cannot be read."""
    walk = _Walk(options)
    try:
        seen = walk.through()
    except Broken as broken:
        findings = [Finding(Level.PROBLEM, "log", str(broken))]
        terminal.say(f"{each.level:8} {each.subject}: {each.text}" for each in findings)
        return Exit.NO
    findings = list(_findings(options, seen))
    terminal.say(f"{each.level:8} {each.subject}: {each.text}" for each in findings)
    return Exit.NO if any(each.level is Level.PROBLEM for each in findings) else Exit.OK


def parse_head(text: str) -> Head:
    """SEQ:HASH, as `verify` and the journal show it. Raises UsageError."""
    found = re.fullmatch(r"(0|[1-9][0-9]{0,17}):([0-9a-f]{64})", text.strip())
    if found is None:
        raise UsageError(f"--head: {text!r} is no SEQ:HASH")
    return Head(int(found[1]), found[2])


class _Walk:
    """Line by line through all files, in the order of their first lines."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._keys = [_public_key(path) for path in options.keys]
        if options.tsa_ca:
            _check_authorities(options.tsa_ca)
        self._kept: dict[int, set[Head]] = {}
        for head in options.heads:
            self._kept.setdefault(head.seq, set()).add(head)
        self._seen = _Seen()
        self._at = ""  # file and line

    def through(self) -> _Seen:
        """Raises Broken at the first line that is not as it was written."""
        before: Line | None = None
        for path in _ordered(self._options.files):
            for number, raw in enumerate(_lines(path), 1):
                self._at = f"{path} line {number}"
                before = self._line(raw, before, is_first=number == 1)
        if before is None:
            raise Broken("there is no line in it")
        self._seen.head = before.head
        return self._seen

    def _line(self, raw: bytes, before: Line | None, *, is_first: bool) -> Line:
        line = read(raw)
        expected = "" if before is None else f" (after seq {before.seq})"
        if line is None:
            what = "is no line of an evidence log" if raw.endswith(b"\n") else "is cut short"
            raise Broken(f"{self._at}{expected}: {what}")
        if not line.is_intact:
            raise Broken(f"{self._at}, seq {line.seq}{expected}: was changed")
        self._order(line, before)
        if is_first and not raw.startswith(FILE_START):
            raise Broken(f"{self._at}, seq {line.seq}: what the file began with is missing")
        if self._kept.get(line.seq, {line.head}) != {line.head}:
            raise Broken(f"{self._at}, seq {line.seq}: a head kept elsewhere is another")
        try:
            self._marked(line)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Broken(f"{self._at}, seq {line.seq}: is no mark of an evidence log") from None
        return line

    def _marked(self, line: Line) -> None:
        mark = line.mark
        self._seen.last_kind = "" if mark is None else mark["evidence"]
        if mark is not None:
            self._mark(mark, line)

    def _order(self, line: Line, before: Line | None) -> None:
        at = f"{self._at}, seq {line.seq}"
        if before is None:
            self._seen.begins = line.seq
            if not self._options.part and (line.seq != 0 or line.prev != ORIGIN):
                raise Broken(
                    f"{at}: lines 0 to {line.seq - 1} of the log are missing before it"
                    " (--part, if their files are elsewhere)"
                )
        elif line.seq > before.seq + 1:
            raise Broken(f"{at}: seq {before.seq + 1} to {line.seq - 1} are missing before it")
        elif line.seq <= before.seq:
            raise Broken(f"{at}: is repeated, or out of order: it comes after seq {before.seq}")
        elif line.prev != before.hash:
            raise Broken(f"{at}: does not follow from seq {before.seq}: one of both was replaced")

    def _mark(self, mark: dict[str, Any], line: Line) -> None:
        seen, at = self._seen, f"{self._at}, seq {line.seq}"
        if mark["of"] != {"seq": line.seq - 1, "hash": line.prev}:
            raise Broken(f"{at}: vouches for another line than the one before it")
        seen.marks += 1
        seen.time_ns = _nanoseconds(mark["time"])
        seen.signed += "signature" in mark
        if self._keys:
            if not self._is_signed(mark):
                what = "is not signed" if "signature" not in mark else "is signed by another key"
                raise Broken(f"{at}: {what}")
            seen.checkpoint = line.seq
        if mark["evidence"] == "anchor":
            self._anchor(mark, line, at)

    def _is_signed(self, mark: dict[str, Any]) -> bool:
        from sensor import _core

        try:
            signature = b64decode(mark.get("signature", ""), validate=True)
        except (Base64Error, TypeError):
            return False
        part = signed_part(mark)
        return any(_core.ed25519_is_signed(key, part, signature) for key in self._keys)

    def _anchor(self, mark: dict[str, Any], line: Line, at: str) -> None:
        if not self._options.tsa_ca:
            self._seen.unread_stamps += 1
            return
        try:
            token = b64decode(mark["token"], validate=True)
            stamped = _stamp_time(token, line.prev, self._options.tsa_ca)
        except (Base64Error, ValueError) as error:
            raise Broken(f"{at}: the time stamp does not vouch for the log: {error}") from None
        self._seen.stamped.append((stamped, line.seq - 1))
        self._seen.checkpoint = max(self._seen.checkpoint, line.seq - 1)


def _nanoseconds(value: Any) -> int:
    """Raises TypeError, or ValueError for what is no time of a log."""
    if not 0 <= value < 1 << 63:
        raise ValueError
    return int(value)


def _findings(options: Options, seen: _Seen) -> Iterator[Finding]:
    lines = seen.head.seq - seen.begins + 1
    text = (
        f"{lines:,} lines, seq {seen.begins} to {seen.head.seq}, each follows from the one before"
    )
    yield Finding(Level.OK, "log", text)
    if seen.begins:
        text = f"a part of it: what was before seq {seen.begins} was not looked at"
        yield Finding(Level.NOTE, "log", text)
    yield from _marks(options, seen)
    yield from _stamps(options, seen)
    yield from _end(options, seen)


def _marks(options: Options, seen: _Seen) -> Iterator[Finding]:
    if options.keys:
        text = f"all {seen.marks:,} are signed with the key given"
        yield Finding(Level.OK, "marks", text)
    elif seen.signed:
        text = f"{seen.signed:,} of {seen.marks:,} are signed; whether rightly, --key would tell"
        yield Finding(Level.NOTE, "marks", text)
    else:
        text = "none is signed: whoever may write the files could have computed all hashes anew"
        yield Finding(Level.NOTE, "marks", text)


def _stamps(options: Options, seen: _Seen) -> Iterator[Finding]:
    if seen.stamped:
        when, seq = seen.stamped[-1]
        text = f"{len(seen.stamped):,} are good; seq {seq} and all before it existed at {when}"
        yield Finding(Level.OK, "time stamps", text)
    elif options.tsa_ca:
        text = "there is none in these files: no authority vouches for them"
        yield Finding(Level.PROBLEM, "time stamps", text)
    if seen.unread_stamps:
        text = f"{seen.unread_stamps:,} were not checked; --tsa-ca would tell"
        yield Finding(Level.NOTE, "time stamps", text)


def _end(options: Options, seen: _Seen) -> Iterator[Finding]:
    when = datetime.fromtimestamp(seen.time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if seen.last_kind == "close":
        yield Finding(Level.OK, "end", f"the log was closed at {when}")
    else:
        text = f"the log was not closed (last mark {when}): a sensor writes it, or it was cut short"
        yield Finding(Level.NOTE, "end", text)
    late = [head for head in options.heads if head.seq > seen.head.seq]
    if late:
        first = max(late, key=lambda head: head.seq)
        text = f"the log ends at seq {seen.head.seq}, a head kept elsewhere is {first.seq}: cut off"
        yield Finding(Level.PROBLEM, "end", text)
    early = [head for head in options.heads if head.seq < seen.begins]
    if early:
        text = f"the head kept elsewhere, seq {early[0].seq}, is before these files"
        yield Finding(Level.PROBLEM, "end", text)
    vouched = max([seen.checkpoint, *(head.seq for head in options.heads)])
    if seen.begins <= vouched < seen.head.seq:
        text = f"seq {vouched + 1} to {seen.head.seq} come after the last {_vouching(options)}"
        yield Finding(Level.NOTE, "end", f"{text}: only their hashes vouch for them")
    if not options.heads:
        yield Finding(
            Level.NOTE,
            "end",
            "lines cut off the end, checkpoints among them, leave no trace here: compare with a "
            "head kept elsewhere (--head)",
        )
    yield Finding(Level.OK, "head", str(seen.head))


def _vouching(options: Options) -> str:
    """What was asked to vouch for more than one line."""
    given = (
        ("checkpoint", options.keys),
        ("time stamp", options.tsa_ca),
        ("head given", options.heads),
    )
    return " or ".join(what for what, value in given if value)


def _ordered(files: Sequence[str]) -> list[str]:
    """Files by the number of their first line; one whose first line is none comes where it is."""
    numbered = []
    for place, path in enumerate(files):
        first = read(next(iter(_lines(path)), b""))
        numbered.append((first.seq if first is not None else -1, place, path))
    return [path for _, _, path in sorted(numbered)]


def _lines(path: str) -> Iterator[bytes]:
    """Raises InputError."""
    try:
        with open(path, "rb") as file:
            yield from iter(lambda: _next_line(file), b"")
    except OSError as error:
        raise InputError(os_error_line(path, error)) from None


def _next_line(file: BinaryIO) -> bytes:
    return file.readline(LINE_BYTES_MAX)


def _public_key(path: str) -> bytes:
    """Raises InputError."""
    from sensor import _core

    try:
        pem = Path(path).read_bytes()
        public = _core.ed25519_public_key(pem)
    except OSError as error:
        raise InputError(os_error_line(path, error)) from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    # Whoever verifies with it could write the log anew.
    with suppress(ValueError):
        _core.ed25519_sign(pem, b"")
        raise InputError(f"{path}: this is the private key; give its .pub")
    return public


def _check_authorities(path: str) -> None:
    """A log without time stamps would not come to ask for them. Raises InputError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        Path(path).open("rb").close()
        context.load_verify_locations(path)
    except ssl.SSLError:  # an OSError, too
        pass
    except OSError as error:
        raise InputError(os_error_line(f"--tsa-ca {path}", error)) from None
    if not context.cert_store_stats()["x509"]:
        raise InputError(f"--tsa-ca {path}: there is no certificate in PEM in it")


def _stamp_time(response: bytes, digest: str, ca: str) -> str:
    """When the authority says that it saw the hash. Raises ValueError when that does not hold."""
    with TemporaryDirectory() as directory:
        answer = Path(directory, "answer.tsr")
        answer.write_bytes(response)
        where = ("-in", str(answer))
        done = _openssl("ts", "-verify", "-digest", digest, *where, "-CAfile", ca)
        if done.returncode != 0:
            reasons = re.findall(r":([^:]+):[^:]*:\d+:", done.stderr)
            raise ValueError(reasons[-1] if reasons else "openssl does not say why")
        text = _openssl("ts", "-reply", *where, "-text").stdout
    found = re.search(r"^Time stamp: (.+)$", text, re.MULTILINE)
    return found[1] if found else "a time that openssl does not show"


def _openssl(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Raises InputError when the command is not installed."""
    try:
        return subprocess.run(
            ["openssl", *arguments],
            capture_output=True,
            text=True,
            timeout=OPENSSL_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise InputError("--tsa-ca: the command openssl is not installed") from None

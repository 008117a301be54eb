"""A [[tap]] of the configuration: whose TLS library is read, on the host where it runs."""

import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensor.exits import ConfigError, UsageError
from sensor.setting import setting

KEYS = "keys"
PID_MAX = 1 << 22  # PID_MAX_LIMIT of linux/threads.h
TAPS_MAX = 64  # the kernel programs count what each lost in a table of as many


def check_name(text: str) -> str:
    return f"{text!r} is a path, which library is for" if "/" in text else ""


def check_path(text: str) -> str:
    return "" if not text or text.startswith("/") else f"{text!r} is no path from /"


@dataclass(frozen=True, slots=True)
class TapSettings:
    id: str = setting("", "needed; names it in messages")
    process: str = setting(
        "",
        "of these three one; name of the program, whose processes come, fork and go",
        check=check_name,
    )
    pid: int = setting(0, "this process, and those that it forks", low=0, high=PID_MAX)
    library: str = setting(
        "",
        "path of a TLS library or of a program that holds one; every process of this machine that "
        "uses it, so machine_wide is needed too",
        check=check_path,
    )
    mode: str = setting(
        "plaintext",
        "what went through the library; keys: TLS secrets for the packets of capture.interfaces, "
        "which keys.decrypt must allow",
        choices=("plaintext", KEYS),
    )
    machine_wide: bool = setting(
        False,
        "to be said beside library: it reads what is not meant for this sensor as well; beside "
        "process or pid: only those are read, from the first moment of a fork or restart on, but "
        "whoever uses their library has its breakpoints",
    )

    exe: str = setting(
        "",
        "beside process; empty: any program of that name; else the one of this path, as "
        "/proc/PID/exe has it",
        check=check_path,
    )
    user: str = setting(
        "",
        "beside process; name or number; empty: whoever runs it, but program and library must be "
        "root's, and nobody else may write to them; else only what this user or root runs, of "
        "files of these two",
    )
    any_owner: bool = setting(
        False,
        "beside process; true traces files of any owner: who gives a program of his own that name "
        "then writes what he likes into the records",
    )

    @property
    def target(self) -> str:
        return self.process or self.library or str(self.pid)

    def uid(self) -> int | None:
        """Of `user`. Raises ConfigError."""
        if not self.user or self.user.isdecimal():
            return int(self.user) if self.user else None
        try:
            return pwd.getpwnam(self.user).pw_uid
        except KeyError:
            raise ConfigError(f"tap {self.id}: user: there is no {self.user}") from None


def problems(taps: Sequence[TapSettings], decrypts: bool) -> Iterator[tuple[int, str, str]]:
    """(which of them from 1, key, what is wrong): values that are each right, together wrong."""
    for at, tap in enumerate(taps, 1):
        if sum(map(bool, (tap.process, tap.pid, tap.library))) != 1:
            yield at, "", "needs one of process, pid and library"
        elif tap.library and not tap.machine_wide:
            yield at, "library", "reads every process that uses it: machine_wide = true is needed"
        for key in ("exe", "user", "any_owner"):
            if getattr(tap, key) and not tap.process:
                yield at, key, "is for process: a pid or library is whose it is"
        if tap.mode == KEYS and not decrypts:
            yield at, "mode", "keys are for decrypting packets, which keys.decrypt must allow"
        if tap.id and tap.id in {other.id for other in taps[: at - 1]}:
            yield at, "id", f"{tap.id} is the id of another tap"
    if len(taps) > TAPS_MAX:
        yield TAPS_MAX + 1, "", f"at most {TAPS_MAX} taps"


def with_asked(
    taps: tuple[TapSettings, ...], options: Mapping[str, Any]
) -> tuple[TapSettings, ...]:
    """With those that the command line names. Raises UsageError."""
    wide = bool(options.get("tap_machine_wide"))
    asked = [("tap", "plaintext", each) for each in options.get("tap") or ()]
    asked += [("tap-keys", KEYS, each) for each in options.get("tap_keys") or ()]
    for option, mode, target in asked:
        if problem := _misnamed(target):
            raise UsageError(f"--{option} {target}: {problem}")
        if target.startswith("/") and not wide:
            raise UsageError(
                f"--{option} {target}: reads every process that uses it: say --tap-machine-wide, "
                "or name a process or pid"
            )
        taps += (_of_target(target, mode, wide),)
    return taps


def _misnamed(target: str) -> str:
    """What is wrong with it, or ""."""
    if not target:
        return "name a process, a PID or a library"
    if target.isdecimal() and not 1 <= int(target[:8]) <= PID_MAX:
        return f"a PID is from 1 to {PID_MAX}"
    if "/" in target and not target.startswith("/"):
        return f"a library is named by its path from /: {os.path.abspath(target)}"
    return ""


def _of_target(target: str, mode: str, machine_wide: bool) -> TapSettings:
    """A PID, a path, or a process."""
    if target.isdecimal():
        return TapSettings(id=target, pid=int(target), mode=mode)
    if target.startswith("/"):
        return TapSettings(id=target, library=target, mode=mode, machine_wide=machine_wide)
    return TapSettings(id=target, process=target, mode=mode)

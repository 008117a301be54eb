"""Exit codes of the command, and the errors that end it: a line for the user, no traceback."""

from enum import IntEnum


class Exit(IntEnum):
    """What the command's exit code means; the list in `hoptap --help` is made from it."""

    OK = 0
    NO = 1
    USAGE = 2
    CONFIGURATION = 3
    INPUT = 4
    OUTPUT = 5
    PERMISSION = 6
    INTERNAL = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130  # 128 + SIGINT, what a shell reports
    READER_GONE = 141  # 128 + SIGPIPE, what `cat | head` reports


MEANING = {
    Exit.OK: "done",
    Exit.NO: "`check` found a problem, `verify` a log that is not as it was written, `who` nothing",
    Exit.USAGE: "the command line is wrong",
    Exit.CONFIGURATION: "the configuration is wrong",
    Exit.INPUT: "a capture, interface, history or log cannot be read to its end",
    Exit.OUTPUT: "records could not all be written or sent (`send-test`: by any sink), "
    "or the status address is taken",
    Exit.PERMISSION: "a privilege is missing",
    Exit.INTERNAL: "a defect in hoptap (--debug shows where)",
    Exit.INTERRUPTED: "a replay was stopped before its end, "
    "or a second signal cut the draining short",
    Exit.READER_GONE: "the reader of standard output went away",
}


class HoptapError(Exception):
    """Ends the command with `code`; each of `lines` is one line for the user."""

    code = Exit.INTERNAL

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class UsageError(HoptapError):
    code = Exit.USAGE


class ConfigError(HoptapError):
    code = Exit.CONFIGURATION


class InputError(HoptapError):
    code = Exit.INPUT


class OutputError(HoptapError):
    code = Exit.OUTPUT


class PrivilegeError(HoptapError):
    code = Exit.PERMISSION


def os_error_line(subject: str, error: OSError) -> str:
    """`subject: No such file or directory`, without errno and repeated file names."""
    return f"{subject}: {error.strerror or error}"

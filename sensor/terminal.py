"""Standard output and error for people: the width, lines that arrive or are an error, news."""

import logging
import os
import shutil
import sys
from collections.abc import Iterable

from sensor.exits import Exit, HoptapError, OutputError


class ReaderLeft(HoptapError):
    """Nobody reads standard output any more: no error line, the exit code that a shell expects."""

    code = Exit.READER_GONE


def width() -> int | None:
    """Columns of the terminal; None when the output is no terminal, and lines may be long."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def say(lines: Iterable[str]) -> None:
    """Writes lines, now. Raises ReaderLeft or OutputError."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()
        raise ReaderLeft from None
    except OSError as error:
        _discard()
        raise OutputError(f"standard output: {error.strerror}") from None


def _discard() -> None:
    """What is left in the buffer cannot be written: the interpreter must not try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def stderr_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter())
    return handler


class _LineFormatter(logging.Formatter):
    """`hoptap: error: ...`; plain news without a level."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return f"hoptap: {level}{super().format(record)}"

"""What an argument of the command may be."""

import argparse
from collections.abc import Iterable

from sensor.exits import UsageError


def check_text(arguments: Iterable[str]) -> None:
    """Names of files are bytes; of those that are no UTF-8 neither records nor SQLite can speak."""
    for each in arguments:
        if any("\ud800" <= char <= "\udfff" for char in each):
            raise UsageError(f"{each!a} is not UTF-8: rename it, or use standard input")


def count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1024")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value

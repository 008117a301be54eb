"""TOML -> Settings. All problems of a file are found at once, each a line naming file and key."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from sensor import tap_settings
from sensor.exits import ConfigError, os_error_line
from sensor.settings import Settings
from sensor.sink_settings import contradictions, file_problems

DEFAULT_PATH = Path("/etc/hoptap/hoptap.toml")

# Keys that were, and what stands in their place.
_MOVED = {
    ("sites", "services"): "is now a [[service]] with id and addresses",
    ("sites", "service_accounts"): "is now accounts of a [[service]]",
}
_TYPE_WORDS = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    tuple[str, ...]: "a list of texts",
    tuple[int, ...]: "a list of whole numbers",
}


def load(path: Path, *, sinks: bool = False) -> Settings:
    """Settings of a file. Raises ConfigError with one line per problem.

    With `sinks`, which are to be used then, the files that they need are looked at too.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(os_error_line(str(path), error)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
    return parse(text, str(path), sinks=sinks)


def parse(text: str, name: str, *, sinks: bool = False) -> Settings:
    """Settings of TOML text; `name` is the file that errors speak of. Raises ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_line(name, error)) from None
    reader = _Reader(text, name)
    settings = reader.settings(document)
    if sinks and not reader.problems:
        reader.say_of_sinks(file_problems(settings.sink))
    if reader.problems:
        raise ConfigError(*reader.problems)
    return settings


def field_problem(section: type, key: str, value: Any) -> str:
    """What is wrong with this value of a section's key, or ""; for values from the command line."""
    each = next(each for each in fields(section) if each.name == key)
    return _problem(each, get_type_hints(section)[key], value)


def sections() -> dict[str, type]:
    """Section name -> its dataclass, in file order; those that stand once."""
    hints = get_type_hints(Settings)
    return {name: kind for name, kind in hints.items() if get_origin(kind) is not tuple}


def lists() -> dict[str, type]:
    """The same of sections that may stand several times, [[name]]."""
    hints = get_type_hints(Settings)
    return {name: get_args(kind)[0] for name, kind in hints.items() if get_origin(kind) is tuple}


class _Reader:
    """Turns one document into settings, and keeps every problem met on the way."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self.problems: list[str] = []

    def settings(self, document: dict[str, Any]) -> Settings:
        known, repeated = sections(), lists()
        for name, value in document.items():
            if name not in known | repeated:
                what = "key outside any section" if _is_value(value) else "section"
                self._say(name, "", f"unknown {what}{_meant(name, known | repeated)}")
        values = {
            name: self._section(name, section, document[name])
            for name, section in known.items()
            if name in document
        }
        for name, section in repeated.items():
            if name in document:
                values[name] = self._list(name, section, document[name])
        settings = Settings(**values)
        if not self.problems:
            for section_name, key, problem in _contradictions(settings):
                self._say(section_name, key, problem)
            self.say_of_sinks(contradictions(settings.sink))
            self.say_of_sinks(_sinks_on_own_files(settings))
            for at, key, problem in tap_settings.problems(settings.tap, settings.keys.decrypt):
                self._say("tap", key, problem, at)
        return settings

    def say_of_sinks(self, problems: Iterable[tuple[int, str, str]]) -> None:
        for at, key, problem in problems:
            self._say("sink", key, problem, at)

    def _list(self, name: str, section: type, tables: object) -> tuple[Any, ...]:
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            self._say(name, "", f"must be sections, [[{name}]]")
            return ()
        return tuple(self._section(name, section, each, at) for at, each in enumerate(tables, 1))

    def _section(self, name: str, section: type, table: object, at: int = 0) -> Any:
        """`at`: which of the sections of that name."""
        if not isinstance(table, dict):
            self._say(name, "", f"must be a section, [{name}]")
            return section()
        known = {each.name: each for each in fields(section)}
        types = get_type_hints(section)
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in known:
                moved = _MOVED.get((name, key), f"unknown key{_meant(key, known)}")
                self._say(name, key, moved, at)
                continue
            problem = _problem(known[key], types[key], _frozen(value))
            if problem:
                self._say(name, key, problem, at)
            else:
                values[key] = _frozen(value)
        if at and "id" in known and "id" not in table:
            self._say(name, "", "needs an id", at)
        return section(**values)

    def _say(self, section: str, key: str, problem: str, at: int = 0) -> None:
        line = _line_of(self._text, section, key, at)
        where = f"{self._name}:{line}" if line else self._name
        subject = f"{section}.{key}" if key else section
        self.problems.append(f"{where}: {subject}: {problem}")


def _problem(each: "Field[Any]", kind: Any, value: Any) -> str:
    """What is wrong with a value, or ""."""
    if not _is_a(value, kind):
        return f"must be {_TYPE_WORDS[kind]}, not {_shown(value)}"
    for item in value if isinstance(value, tuple) else (value,):
        problem = _item_problem(each, item)
        if problem:
            return problem
    return ""


def _item_problem(each: "Field[Any]", item: Any) -> str:
    low, high, choices = (each.metadata[name] for name in ("low", "high", "choices"))
    if low is not None and item < low:
        return f"{item} is below {low}"
    if high is not None and item > high:
        return f"{item} is above {high}"
    if choices and item not in choices:
        return f"{item!r} is none of {', '.join(choices)}"
    if isinstance(item, str) and "\0" in item:
        return "must not hold a NUL character"
    check = each.metadata["check"]
    return check(item) if check else ""


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_value(value: Any) -> bool:
    """And neither a section nor several."""
    tables = value if isinstance(value, list) else [value]
    return not tables or not all(isinstance(each, dict) for each in tables)


def _is_a(value: object, kind: Any) -> bool:
    if kind in (tuple[str, ...], tuple[int, ...]):
        item_kind = kind.__args__[0]
        return isinstance(value, tuple) and all(type(item) is item_kind for item in value)
    return type(value) is kind


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _meant(word: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _contradictions(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Values that are each right and together wrong."""
    limits = settings.limits
    for key in ("stream_buffer_bytes_max", "http_body_bytes_max", "http_head_bytes_max"):
        if getattr(limits, key) > limits.memory_bytes_max:
            yield "limits", key, f"is above limits.memory_bytes_max ({limits.memory_bytes_max})"
    if settings.tap and settings.sensor.user:
        yield "sensor", "user", "a tap needs its rights as long as it runs: leave this empty"
    yield from _shared_files(settings)
    names = settings.capture.interfaces
    if len(set(names)) < len(names):
        yield "capture", "interfaces", "names an interface twice"


def _own_files(settings: Settings) -> dict[tuple[str, str], Path]:
    """What the sensor keeps for itself: section and key -> file."""
    own = {
        ("sensor", "hash_key_file"): settings.hash_key_path,
        ("history", "path"): settings.history_path,
    }
    if settings.output.ndjson != "-":
        own["output", "ndjson"] = settings.ndjson_path
    if settings.evidence.file:
        own["evidence", "file"] = Path(settings.evidence.file)
    return own


def _shared_files(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Section, key, problem; the later one has it."""
    met: dict[str, str] = {}
    for (section, key), path in _own_files(settings).items():
        first = met.setdefault(os.path.abspath(path), f"{section}.{key}")
        if first != f"{section}.{key}":
            yield section, key, f"{path} is the file of {first}"


def _sinks_on_own_files(settings: Settings) -> Iterator[tuple[int, str, str]]:
    """Which, key, problem."""
    own = {os.path.abspath(path) for path in _own_files(settings).values()}
    for at, sink in enumerate(settings.sink, 1):
        if sink.type == "file" and os.path.abspath(sink.to) in own:
            yield at, "to", f"{sink.to} is the sensor's own"


def _syntax_line(name: str, error: tomllib.TOMLDecodeError) -> str:
    """tomllib says `reason (at line 3, column 5)`; editors jump to file:3:5."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error), re.DOTALL)
    if not found:
        return f"{name}: {error}"
    return f"{name}:{found[2]}:{found[3]}: {found[1]}"


def _line_of(text: str, section: str, key: str, at: int = 0) -> int:
    """Line of a section's header or of its key; 0 when written in a way that this does not see.

    `at`: in which of the sections of that name.
    """
    within, met = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[{1,2}\s*[\"']?([\w.-]+?)[\"']?\s*\]", line)
        if header:
            within = header[1]
            met += within == section
            if within == f"{section}.{key}".rstrip(".") and met >= at:
                return number
            continue
        if met < at:
            continue
        wanted = key if within == section else f"{section}.{key}".rstrip(".") if not within else ""
        if wanted and re.match(rf"\s*[\"']?{re.escape(wanted)}[\"']?\s*=", line):
            return number
    return 0

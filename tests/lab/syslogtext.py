"""A strict reader of RFC 5424, written from the grammar of its section 6 and from nothing else."""

import re
from dataclasses import dataclass

_NAME = r'(?:(?![= \]"])[!-~]){1,32}'
_VALUE = r'(?:[^"\\\]]|\\["\\\]])*'
_HEADER = re.compile(
    r"<(?P<priority>0|[1-9]\d{0,2})>1 "
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) "
    r"(?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<process>[!-~]{1,128}) (?P<kind>[!-~]{1,32}) "
)
_PARAM = re.compile(rf' ({_NAME})="({_VALUE})"', re.DOTALL)
_ELEMENT = re.compile(rf'\[({_NAME})((?: {_NAME}="{_VALUE}")*)\]', re.DOTALL)
_ESCAPE = re.compile(r'\\(["\\\]])')


@dataclass(frozen=True, slots=True)
class Message:
    priority: int
    time: str
    host: str
    app: str
    process: str
    kind: str
    elements: dict[str, list[tuple[str, str]]]
    text: str  # MSG without its byte order mark
    marked: bool  # MSG began with one


def read(message: bytes) -> Message:
    text = message.decode()
    header = _HEADER.match(text)
    assert header is not None, text[:200]
    elements, at = read_elements(text, header.end())
    rest = text[at:]
    assert rest == "" or rest[0] == " "
    fields = header.groupdict()
    return Message(
        int(fields["priority"]), fields["time"], fields["host"], fields["app"], fields["process"],
        fields["kind"], elements, rest[1:].removeprefix("\ufeff"), rest.startswith(" \ufeff"),
    )  # fmt: skip


def read_elements(text: str, at: int = 0) -> tuple[dict[str, list[tuple[str, str]]], int]:
    """Structured data that begins there, and where it ends. No SD-ID is there twice."""
    elements: dict[str, list[tuple[str, str]]] = {}
    if text[at : at + 1] == "-":
        return elements, at + 1
    while (found := _ELEMENT.match(text, at)) is not None:
        assert found[1] not in elements
        elements[found[1]] = [
            (name, _ESCAPE.sub(r"\1", value)) for name, value in _PARAM.findall(found[2])
        ]
        at = found.end()
    assert elements, text[at : at + 200]
    return elements, at

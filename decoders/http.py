"""What HTTP fields say (RFC 9110 section 5, RFC 6265): cookies, user names, forwarding, targets."""

import base64
import binascii
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

TEXT_CHARS_MAX = 512  # of a claimed text that goes into records; OCSF and ECS fields are longer


class Headers:
    """Header lines of one message; names compare without case. The repr shows no value."""

    __slots__ = ("_fields",)

    def __init__(self, head: bytes) -> None:
        self._fields: list[tuple[str, str]] = []
        for line in head.decode("latin-1").replace("\r\n", "\n").split("\n"):
            if line[:1] in (" ", "\t") and self._fields:  # obs-fold, RFC 9112 section 5.2
                name, value = self._fields[-1]
                self._fields[-1] = (name, f"{value} {line.strip()}".strip())
                continue
            name, colon, value = line.partition(":")
            if colon:
                self._fields.append((name.strip().lower(), value.strip()))

    def __repr__(self) -> str:
        return f"<{len(self._fields)} fields>"

    def first(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        name = name.lower()
        return [value for field, value in self._fields if field == name]

    def cookie(self, name: str) -> str:
        """The first value sent for this cookie.

        Attributes of a Set-Cookie line that a client sends back whole look like further cookies.
        """
        name = name.lower()
        for line in self.all("cookie"):
            for pair in _split_quoted(line):
                key, _, value = pair.partition("=")
                if key.strip().lower() == name and (value := _unquote(value)):
                    return value
        return ""

    def set_cookies(self, name: str) -> list[str]:
        """Values that the response sets for this cookie; deletions left out."""
        values = []
        for line in self.all("set-cookie"):
            pair, *attributes = _split_quoted(line)
            key, _, value = pair.partition("=")
            deleted = any(each.strip().lower() == "max-age=0" for each in attributes)
            if key.strip().lower() == name.lower() and not deleted and (value := _unquote(value)):
                values.append(value)
        return values

    def text(self, name: str) -> str:
        """A claimed, client-controlled text, bounded and without control characters."""
        return printable(self.first(name))


def printable(text: str) -> str:
    text = text[:TEXT_CHARS_MAX]
    return text if text.isprintable() else "".join(filter(str.isprintable, text))


def _split_quoted(line: str, separator: str = ";") -> Iterator[str]:
    """Parts between separators that stand outside double quotes."""
    parts = line.split(separator)
    # A lone quote quotes nothing; quotes that close within their part hide no separator.
    if line.count('"') % 2 or all(part.count('"') % 2 == 0 for part in parts):
        yield from parts
        return
    part: list[str] = []
    quoted = escaped = False
    for character in line:
        if character == separator and not quoted:
            yield "".join(part)
            part = []
            continue
        part.append(character)
        if character == '"' and not escaped:
            quoted = not quoted
        escaped = quoted and character == "\\" and not escaped
    yield "".join(part)


def _unquote(value: str) -> str:
    value = value.strip()
    if value[:3] == "%22" == value[-3:] and len(value) >= 6:
        return value[3:-3]
    if len(value) >= 2 and value[0] == '"' == value[-1]:
        value = value[1:-1]
        return value.replace('\\"', '"').replace("\\\\", "\\") if "\\" in value else value
    return value


def scheme(authorization: str) -> str:
    return authorization.partition(" ")[0].lower()


def basic_user(authorization: str) -> str:
    """User name of Basic credentials (RFC 7617), else "". The password stays in this function."""
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() != "basic":
        return ""
    encoded = encoded.strip().rstrip("=")
    try:
        user = base64.b64decode(encoded + "=" * (-len(encoded) % 4)).partition(b":")[0]
    except (binascii.Error, ValueError):
        return ""
    try:
        return user.decode()
    except UnicodeDecodeError:
        return user.decode("latin-1")


def bearer_token(authorization: str) -> str:
    kind, _, token = authorization.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def parameter(value: str, name: str) -> str:
    """`name` of a field like `SIGN token="...",org="acme"`, without scheme and quotes."""
    for part in _split_quoted(value.partition(" ")[2], ","):
        key, _, text = part.partition("=")
        if key.strip().lower() == name:
            return _unquote(text)
    return ""


def forwarded_for(headers: Headers) -> str:
    """X-Forwarded-For, else `for` of Forwarded (RFC 7239), else X-Real-IP, as claimed; leftmost
    first.
    """
    if claimed := headers.all("x-forwarded-for"):
        return printable(", ".join(claimed))
    # A proxy may leave its client out: who stands left of it is not the nearest.
    nodes = [element.get("for") or "unknown" for element in _forwarded(headers)]
    return printable(", ".join(nodes)) or headers.text("x-real-ip")


def passed_by(headers: Headers) -> str:
    """The proxies that Via (RFC 9110 section 7.6.3) names, else `by` of Forwarded."""
    stated = headers.all("via")
    passed = (by for each in _forwarded(headers) if (by := each.get("by")))
    return printable(", ".join(stated or passed))


def _forwarded(headers: Headers) -> Iterator[dict[str, str]]:
    """The parameters that each proxy added, in the order of the proxies."""
    for line in headers.all("forwarded"):
        for element in _split_quoted(line, ","):
            pairs = (pair.partition("=") for pair in _split_quoted(element))
            said = {key.strip().lower(): _unquote(value) for key, _, value in pairs if value}
            if said:
                yield said


def path_of(target: str) -> str:
    """Path of a request-target in origin or absolute form, without query."""
    if not target.startswith("/"):
        scheme_end = target.find("://")
        slash = target.find("/", scheme_end + 3) if scheme_end >= 0 else -1
        target = target[slash:] if slash >= 0 else "/"
    return target.partition("?")[0].partition("#")[0]


def query_of(target: str) -> dict[str, str]:
    """First value of each parameter."""
    try:
        pairs = parse_qs(target.partition("?")[2], keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return {}
    return {name: values[0] for name, values in pairs.items()}


def url_parameter(url: str, name: str) -> str:
    """A query parameter of a URL, exactly; "" when missing or the URL is none."""
    try:
        return parse_qs(urlsplit(url).query, max_num_fields=100).get(name, [""])[0]
    except ValueError:
        return ""

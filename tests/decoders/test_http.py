"""Header lookups, cookies as clients write them, names in credentials, forwarding claims."""

import base64

import pytest

from decoders.http import (
    Headers,
    basic_user,
    bearer_token,
    forwarded_for,
    parameter,
    passed_by,
    path_of,
    query_of,
    url_parameter,
)

NAME = "vmware_soap_session"


def test_names_compare_without_case_and_order_is_kept() -> None:
    headers = Headers(b"Via: a\r\nVIA: b\r\nHost: x")
    assert headers.all("via") == ["a", "b"]
    assert headers.first("HOST") == "x"
    assert headers.first("cookie") == ""


def test_folded_line_continues_the_value() -> None:
    headers = Headers(b"X-Note: one\r\n\ttwo\r\n  three\r\nHost: x")
    assert headers.first("x-note") == "one two three"
    assert headers.first("host") == "x"


def test_bytes_beyond_ascii_are_latin_1() -> None:
    assert Headers(b"X-User: m\xfcller").first("x-user") == "m\u00fcller"


def test_line_without_colon_is_no_field() -> None:
    assert Headers(b"nonsense\r\nHost: x").first("host") == "x"


@pytest.mark.parametrize(
    "line",
    [
        'vmware_soap_session="52a1"',
        "vmware_soap_session=52a1",
        'vmware_soap_session="52a1"; Path=/; HttpOnly',
        'vmware_soap_session="52a1"; Path=/; HttpOnly; Secure; ',
        'theme=dark; vmware_soap_session="52a1"; x=y',
        "VMWARE_SOAP_SESSION=52a1",
        "vmware_soap_session=%2252a1%22",
        'note="a;b"; vmware_soap_session="52a1"',
        'broken="; vmware_soap_session=52a1',
        "vmware_soap_session=; vmware_soap_session=52a1",
    ],
)
def test_cookie(line: str) -> None:
    assert Headers(f"Cookie: {line}".encode()).cookie(NAME) == "52a1"


def test_cookie_in_the_second_header_and_escapes() -> None:
    headers = Headers(b'Cookie: a=b\r\nCookie: vmware_soap_session="5\\"2"')
    assert headers.cookie(NAME) == '5"2'
    assert headers.cookie("Path") == ""


def test_set_cookie_values_without_deletions() -> None:
    headers = Headers(
        b'Set-Cookie: vmware_soap_session="new"; Path=/; HttpOnly\r\n'
        b"Set-Cookie: vmware_soap_session=old; Max-Age=0\r\n"
        b"Set-Cookie: other=1\r\nSet-Cookie: vmware_soap_session=; Path=/"
    )
    assert headers.set_cookies(NAME) == ["new"]


def _basic(pair: bytes) -> str:
    return "Basic " + base64.b64encode(pair).decode()


def test_basic_user() -> None:
    assert basic_user(_basic(b"bob@acme:pa:ss")) == "bob@acme"
    assert basic_user(_basic("m\u00fcller:x".encode())) == "m\u00fcller"
    assert basic_user(_basic(b"m\xfcller:x")) == "m\u00fcller"
    assert basic_user(_basic(b"ab:x").rstrip("=")) == "ab"
    assert basic_user("Basic !!!") == ""
    assert basic_user("Bearer abc") == ""


def test_bearer_and_sign() -> None:
    assert bearer_token("bearer  abc ") == "abc"
    assert bearer_token("Basic abc") == ""
    sign = 'SIGN token="a=b,c",org="acme", signature_alg="RSA-SHA256"'
    assert parameter(sign, "token") == "a=b,c"
    assert parameter(sign, "org") == "acme"
    assert parameter(sign, "nonce") == ""


def test_forwarded_for() -> None:
    assert forwarded_for(Headers(b"X-Forwarded-For: 10.1.1.1, 10.2.2.2")) == "10.1.1.1, 10.2.2.2"
    both = b"X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-For: 10.2.2.2\r\nForwarded: for=9.9.9.9"
    assert forwarded_for(Headers(both)) == "10.1.1.1, 10.2.2.2"
    standard = b'Forwarded: proto=https;For="[2001:db8::1]:4711";by=203.0.113.4, for=_hidden'
    assert forwarded_for(Headers(standard)) == "[2001:db8::1]:4711, _hidden"
    assert forwarded_for(Headers(b"Host: x")) == ""
    assert forwarded_for(Headers(b"X-Real-IP: 10.1.1.1")) == "10.1.1.1"
    assert forwarded_for(Headers(b"X-Real-IP: 10.1.1.1\r\nX-Forwarded-For: 10.1.1.2")) == "10.1.1.2"


@pytest.mark.parametrize(
    ("lines", "nodes", "passed"),
    [
        (b"Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60", "203.0.113.43"),
        (b'FORWARDED: FOR="[2001:db8:cafe::17]:4711"', "[2001:db8:cafe::17]:4711", ""),
        (b'Forwarded: for="_gazonk";by="_proxy,1;x"', "_gazonk", "_proxy,1;x"),
        (b"Forwarded: for=10.1.1.1\r\nForwarded: for=unknown;by=_b", "10.1.1.1, unknown", "_b"),
        (b"Forwarded: for=10.1.1.1, by=_b", "10.1.1.1, unknown", "_b"),
        (b"Forwarded: host=vc.lab;proto=https", "unknown", ""),
        (b"Forwarded: , ;", "", ""),
        (
            b"Via: 1.1 edge\r\nVia: 1.0 fred, 1.1 p.lab (squid/5.7)",
            "",
            "1.1 edge, 1.0 fred, 1.1 p.lab (squid/5.7)",
        ),
        (b"Via: 2 edge\r\nForwarded: by=_b;for=10.1.1.1", "10.1.1.1", "2 edge"),
    ],
)
def test_what_proxies_say(lines: bytes, nodes: str, passed: str) -> None:
    assert (forwarded_for(Headers(lines)), passed_by(Headers(lines))) == (nodes, passed)


def test_claimed_text_is_bounded_and_printable() -> None:
    agent = Headers(b"User-Agent: a\x1b[31mb\x00" + b"c" * 2000).text("user-agent")
    assert agent.startswith("a[31mb")
    assert len(agent) <= 512


def test_targets() -> None:
    assert path_of("/sdk?x=1#y") == "/sdk"
    assert path_of("https://vc.lab:443/sdk/vimService?x") == "/sdk/vimService"
    assert path_of("http://vc.lab") == "/"
    assert path_of("*") == "/"
    assert query_of("/a?action=stop&empty=&action=no") == {"action": "stop", "empty": ""}
    assert url_parameter("https://*/guestFile?id=1&token=52%20f", "token") == "52 f"
    assert url_parameter("https://[half/guestFile?token=x", "token") == ""


def test_repr_shows_no_value() -> None:
    assert "s3cret" not in repr(Headers(b"Cookie: s3cret"))

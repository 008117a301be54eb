"""Cloud Director sessions: every login, its tokens, its end."""

import base64
import gzip
import json

import pytest

from decoders.message import (
    Login,
    LoginMethod,
    Logout,
    Outcome,
    SessionSeen,
    TransactionFlag,
)
from tests.decoders.crafting import hasher, only, rest
from tests.decoders.vcloud_crafting import (
    HEAD,
    HREF,
    NS,
    basic,
    call_xml,
    decode,
    vcloud,
)


def _jwt(claims: dict[str, str]) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJh.{payload}.c2ln"


LOGIN_HEAD = (
    "x-vcloud-authorization: 48f0\r\nX-VMWARE-VCLOUD-ACCESS-TOKEN: eyJ.a.b\r\n"
    "Set-Cookie: vcloud-token=48f0; Secure; Path=/\r\n"
    "Content-Type: application/vnd.vmware.vcloud.session+xml;version=38.1"
)


@pytest.mark.parametrize("path", ["/api/sessions", "/cloudapi/1.0.0/sessions"])
def test_login(path: str) -> None:
    body = f'<Session {NS} user="bob" org="acme" href="{HREF}/session"/>'
    if path.startswith("/cloudapi"):
        body = json.dumps(
            {
                "id": "urn:vcloud:session:1",
                "user": {"name": "bob", "id": "urn:vcloud:user:2"},
                "org": {"name": "acme"},
            }
        )
    done = rest(
        "POST",
        path,
        head=basic("BOB@acme:B0b!acme"),
        response_head=LOGIN_HEAD if body.startswith("<") else LOGIN_HEAD.replace("xml", "json"),
        response_body=body.encode(),
    )
    login = only(decode(done))
    assert isinstance(login, Login)
    assert (login.api, login.operation, login.method) == (
        "vcloud",
        f"POST {path}",
        LoginMethod.BASIC,
    )
    assert (login.user, login.claimed, login.outcome) == (
        "bob@acme",
        "BOB@acme",
        Outcome.SUCCESS,
    )
    assert login.new_tokens == (hasher("48f0"), hasher("eyJ.a.b"))
    assert "B0b" not in repr(login)


def test_a_login_whose_answer_was_cut_before_the_organisation() -> None:
    done = rest(
        "POST",
        "/api/sessions",
        head=basic("bob@acme:B0b!acme"),
        response_head=LOGIN_HEAD,
        response_body=f'<Session {NS}><User name="bob"/>'.encode(),
        flags=TransactionFlag.RESPONSE_GAP,
    )
    login = only(decode(done))
    assert isinstance(login, Login)
    assert login.user == "bob@acme"


def test_login_refused_keeps_the_claimed_user() -> None:
    done = rest("POST", "/api/sessions", head=basic("dave@globex:wrong"), status=401)
    login = only(decode(done))
    assert (login.outcome, login.fault, login.user) == (
        Outcome.FAILURE,
        "HTTP 401",
        "dave@globex",
    )
    assert login.new_tokens == ()


def test_provider_login() -> None:
    done = rest(
        "POST",
        "/cloudapi/1.0.0/sessions/provider",
        head=basic("administrator@System:x"),
        response_head="X-VMWARE-VCLOUD-ACCESS-TOKEN: eyJ.p.q",
    )
    login = only(decode(done))
    assert (login.user, login.new_tokens) == ("administrator@System", (hasher("eyJ.p.q"),))


def test_saml_login() -> None:
    assertion = (
        b"<saml2:Assertion xmlns:saml2='u'><saml2:Subject><saml2:NameID>bob</saml2:NameID>"
        b"</saml2:Subject></saml2:Assertion>"
    )
    token = base64.b64encode(gzip.compress(assertion)).decode()
    done = rest("POST", "/api/sessions", head=f'Authorization: SIGN token="{token}",org="acme"')
    login = only(decode(done))
    assert (login.method, login.claimed) == (LoginMethod.SAML, "bob@acme")
    assert token not in repr(login)


def test_api_token_login() -> None:
    access = _jwt({"sub": "bob", "iss": "acme@44bd"})
    done = rest(
        "POST",
        "/oauth/tenant/acme/token",
        body=b"grant_type=refresh_token&refresh_token=s3cret",
        response_head="Content-Type: application/json",
        response_body=json.dumps({"access_token": access, "token_type": "Bearer"}).encode(),
    )
    login = only(decode(done))
    assert (login.method, login.user) == (LoginMethod.TOKEN, "bob@acme")
    assert login.new_tokens == (hasher(access),)
    call = only(decode(rest("POST", "/api/vApp", head=f"Authorization: Bearer {access}")))
    assert call.token == login.new_tokens[0]


def test_logout_and_session_read() -> None:
    logout = only(call_xml("DELETE", "/api/session", status=204))
    assert isinstance(logout, Logout)
    assert (logout.token, logout.sessions) == (hasher("t0ken"), ())
    other = "/cloudapi/1.0.0/sessions/urn:vcloud:session:9"
    logout = only(call_xml("DELETE", other, status=204))
    assert logout.sessions == (hasher("urn:vcloud:session:9"),)
    assert only(call_xml("DELETE", "/cloudapi/1.0.0/sessions/current", status=204)).sessions == ()
    seen = only(
        call_xml("GET", "/api/session", "session", f'<Session {NS} user="bob" org="acme"/>')
    )
    assert isinstance(seen, SessionSeen)
    assert (seen.token, seen.user) == (hasher("t0ken"), "bob@acme")


def test_new_token_alone() -> None:
    done = rest("GET", "/api/org", head=HEAD, flags=TransactionFlag.NEW_TOKEN)
    seen = only(decode(done))
    assert isinstance(seen, SessionSeen)
    assert (seen.token, seen.user) == (hasher("t0ken"), "")


@pytest.mark.parametrize(
    ("target", "head", "claimed"),
    [
        ("/api/sessions", "", True),
        ("/api/session", HEAD, True),
        ("/api/session", "vmware-api-session-id: x", False),
        ("/api/session", "User-Agent: go-vcloud-director\r\nHost: vcloud-vc.lab", False),
        ("/api/session", "Cookie: vcloud-token=x", True),
        ("/api/vcenter/vm", "", False),
        ("/api/v1/pods", "", False),
        ("/cloudapi/1.0.0/vms", "", True),
        ("/sdk", "", False),
    ],
)
def test_claims(target: str, head: str, claimed: bool) -> None:
    assert vcloud.claims(rest("POST", target, head=head)) is claimed


FORM = "Content-Type: application/x-www-form-urlencoded"
ACCESS = {"sub": "bob", "iss": "8f0b1c2d-0000-4000-8000-0000000000aa@44bd", "jti": "1"}
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def oauth(path: str, body: str, answer: dict[str, str], *, query: str = "") -> Login:
    done = rest(
        "POST",
        f"/oauth/{path}{query}",
        head=FORM,
        body=body.encode(),
        response_head="Content-Type: application/json",
        response_body=json.dumps(answer).encode(),
    )
    login = only(decode(done))
    assert isinstance(login, Login)
    assert "s3cret" not in repr(login)
    return login


def test_an_api_token_is_made_of_a_session_and_stands_for_it() -> None:
    """Its hash is a token of the session that it was made in, and of each that it buys."""
    access = _jwt(ACCESS)
    asked = f"grant_type={JWT_BEARER}&client_id=44&assertion={access}"
    made = oauth("tenant/acme/token", asked, {"refresh_token": "s3cret", "token_type": "Bearer"})
    assert (made.token, made.user, made.claimed) == (hasher(access), "bob@acme", "bob@acme")
    assert made.new_tokens == (hasher("s3cret"),)
    bought = _jwt(ACCESS | {"jti": "2"})
    login = oauth(
        "tenant/acme/token",
        "grant_type=refresh_token&refresh_token=s3cret",
        {"access_token": bought, "refresh_token": "s3cret"},
    )
    assert (login.token, login.user) == (hasher("s3cret"), "bob@acme")
    assert login.new_tokens == (hasher(bought), hasher("s3cret"))


def test_an_api_token_in_the_query() -> None:
    query = "?grant_type=refresh_token&refresh_token=s3cret"
    login = oauth("provider/token", "", {"access_token": "0paque"}, query=query)
    assert (login.token, login.user, login.method) == (hasher("s3cret"), "", LoginMethod.TOKEN)
    assert login.operation == "POST /oauth/provider/token"


@pytest.mark.parametrize(
    ("path", "issuer", "user"),
    [
        ("provider/token", "anything@44bd", "bob@System"),
        ("tenant/a%20b/token", "anything@44bd", "bob@a b"),
    ],
)
def test_the_organisation_of_an_access_token_is_the_paths(
    path: str, issuer: str, user: str
) -> None:
    assert (
        oauth(path, "grant_type=x", {"access_token": _jwt({"sub": "bob", "iss": issuer})}).user
        == user
    )


@pytest.mark.parametrize(
    ("issuer", "user"),
    [
        ("acme@44bd", "bob@acme"),
        ("a93c9db9-7471-3192-8d09-a8f7eeda85f9@44bd", "bob@System"),
        ("", "bob"),
    ],
)
def test_an_access_token_whose_login_was_missed_names_its_user(issuer: str, user: str) -> None:
    token = _jwt({"sub": "bob", "iss": issuer})
    head = f"Authorization: Bearer {token}"
    done = rest("DELETE", "/api/vApp/vapp-1", head=head, flags=TransactionFlag.NEW_TOKEN)
    seen, call = decode(done)
    assert isinstance(seen, SessionSeen)
    assert (seen.token, seen.user, call.token) == (hasher(token), user, hasher(token))
    refused = rest("GET", "/api/org", head=head, status=401, flags=TransactionFlag.NEW_TOKEN)
    assert not any(isinstance(each, SessionSeen) for each in decode(refused))


def test_a_session_read_tells_the_key_that_ends_it() -> None:
    body = {"id": "urn:vcloud:session:9", "user": {"name": "bob"}, "org": {"name": "acme"}}
    done = rest(
        "GET",
        "/cloudapi/1.0.0/sessions/current",
        head=HEAD,
        response_head="Content-Type: application/json",
        response_body=json.dumps(body).encode(),
    )
    seen = only(decode(done))
    assert isinstance(seen, SessionSeen)
    assert (seen.user, seen.session) == ("bob@acme", hasher("urn:vcloud:session:9"))

"""How a Cloud Director session gets its identity, says it and ends."""

from urllib.parse import unquote

from decoders.element import Element
from decoders.http import basic_user, bearer_token, parameter, printable, query_of, scheme
from decoders.jwt import claims_of
from decoders.message import Login, LoginMethod, Logout, Message, Transaction
from decoders.rest import RestTransaction
from decoders.saml import Principal, sign_principal
from decoders.vcloud_bodies import get, part

API = "vcloud"
ACCESS_TOKEN = "x-vmware-vcloud-access-token"
TOKEN_HEADERS = ("x-vcloud-authorization", ACCESS_TOKEN)
TOKEN_COOKIES = ("vcloud-token", "vcloud_jwt", "vcloud_session_id")


# In media types, in the names of tokens and request ids; a client or a host may be called so too.
_MARKS = tuple(
    mark.encode()
    for mark in (
        "x-vcloud-",
        "x-vmware-vcloud-",
        "vnd.vmware.vcloud",
        *(f"{each}=" for each in TOKEN_COOKIES),
    )
)
_GRANTS = ("refresh_token", "assertion")
_SYSTEM = "System"  # the provider's organisation
_SYSTEM_ID = "a93c9db9-7471-3192-8d09-a8f7eeda85f9"  # the same in every installation


def oauth_organisation(vcd: RestTransaction) -> str:
    """Of /oauth/tenant/acme/... and /oauth/provider/...; "" of any other path."""
    segments = vcd.segments
    if segments[:1] != ["oauth"]:
        return ""
    return unquote(segments[2]) if segments[1:2] == ["tenant"] and segments[3:] else _SYSTEM


def grant(asked: Element) -> str:
    """What a request to /oauth/.../token is answered for: an API token, or the JWT of a session."""
    return next((said for each in _GRANTS if (said := asked.value(each))), "")


def granted_in_query(target: str) -> list[Element]:
    """Such fields, which stand in a form or in the query."""
    stated = query_of(target)
    return [Element(each, stated[each]) for each in _GRANTS if each in stated]


def is_marked(transaction: Transaction) -> bool:
    """Does a header show Cloud Director? Paths below /api are others' too."""
    heads = (transaction.request_head.lower(), transaction.response_head.lower())
    return any(mark in head for head in heads for mark in _MARKS)


def is_login(vcd: RestTransaction) -> bool:
    """/api/sessions, /api/login (1.0), /cloudapi/VERSION/sessions[/provider], /oauth/.../token"""
    segments = vcd.segments
    if vcd.method != "POST" or not segments:
        return False
    if segments[0] == "oauth":
        return segments[-1] == "token"
    if segments[0] == "cloudapi":
        return segments[2:] in (["sessions"], ["sessions", "provider"])
    return segments[-1] in ("sessions", "login") and len(segments) <= 3


def is_logout(vcd: RestTransaction) -> bool:
    segments = vcd.segments
    if vcd.method != "DELETE" or not segments:
        return False
    return segments == ["api", "session"] or segments[0::2][:2] == ["cloudapi", "sessions"]


def is_session_read(vcd: RestTransaction) -> bool:
    segments = vcd.segments
    return segments == ["api", "session"] or (
        segments[:1] == ["cloudapi"] and segments[2:] == ["sessions", "current"]
    )


def session_user(session: Element) -> str:
    """`bob@acme` of a Session: attributes of /api, objects of /cloudapi."""
    user = get(part(session, "User"), "name") or get(session, "user")
    organisation = get(part(session, "Org"), "name") or get(session, "org")
    return f"{user}@{organisation}" if user and organisation else user


def login(vcd: RestTransaction) -> list[Message]:
    authorization = vcd.request.first("authorization")
    method, claimed, holder = _claim(authorization)
    if not claimed and (organisation := oauth_organisation(vcd)):
        claimed = jwt_user(grant(vcd.asked), organisation)
    user = claimed
    if vcd.succeeded:
        said = session_user(vcd.answered) or _subject(vcd)
        organisation_unseen = claimed.casefold().startswith(f"{said}@".casefold())
        user = said if said and not organisation_unseen else claimed
    return [
        Login(
            **vcd.seen,
            api=API,
            operation=f"POST {vcd.path}",
            method=method,
            outcome=vcd.outcome,
            fault=vcd.fault,
            user=user,
            claimed=claimed,
            full_name=get(part(vcd.answered, "User"), "fullName"),
            new_tokens=_new_tokens(vcd),
            session=vcd.hash(get(vcd.answered, "id")) if vcd.succeeded else "",
            delegates=holder.delegates,
            assertion=vcd.hash(holder.identity),
            details=holder.details,
        )
    ]


def _claim(authorization: str) -> tuple[LoginMethod, str, Principal]:
    """(how, who, of whose assertion) as the request says."""
    if scheme(authorization) == "basic":
        return LoginMethod.BASIC, basic_user(authorization), Principal()
    if scheme(authorization) == "sign":
        holder = sign_principal(parameter(authorization, "token"))
        organisation = parameter(authorization, "org")
        full = f"{holder.subject}@{organisation}" if organisation else holder.subject
        return LoginMethod.SAML, full if holder.subject else "", holder
    token = bearer_token(authorization)
    return LoginMethod.TOKEN, jwt_user(token), Principal()


def _new_tokens(vcd: RestTransaction) -> tuple[str, ...]:
    if not vcd.succeeded:
        return ()
    found = [value for name in TOKEN_HEADERS for value in vcd.response.all(name)]
    found += [value for name in TOKEN_COOKIES for value in vcd.response.set_cookies(name)]
    # An API token buys access tokens for months: it stands for the session that they belong to.
    found += [vcd.answered.value(name) for name in ("access_token", "refresh_token")]
    return vcd.hashes(found)


def _subject(vcd: RestTransaction) -> str:
    """Of an access token that /oauth handed out: its response names nobody."""
    return jwt_user(vcd.answered.value("access_token"), oauth_organisation(vcd))


def jwt_user(token: str, organisation: str = "") -> str:
    """`sub@org` of an access token, whose issuer is `org@site` with name or id; the signature is
    not read."""
    claims = claims_of(token)
    subject = claims.value("preferred_username") or claims.value("sub")
    issuer, at, _ = claims.value("iss").partition("@")
    if not organisation and at:
        organisation = _SYSTEM if issuer.lower() == _SYSTEM_ID else issuer
    return printable(f"{subject}@{organisation}" if subject and organisation else subject)


def logout(vcd: RestTransaction) -> list[Message]:
    identifier = vcd.segments[-1]
    own = identifier in ("session", "current", "sessions")
    return [
        Logout(
            **vcd.seen,
            api=API,
            operation=f"DELETE {vcd.path if own else vcd.path.rpartition('/')[0]}",
            outcome=vcd.outcome,
            fault=vcd.fault,
            sessions=() if own else (vcd.hasher(identifier),),
        )
    ]

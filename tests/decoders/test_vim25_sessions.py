"""How a vim25 session shows whose it is, and how it ends."""

import pytest

from decoders.message import (
    Call,
    Logout,
    OperationClass,
    Outcome,
    SessionExpired,
    SessionSeen,
    TransactionFlag,
)
from decoders.vim25 import Vim25
from tests.decoders.crafting import (
    COOKIE,
    DIALECTS,
    Dialect,
    answer,
    fault,
    hasher,
    only,
    pyvmomi,
    transaction,
)

MANAGER = ("SessionManager", "SessionManager")
KEY = "52d0e1f2-1111-2222-3333-444455556666"
SESSION = (
    f"<returnval><key>{KEY}</key><userName>VSPHERE.LOCAL\\bob</userName><fullName>Bob B</fullName>"
    "<extensionSession>false</extensionSession><ipAddress>10.1.1.11</ipAddress></returnval>"
)
SET_COOKIE = 'Content-Type: text/xml\r\nSet-Cookie: vmware_soap_session="fresh"; Path=/; HttpOnly'
PASSWORD = "<userName>bob@vsphere.local</userName><password>p&amp;ss</password>"
vim25 = Vim25(hasher)


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


def test_logout_and_termination(dialect: Dialect) -> None:
    logout = only(vim25.transaction(transaction(dialect("Logout", MANAGER), answer("Logout"))))
    assert isinstance(logout, Logout)
    assert (logout.token, logout.sessions) == (hasher(COOKIE), ())
    request = dialect(
        "TerminateSession", MANAGER, "<sessionId>k1</sessionId><sessionId>k2</sessionId>"
    )
    logout = only(vim25.transaction(transaction(request, answer("TerminateSession"))))
    assert (logout.operation, logout.sessions) == (
        "TerminateSession",
        (hasher("k1"), hasher("k2")),
    )
    logout = only(vim25.transaction(transaction(request, fault("NotFound"), status=500)))
    assert (logout.outcome, logout.fault) == (Outcome.FAILURE, "NotFound")


def test_termination_cut_before_its_keys_ends_no_session() -> None:
    head, body = pyvmomi("TerminateSession", MANAGER, "<sessionId>k1</sessionId>")
    cut = head, body[: body.index(b"<sessionId>") + 12]
    assert vim25.transaction(transaction(cut, answer("TerminateSession"))) == []


def test_session_is_active_tells_of_the_session_asked_for() -> None:
    asked = "<sessionID>k1</sessionID><userName>carol</userName>"
    request = pyvmomi("SessionIsActive", MANAGER, asked)
    active = answer("SessionIsActive", "<returnval>true</returnval>")
    seen = only(vim25.transaction(transaction(request, active)))
    assert (seen.session, seen.user, seen.token) == (hasher("k1"), "carol", "")
    idle = answer("SessionIsActive", "<returnval>false</returnval>")
    assert vim25.transaction(transaction(request, idle)) == []


def test_service_message_and_locale() -> None:
    call = only(
        vim25.transaction(
            transaction(
                pyvmomi("UpdateServiceMessage", MANAGER, "<message>hi</message>"),
                answer("UpdateServiceMessage"),
            )
        )
    )
    assert call.operation_class is OperationClass.UPDATE
    locale = pyvmomi("SetLocale", MANAGER, "<locale>de</locale>")
    assert vim25.transaction(transaction(locale, answer("SetLocale"))) == []


def _fetch(name: str, returned: str) -> list[SessionSeen]:
    request = pyvmomi("Fetch", MANAGER, f"<prop>{name}</prop>")
    return vim25.transaction(transaction(request, answer("Fetch", returned)))  # type: ignore[return-value]


def test_current_session_is_the_readers_own() -> None:
    returned = SESSION.replace("<returnval>", '<returnval xsi:type="UserSession">')
    seen = only(_fetch("currentSession", returned))  # type: ignore[arg-type]
    assert (seen.token, seen.session) == (hasher(COOKIE), hasher(KEY))
    assert (seen.user, seen.client_address) == ("VSPHERE.LOCAL\\bob", "10.1.1.11")


def test_session_list_is_everyones() -> None:
    returned = (
        '<returnval xsi:type="ArrayOfUserSession">'
        "<UserSession><key>k1</key><userName>alice</userName></UserSession>"
        "<UserSession><key>k2</key><userName>vpxuser</userName></UserSession></returnval>"
    )
    seen = _fetch("sessionList", returned)
    assert [(each.session, each.user, each.token) for each in seen] == [
        (hasher("k1"), "alice", ""),
        (hasher("k2"), "vpxuser", ""),
    ]


def test_current_session_by_property_collector(dialect: Dialect) -> None:
    request = dialect(
        "RetrievePropertiesEx",
        ("PropertyCollector", "propertyCollector"),
        "<specSet><propSet><type>SessionManager</type><pathSet>currentSession</pathSet></propSet>"
        '<objectSet><obj type="SessionManager">SessionManager</obj></objectSet></specSet>',
    )
    returned = (
        '<returnval><objects><obj type="SessionManager">SessionManager</obj><propSet><name>'
        'currentSession</name><val xsi:type="UserSession"><key>k1</key><userName>alice</userName>'
        "</val></propSet></objects></returnval>"
    )
    seen = only(vim25.transaction(transaction(request, answer("RetrievePropertiesEx", returned))))
    assert (seen.token, seen.session, seen.user) == (hasher(COOKIE), hasher("k1"), "alice")


def test_objects_of_a_session_tie_its_key_to_the_token() -> None:
    request = pyvmomi("CreateContainerView", ("ViewManager", "ViewManager"))
    returned = f'<returnval type="ContainerView">session[{KEY}]52aa</returnval>'
    seen = only(vim25.transaction(transaction(request, answer("CreateContainerView", returned))))
    assert (seen.token, seen.session, seen.user) == (hasher(COOKIE), hasher(KEY), "")


def test_new_token_alone() -> None:
    head = pyvmomi("CurrentTime", ("ServiceInstance", "ServiceInstance"))[0]
    seen = transaction((head, b""), operation="CurrentTime", flags=TransactionFlag.NEW_TOKEN)
    assert only(vim25.transaction(seen)) == SessionSeen(
        time_ns=1_000,
        end_ns=3_000,
        token=hasher(COOKIE),
        user_agent="pyvmomi 9.1.1.0 OSS Python/3.11.7 (Linux; 6.1; x86_64)",
    )
    assert vim25.transaction(seen._replace(flags=0)) == []
    assert vim25.transaction(seen._replace(status=500)) == []


def test_not_authenticated_ends_the_token() -> None:
    request = pyvmomi("CurrentTime", ("ServiceInstance", "ServiceInstance"))
    refused = fault("NotAuthenticated", "<privilegeId>System.View</privilegeId>")
    expired = only(vim25.transaction(transaction(request, refused, status=500)))
    assert isinstance(expired, SessionExpired)
    assert expired.token == hasher(COOKIE)
    # The request's body is not asked for by the rule that finds these.
    expired = only(vim25.transaction(transaction((request[0], b""), refused, status=500)))
    assert expired.token == hasher(COOKIE)
    nobody = pyvmomi("CurrentTime", ("ServiceInstance", "ServiceInstance"), cookie="")
    assert vim25.transaction(transaction(nobody, refused, status=500)) == []


def test_refused_action_says_both() -> None:
    request = pyvmomi("PowerOffVM_Task", ("VirtualMachine", "vm-1"))
    call, expired = vim25.transaction(transaction(request, fault("NotAuthenticated"), status=500))
    assert isinstance(call, Call)
    assert (call.outcome, call.fault) == (Outcome.FAILURE, "NotAuthenticated")
    assert isinstance(expired, SessionExpired)


def test_session_in_the_soap_header_of_a_sister_service() -> None:
    header = f"<vcSessionCookie>{COOKIE}</vcSessionCookie>"
    request = pyvmomi(
        "PbmCreate", ("PbmProfileProfileManager", "ProfileManager"), header=header, cookie=""
    )
    done = transaction(request, answer("PbmCreate"), target="/pbm")
    assert vim25.claims(done)
    call = only(vim25.transaction(done))
    assert (call.token, call.operation_class) == (hasher(COOKIE), OperationClass.CREATE)


@pytest.mark.parametrize("path", ["/pbm", "/vslm/sdk", "/sms/sdk", "/vsanHealth", "/eam/sdk"])
def test_the_cookie_of_a_sister_service_is_nobodys(path: str) -> None:
    """Its own cookie is sent back beside the session that counts."""
    header = f"<vcSessionCookie>{COOKIE}</vcSessionCookie>"
    this = ("PbmProfileProfileManager", "ProfileManager")
    request = pyvmomi("PbmDelete", this, header=header, cookie="of-the-sister")
    call = only(vim25.transaction(transaction(request, answer("PbmDelete"), target=path)))
    assert call.token == hasher(COOKIE)


@pytest.mark.parametrize("operation", ["GetVpxaInfo", "QueryVpxaStatus", "FetchQuickStats"])
def test_what_vpxa_is_asked_all_the_time_is_no_action(operation: str) -> None:
    request = pyvmomi(operation, ("VpxapiVpxaService", "vpxa"))
    done = transaction(request, answer(operation), target="/vpxa")
    assert vim25.claims(done)
    assert vim25.transaction(done) == []


def test_a_login_at_vpxa() -> None:
    request = pyvmomi(
        "Login",
        ("VpxapiVpxaService", "vpxa"),
        "<userName>vpxuser</userName><password>s3cret</password>",
        cookie="",
    )
    login = only(vim25.transaction(transaction(request, answer("Login"), target="/vpxa")))
    assert (login.user, login.api) == ("vpxuser", "vim25")
    assert "s3cret" not in repr(login)


def test_what_is_forwarded_and_who_the_client_says_it_is() -> None:
    head, body = pyvmomi("Logout", MANAGER)
    head += b"\r\nX-Forwarded-For: 10.9.9.9, 10.8.8.8"
    logout = only(vim25.transaction(transaction((head, body), answer("Logout"))))
    assert logout.forwarded_for == "10.9.9.9, 10.8.8.8"
    assert logout.user_agent.startswith("pyvmomi 9.1.1.0")

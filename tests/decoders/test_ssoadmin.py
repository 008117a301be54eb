"""Accounts and groups of Single Sign-On, and the directory of services: who changes what."""

import pytest

from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    Outcome,
    SessionExpired,
    Target,
)
from decoders.ssoadmin import SsoAdmin, operation_class
from tests.decoders.crafting import SOAP, hasher, only, rest

sso = SsoAdmin(hasher)
PATH = "/sso-adminserver/sdk/vsphere.local"
PASSWORD = "s3cr3t-of-eve"
ASSERTION = (
    '<Assertion ID="_1"><Subject><NameID>root@vsphere.local</NameID></Subject><Conditions>'
    '<Delegate DelegationInstant="1"><NameID>vsphere-webclient</NameID></Delegate></Conditions>'
    "</Assertion>"
)
C, U, D = OperationClass.CREATE, OperationClass.UPDATE, OperationClass.DELETE


def said(
    operation: str,
    arguments: str = "",
    *,
    path: str = PATH,
    header: str = "",
    cookie: str = "52sso",
    fault: str = "",
    response_head: str = "",
) -> list[Message]:
    asked = (
        f'<e:Envelope xmlns:e="{SOAP}"><e:Header>{header}</e:Header><e:Body>'
        f'<{operation} xmlns="urn:sso"><_this type="SsoAdminPrincipalManagementService">'
        f"principalManagementService</_this>{arguments}</{operation}></e:Body></e:Envelope>"
    )
    inner = f"<{operation}Response/>"  # nothing is read of it
    if fault:
        inner = f"<e:Fault><faultcode>x</faultcode><detail><{fault}Fault/></detail></e:Fault>"
    answered = f'<e:Envelope xmlns:e="{SOAP}"><e:Body>{inner}</e:Body></e:Envelope>'
    done = rest(
        "POST",
        path,
        head=f"Cookie: vmware_soap_session={cookie}" if cookie else "",
        body=asked.encode(),
        status=500 if fault else 200,
        response_head=response_head,
        response_body=answered.encode(),
    )
    assert sso.claims(done)
    messages = sso.transaction(done)
    assert PASSWORD not in repr(messages)
    return messages


def principal_id(argument: str, name: str) -> str:
    return f"<{argument}><name>{name}</name><domain>lab</domain></{argument}>"


EVE, GROUP = Target("User", name="eve"), Target("Group", name="Administrators")


@pytest.mark.parametrize(
    ("operation", "arguments", "kind", "named"),
    [
        (
            "CreateLocalPersonUser",
            f"<userName>eve</userName><userDetails><firstName>E</firstName></userDetails>"
            f"<password>{PASSWORD}</password>",
            C,
            [EVE],
        ),
        ("CreateLocalSolutionUser", "<userName>eve</userName>", C, [EVE]),
        (
            "DeleteLocalPrincipal",
            "<principalName>eve</principalName>",
            D,
            [Target("Principal", name="eve")],
        ),
        (
            "ResetLocalPersonUserPassword",
            f"<userName>eve</userName><newPassword>{PASSWORD}</newPassword>",
            U,
            [EVE],
        ),
        ("ResetSelfLocalPersonUserPassword", f"<newPassword>{PASSWORD}</newPassword>", U, []),
        (
            "AddUsersToLocalGroup",
            principal_id("userIds", "eve")
            + principal_id("userIds", "bob")
            + "<groupName>Administrators</groupName>",
            C,
            [GROUP, Target("User", name="eve@lab"), Target("User", name="bob@lab")],
        ),
        (
            "AddUserToLocalGroup",
            principal_id("userId", "eve") + "<groupName>Administrators</groupName>",
            C,
            [GROUP, Target("User", name="eve@lab")],
        ),
        (
            "RemovePrincipalsFromLocalGroup",
            principal_id("principalsIds", "eve") + "<groupName>Administrators</groupName>",
            D,
            [GROUP, Target("Principal", name="eve@lab")],
        ),
        (
            "SetRole",
            principal_id("userId", "eve") + "<role>Administrator</role>",
            U,
            [Target("User", name="eve@lab"), Target("Role", name="Administrator")],
        ),
        (
            "GrantWSTrustRole",
            principal_id("userId", "eve") + "<role>ActAsUser</role>",
            C,
            [Target("User", name="eve@lab"), Target("Role", name="ActAsUser")],
        ),
        ("UnlockUserAccount", principal_id("userId", "eve"), U, [Target("User", name="eve@lab")]),
        (
            "RegisterLdap",
            "<domainName>corp.example</domainName><authnCredentials><username>cn=ldap</username>"
            f"<password>{PASSWORD}</password></authnCredentials>",
            C,
            [Target("Domain", name="corp.example")],
        ),
        ("UpdateLocalPasswordPolicy", "<policy><minLength>4</minLength></policy>", U, []),
    ],
)
def test_changes(operation: str, arguments: str, kind: OperationClass, named: list[Target]) -> None:
    call = only(said(operation, arguments))
    assert isinstance(call, Call)
    assert (call.api, call.operation, call.operation_class) == ("sso-admin", operation, kind)
    assert [each for each in (call.target, *call.related) if each.name] == named
    assert (call.token, call.user, call.outcome) == (hasher("sso-admin:52sso"), "", Outcome.SUCCESS)


ADMINISTRATION = {
    C: """AddCertificate AddExternalDomain AddGroupToLocalGroup AddGroupsToLocalGroup
    CreateLocalGroup""",
    D: "DeleteCertificate DeleteDomain RemoveFromLocalGroup RevokeWSTrustRole",
    U: """DisableUserAccount EnableUserAccount ResetLocalUserPassword SetClockTolerance
    SetDelegationCount SetNewSignerIdentity SetMaximumBearerTokenLifetime SetDefaultDomains
    UpdateExternalDomainAuthnType UpdateLocalGroupDetails UpdateLockoutPolicy UpdateLdapAuthnType
    UpdateSelfLocalPersonUserDetails UpdateSmtpConfiguration Set""",
    None: """Find FindUser FindLockedUsers GetDomains HasAdministratorRole IsMemberOfGroup List
    ProbeConnectivity SendMail SsoAdminServiceInstance RetrieveServiceContent Settle""",
}


@pytest.mark.parametrize(
    ("operation", "kind"),
    [(name, kind) for kind, names in ADMINISTRATION.items() for name in names.split()],
)
def test_classes(operation: str, kind: OperationClass | None) -> None:
    assert operation_class(operation) is kind
    assert len(said(operation)) == (kind is not None)


def test_a_session_from_login_to_logout() -> None:
    set_cookie = "Set-Cookie: vmware_soap_session=new; Path=/"
    login = only(said("Login", header=f"<Security>{ASSERTION}</Security>", cookie="",
                      response_head=set_cookie))  # fmt: skip
    assert isinstance(login, Login)
    assert (login.user, login.method, login.token) == ("root@vsphere.local", LoginMethod.SAML, "")
    assert (login.delegates, login.new_tokens) == (
        ("vsphere-webclient",),
        (hasher("sso-admin:new"),),
    )
    assert login.assertion == hasher("_1 ")
    refused = only(said("Login", cookie="", fault="SsoFaultInvalidCredentials",
                        response_head=set_cookie))  # fmt: skip
    assert isinstance(refused, Login)
    assert (refused.outcome, refused.fault) == (Outcome.FAILURE, "InvalidCredentials")
    assert refused.new_tokens == ()
    logout = only(said("Logout", cookie="new"))
    assert isinstance(logout, Logout) and logout.token == hasher("sso-admin:new")


def test_refused() -> None:
    call = only(said("DeleteDomain", "<name>x</name>", fault="SsoFaultNoPermission"))
    assert (call.outcome, call.fault, call.target.name) == (Outcome.FAILURE, "NoPermission", "x")
    call, expired = said("DeleteDomain", "<name>x</name>", fault="SsoFaultNotAuthenticated")
    assert isinstance(call, Call) and isinstance(expired, SessionExpired)


def test_the_lookup_service_is_told_who_asks_with_each_request() -> None:
    header = f"<Security>{ASSERTION}</Security>"
    call = only(
        said(
            "Set", "<serviceId>s-1</serviceId>", path="/lookupservice/sdk", header=header, cookie=""
        )
    )
    assert (call.api, call.operation, call.user) == ("lookup", "Set", "root@vsphere.local")
    assert call.target == Target("ServiceRegistration", name="s-1")


def test_claims() -> None:
    assert not sso.claims(rest("POST", "/sdk"))
    assert not sso.claims(rest("GET", PATH))

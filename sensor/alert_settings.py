"""The section [alerts]: each alert by its reason, true or false, and what some of them go by."""

from dataclasses import dataclass

from sensor.setting import setting


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """A field of type bool is named as the reason in the alert's record."""

    key_conflict: bool = setting(True, "keys that contradict each other: how a replayed id looks")
    request_id_reused: bool = setting(
        True, "a request's id, sent on by who is not the service that made it"
    )
    token_after_logout: bool = setting(True, "a session that is over is used on")
    session_from_two_addresses: bool = setting(True, "a session's token is used by another client")
    background_operation_id: bool = setting(True, "a client poses as a service's own work")
    ticket_reused: bool = setting(True, "a ticket for one use is shown again")
    password_guessing: bool = setting(True, "a series of refused logins from one client")
    guessing_failures: int = setting(
        5, "refused logins at one service; people mistype twice or thrice", low=2, high=10_000
    )
    guessing_window_s: int = setting(60, "within which they come", low=1, high=86_400)
    password_guessed: bool = setting(True, "a login that succeeded after such a series")
    scanner: bool = setting(True, "a client says that it is nmap")
    vpxuser_elsewhere: bool = setting(
        True, "vCenter's account on a host, used from an address that is no vCenter"
    )
    service_account_elsewhere: bool = setting(
        True, "an account of a [[service]], used from an address that is not the service's"
    )
    direct_host_login: bool = setting(
        True, "root or vpxuser logged in to a host past vCenter, once one is known"
    )
    guest_operation: bool = setting(True, "where guest_operations_denied says that there be none")
    guest_operations_denied: tuple[str, ...] = setting(
        (), "empty: nowhere; names or ids of machines, addresses of hosts, or all"
    )
    guest_credentials_unencrypted: bool = setting(
        True, "a guest's account and password cross the network in clear"
    )
    unusual_disk_access: bool = setting(True, "a disk opened through NFC by who never did before")
    disk_accounts: tuple[str, ...] = setting(
        (), "empty: who opens disks is learned; else these may, and nobody else"
    )
    disk_learning_s: int = setting(
        86_400, "from the start: a nightly backup shows itself in a day", low=0, high=31_536_000
    )
    new_host: bool = setting(
        True, "a heartbeat from a host not heard of in the first minute of heartbeats"
    )
    host_build_changed: bool = setting(True, "a host that was updated, or replaced by another")
    host_vcenter_changed: bool = setting(True, "a host that tells another vCenter that it lives")

"""A [[service]] of the configuration: what the site knows of one of its services."""

import ipaddress
import re
from dataclasses import dataclass

from sensor.setting import setting

# With a dot, so that a misspelt address is no name, and in the case that TLS names are compared in.
_HOST_NAME = re.compile(r"(?=.*[a-z])[a-z0-9_-]+(\.[a-z0-9_-]+)+")


def check_id(service: str) -> str:
    """As in a chain."""
    if not re.fullmatch("[A-Z]{2,3}", service):
        return f"{service!r} is no service: two or three capitals"
    return ""


def check_place(text: str) -> str:
    if is_network(text) or _HOST_NAME.fullmatch(text):
        return ""
    if "/" in text:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            return str(error)
    return f"{text!r} is no address, network or host name in lower case, as vc.example.org"


def is_network(text: str) -> bool:
    """An address is a network of one."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    id: str = setting(
        "",
        "needed; two or three capitals, one that `hoptap check` lists or the site's own",
        check=check_id,
    )
    addresses: tuple[str, ...] = setting(
        (),
        "empty: learned; addresses, networks, and host names, which are known by the SNI of TLS; "
        "of networks that hold an address the smallest counts",
        check=check_place,
    )
    ports: tuple[int, ...] = setting(
        (), "empty: every port; else those where it answers", low=1, high=65535
    )
    accounts: tuple[str, ...] = setting(
        (),
        "empty: those that its product sets, as vpxuser; accounts under which it acts on services "
        "below, as vCloudService: what they do is nobody's own doing, also when who asked is not "
        "seen, and used from another address than these it raises service_account_elsewhere, and "
        "whoever does so is not taken for a cell",
    )

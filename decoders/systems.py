"""The systems that hoptap knows: the services a chain is made of.

What is said of a system anywhere else comes from here: which api tells it, which accounts it uses
on the systems below, what `hoptap check` prints. A site may name services of its own.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class System:
    """`apis` are those of its messages; one that `tells` is spoken by this system alone."""

    id: str  # two or three capitals, as in a chain
    product: str
    ports: tuple[str, ...]  # where it usually answers: "tcp/443"
    recognised: str  # what shows it in traffic
    decoders: tuple[str, ...] = ()
    apis: tuple[str, ...] = ()
    tells: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()  # under which it acts on systems below, set by the product


_TABLE = (
    System(
        "PXY",
        "forward proxy",
        ("tcp/3128", "tcp/8080"),
        "Proxy-Authorization, CONNECT",
        ("forwardproxy",),
    ),
    System(
        "STS",
        "vCenter Single Sign-On",
        ("tcp/443",),
        "WS-Trust at /sts/STSService; /sso-adminserver, /lookupservice",
        ("sts", "sso-admin"),
        apis=("sts", "sso-admin", "lookup"),
    ),
    System(
        "KEY",
        "OpenStack (Keystone's accounts)",
        ("tcp/5000", "tcp/8774", "tcp/8776", "tcp/9292", "tcp/9696"),
        "/v3/auth/tokens, X-Auth-Token",
        ("openstack",),
        apis=("openstack",),
        tells=("openstack",),
    ),
    System(
        "VRA",
        "Aria Automation, vRealize Automation",
        ("tcp/443",),
        "/csp/gateway, /iaas/api",
        ("aria",),
        apis=("aria",),
        tells=("aria",),
    ),
    System(
        "VCD",
        "VMware Cloud Director",
        ("tcp/443",),
        "/api/sessions, /cloudapi, x-vcloud-authorization",
        ("vcloud",),
        apis=("vcloud",),
        tells=("vcloud",),
    ),
    System(
        "VC",
        "VMware vCenter",
        ("tcp/443", "tcp/80"),
        "/sdk with apiType VirtualCenter, /rest/com/vmware, /api/session",
        ("vim25", "vsphere-rest"),
        apis=("vim25", "vsphere-rest"),
        tells=("vsphere-rest",),
        accounts=("vpxuser",),
    ),
    System(
        "ESX",
        "VMware ESXi",
        ("tcp/443", "tcp/902", "udp/902"),
        "/sdk with apiType HostAgent, authd on 902, heartbeats",
        ("vim25", "authd", "vix", "heartbeat"),
        apis=("vim25", "authd", "nfc", "vix"),
    ),
    System(
        "GST",
        "guest of a virtual machine",
        (),
        "credentials of a guest operation, in vim25 or VIX",
        ("vim25", "vix"),
    ),
    System(
        "PVE",
        "Proxmox VE",
        ("tcp/8006",),
        "/api2/json, PVEAuthCookie, PVEAPIToken",
        ("proxmox",),
        apis=("proxmox",),
        tells=("proxmox",),
    ),
    System(
        "OVT",
        "oVirt, Red Hat Virtualization",
        ("tcp/443",),
        "/ovirt-engine",
        ("ovirt",),
        apis=("ovirt",),
        tells=("ovirt",),
    ),
    System(
        "XEN",
        "XenServer, XCP-ng",
        ("tcp/443", "tcp/80"),
        "XML-RPC or JSON-RPC session.login_with_password",
        ("xapi",),
        apis=("xapi",),
        tells=("xapi",),
    ),
    System(
        "NTX",
        "Nutanix Prism",
        ("tcp/9440",),
        "/PrismGateway, /api/nutanix",
        ("prism",),
        apis=("prism",),
        tells=("prism",),
    ),
    System(
        "HYV",
        "Hyper-V over WinRM",
        ("tcp/5985", "tcp/5986"),
        "/wsman",
        ("winrm",),
        apis=("winrm",),
        tells=("winrm",),
    ),
    System(
        "KVM",
        "libvirt",
        ("tcp/16509", "tcp/16514"),
        "program 0x20008086 of its RPC",
        ("libvirt",),
        apis=("libvirt",),
        tells=("libvirt",),
    ),
)

SYSTEMS = {system.id: system for system in _TABLE}
# The service of a message's api, where the api alone tells.
SERVICE_OF_API = {api: system.id for system in _TABLE for api in system.tells}
# Accounts that act for others wherever they are met.
PRODUCT_ACCOUNTS = frozenset(account for system in _TABLE for account in system.accounts)

"""Which decoder reads what."""

from functools import partial

from decoders.aria import Aria
from decoders.authd import Authd
from decoders.decoder import (
    DatagramDecoder,
    StreamDecoder,
    StreamDecoderFactory,
    TransactionDecoder,
)
from decoders.heartbeat import Heartbeat
from decoders.libvirt import Libvirt
from decoders.message import (
    Framing,
    Hasher,
    Target,
)
from decoders.openstack import OpenStack
from decoders.ovirt import Ovirt
from decoders.prism import Prism
from decoders.proxmox import Proxmox
from decoders.ssoadmin import SsoAdmin
from decoders.sts import Sts
from decoders.vcloud import Vcloud
from decoders.vim25 import Vim25
from decoders.vix import VixDecoder
from decoders.vsphere_rest import VsphereRest
from decoders.winrm import WinRm
from decoders.xapi import Xapi


def transaction_decoders(hasher: Hasher) -> list[TransactionDecoder]:
    """In the order of asking; the first to claim a transaction reads it.

    Who knows its paths by their beginning comes before who shares `/api`, OpenStack's versions may
    stand anywhere, and XenAPI answers at `/`.
    """
    return [
        Sts(hasher),
        SsoAdmin(hasher),
        Vim25(hasher),
        Proxmox(hasher),
        Ovirt(hasher),
        Prism(hasher),
        Aria(hasher),
        WinRm(hasher),
        VsphereRest(hasher),
        Vcloud(hasher),
        OpenStack(hasher),
        Xapi(hasher),
    ]


def stream_decoders(hasher: Hasher) -> dict[int, StreamDecoderFactory]:
    """By the framing that a flow begins with: where its beginning was missed, any may be first."""

    def vix(session: str, machine: Target) -> StreamDecoder:
        decoder = VixDecoder(hasher, session)
        decoder.opened(machine)
        return decoder

    def authd(session: str) -> StreamDecoder:
        return Authd(hasher, session, partial(vix, session))

    by_framing: dict[int, StreamDecoderFactory] = dict.fromkeys(Framing, authd)
    return by_framing | {Framing.LIBVIRT: partial(Libvirt, hasher)}


def datagram_decoders(heartbeat_port: int) -> dict[int, DatagramDecoder]:
    """By UDP port of the server."""
    return {heartbeat_port: Heartbeat()}


STREAM_DECODERS = (Authd.name, Libvirt.name, VixDecoder.name)

"""The decoders of framed transactions, in the order of asking; the first to claim one reads it."""

from decoders.message import Hasher, TransactionDecoder
from decoders.vcloud import Vcloud
from decoders.vim25 import Vim25
from decoders.vsphere_rest import VsphereRest


def transaction_decoders(hasher: Hasher) -> list[TransactionDecoder]:
    return [Vim25(hasher), VsphereRest(hasher), Vcloud(hasher)]

"""The levels of a path that a request shows by itself: a proxy's account, delegates, impersonators.

They stand above the account that the request goes under, and below whatever caused the request.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from sensor.correlate.actions import Fact, Pairs, ProxyAccount
from sensor.records import Chain, Evidence, Record, path_of
from sensor.sessions import Session

PROXY, PROXY_API = "PXY", "http-proxy"
SSO = "STS"
PROVIDER = "system"  # Cloud Director's organisation of those who run it


@lru_cache(maxsize=4096)  # shared by all that it does
def account_pairs(service: str, user: str) -> Pairs:
    return ((service, user),)


def proxy_pairs(proxy: ProxyAccount) -> Pairs:
    """An account at a forward proxy stands above the one that went through it."""
    return ((PROXY, proxy.user),) if proxy.user else ()


def proxy_facts(proxy: ProxyAccount) -> tuple[Fact, ...]:
    return (Fact("proxy_account", proxy.user, "proved"),) if proxy.user else ()


def actor_pairs(service: str, session: Session | None) -> Pairs:
    """Those who act as the session's user: by delegation, by impersonation, first to last."""
    if session is None or not (session.actors or session.delegation):
        return ()
    delegates = tuple((SSO, user) for user in session.delegation)
    return (*delegates, *((service, user) for user, _ in session.actors))


def tenant_pairs(service: str, user: str, tenant: str) -> Pairs:
    """A provider's account of Cloud Director that acts inside a tenant: below its own level."""
    if not tenant or tenant.casefold() == PROVIDER:
        return ()
    if not user.casefold().endswith(f"@{PROVIDER}"):
        return ()
    return ((service, f"{user}@{tenant}"),)


def under_proxy(record: Record, proxy: ProxyAccount) -> Record:
    """A record whose other leg shows an account at the proxy: that goes to the top."""
    chain, hop = record.chain, record.hop
    if not proxy.user or chain is None or hop is None or chain.services[:1] == (PROXY,):
        return record
    return replace(
        record,
        chain=Chain(
            chain.id,
            f"{path_of(proxy_pairs(proxy))}:{chain.path}",
            (proxy.user, *chain.users),
            (PROXY, *chain.services),
            chain.depth + 1,
        ),
        hop=replace(
            hop,
            index=hop.index + 1,
            count=hop.count + 1,
            cause="explicit",
            parent_id=hop.parent_id or proxy.login_id,
            evidence=hop.evidence + evidence_of(proxy_facts(proxy)),
        ),
    )


def chain_of(identity: str, pairs: Pairs) -> Chain:
    return Chain(identity, *_written(pairs))


@lru_cache(maxsize=16384)  # people come back
def _written(pairs: Pairs) -> tuple[str, tuple[str, ...], tuple[str, ...], int]:
    users = tuple(user for _, user in pairs if user)
    services = tuple(service for service, _ in pairs if service)
    return path_of(pairs), users, services, len(pairs)


def evidence_of(facts: Iterable[Fact]) -> tuple[Evidence, ...]:
    return tuple([Evidence(*fact) for fact in facts])

"""TLS without keys: that services talked is told once for each flow, and nobody is named."""

from sensor.analysis import Analysis
from sensor.flows import Flow
from sensor.records import Record
from sensor.sealed import WAIT_NS
from sensor.service_settings import ServiceSettings
from sensor.site import Site
from sensor.tls import TlsSeen, TlsTrouble, tls_of
from tests.sensor.talk import BOB, PROXY, START_NS, VC, VCD, flow_of

SERVICES = (ServiceSettings("VCD", (VCD,)), ServiceSettings("VC", (VC,)))
SITE = Site(SERVICES)
SECOND = 10**9
NOTHING: tuple[list[Record], dict[str, int]] = ([], {"recorded": 0, "unrecorded": 0})


def seen_of(**changed: object) -> TlsSeen:
    """A session of which the hellos were seen."""
    fields: dict[str, object] = {
        **{name: kind() for name, kind in TlsSeen.__annotations__.items()},
        "session": 1,
        "version": 0x0304,
        "cipher": 0x1301,
        "cipher_name": "TLS_AES_128_GCM_SHA256",
        "trouble": TlsTrouble.NO_KEY,
        "random_hash": "0123456789abcdef",
        **changed,
    }
    return TlsSeen(**fields)  # type: ignore[arg-type]


DECRYPTED = seen_of(visibility=1, trouble=0, key_source=1)


def told(flow: Flow, *seen: TlsSeen, site: Site = SITE) -> tuple[list[Record], dict[str, int]]:
    """What is told of a flow by its end."""
    analysis = Analysis(site=site)
    for each in seen:
        analysis.tls(flow, each, START_NS)
    records = analysis.flow_end(flow, START_NS + SECOND)
    assert analysis.finish() == []
    return records, analysis.sealed_flows()


def test_two_services_talked() -> None:
    [record], counted = told(flow_of(VCD, VC), seen_of(sni="vc.lab", ja4="t13", subject="CN=vc"))
    assert counted == {"recorded": 1, "unrecorded": 0}
    assert (record.kind, record.visibility) == ("chain", "metadata")
    assert record.chain is not None and record.hop is not None and record.tls is not None
    assert record.chain.path == "VCD:?:VC:?"
    assert record.chain.users == () and record.chain.services == ("VCD", "VC")
    assert (record.hop.cause, record.hop.confidence, record.hop.user) == ("none", 0.0, "")
    assert (record.hop.index, record.hop.count) == (1, 2)
    assert (record.source.service, record.to.service) == ("VCD", "VC")
    assert record.source.user == record.to.user == ""
    assert record.op is None and record.amends == "" and record.ts == START_NS
    assert record.tls.reason == "no_key" and record.tls.sni == "vc.lab"


def test_a_person_and_a_service() -> None:
    [record], _ = told(flow_of(BOB, VC), seen_of())
    assert record.chain is not None and record.chain.path == "VC:?"
    assert record.source.service == "" and record.source.ip == BOB


def test_a_service_and_somebody() -> None:
    [record], _ = told(flow_of(VCD, "10.0.9.9"), seen_of())
    assert record.chain is not None and record.chain.path == "VCD:?:?:?"


def test_a_configured_name_tells_the_service_by_the_clients_word() -> None:
    site = Site([*SERVICES, ServiceSettings("VC", ("vc.example.org",))])
    for sni, count in (("vc.example.org", 1), ("VC.Example.org.", 1), ("other.example.org", 0)):
        records, counted = told(flow_of(BOB, "10.0.9.9"), seen_of(sni=sni), site=site)
        assert counted == {"recorded": count, "unrecorded": 1 - count}
        for record in records:
            assert record.chain is not None and record.chain.path == "VC:?"
            assert record.hop is not None
            assert [(fact.key, fact.grade) for fact in record.hop.evidence] == [("sni", "claimed")]


def test_between_strangers_it_is_counted_only() -> None:
    assert told(flow_of(BOB, "10.0.9.9"), seen_of()) == ([], {"recorded": 0, "unrecorded": 1})


def test_what_was_decrypted_is_not_told_so() -> None:
    assert told(flow_of(VCD, VC), seen_of(), DECRYPTED) == NOTHING
    assert told(flow_of(VCD, VC), DECRYPTED, seen_of(session=2)) == NOTHING
    assert told(flow_of(VCD, VC)) == NOTHING


def test_a_server_that_did_not_answer_is_not_told() -> None:
    assert told(flow_of(VCD, VC), seen_of(version=0, trouble=TlsTrouble.NO_KEY)) == NOTHING
    joined_late = seen_of(version=0, cipher=0, cipher_name="", trouble=TlsTrouble.UNSEEN)
    [record], _ = told(flow_of(VCD, VC), joined_late)
    assert record.tls is not None and record.tls.reason == "unseen"
    assert record.tls.version == record.tls.cipher == ""


def test_a_connection_that_stays_is_told_once_after_a_minute() -> None:
    analysis = Analysis(site=SITE)
    flow = flow_of(VCD, VC)
    analysis.tls(flow, seen_of(), START_NS)
    analysis.tls(flow, seen_of(alpn="h2"), START_NS + SECOND)
    assert analysis.advance(START_NS + WAIT_NS - 1) == []
    [record] = analysis.advance(START_NS + WAIT_NS)
    assert record.ts == START_NS
    assert record.tls is not None and record.tls.alpn == "h2"
    analysis.tls(flow, seen_of(session=2), START_NS + WAIT_NS + SECOND)
    assert analysis.advance(START_NS + 3 * WAIT_NS) == []
    assert analysis.flow_end(flow, START_NS + 3 * WAIT_NS) == analysis.finish() == []


def test_at_the_end_of_the_capture_nothing_is_left_untold() -> None:
    analysis = Analysis(site=SITE)
    analysis.tls(flow_of(VCD, VC), seen_of(), START_NS)
    assert len(analysis.finish()) == 1


def test_the_legs_of_a_proxy_are_one() -> None:
    analysis = Analysis(site=SITE)
    front, back = flow_of(VCD, PROXY), flow_of(PROXY, VC)
    for flow in (back, front):
        analysis.tls(flow, seen_of(), START_NS)
    records = analysis.flow_end(front, START_NS) + analysis.flow_end(back, START_NS)
    [record] = records
    assert record.chain is not None and record.chain.path == "VCD:?:VC:?"
    assert (record.source.ip, record.to.ip) == (VCD, VC)
    assert record.hop is not None
    assert [fact.key for fact in record.hop.evidence] == ["server_address", "leg"]


def test_what_records_show_of_a_session() -> None:
    tls = tls_of(seen_of(version=0x0302, cipher=0xFFFE, cipher_name="", resumed=True, trouble=2))
    assert (tls.version, tls.cipher, tls.resumed, tls.reason) == (
        "TLS 1.1",
        "0xfffe",
        True,
        "late_key",
    )
    assert tls_of(seen_of(version=0x7F1C)).version == "0x7f1c"
    assert [tls_of(seen_of(key_source=source)).key_source for source in range(5)] == [
        "",
        "keylog",
        "dsb",
        "rsa",
        "ticket",
    ]
    assert tls_of(DECRYPTED).reason == ""

"""What was said on the flows of a capture, for whoever says it again."""

from dataclasses import dataclass

from tests import reference


@dataclass(frozen=True)
class Said:
    """A stretch of a stream as it became deliverable."""

    time_ns: int
    flow: int  # number of the flow
    to_server: bool
    data: bytes


def said(pcap_path: str) -> tuple[list[reference.FlowTuple], list[Said]]:
    """The flows of a capture without loss, and what was said on them, in order of time."""
    flows = reference.flows_of(pcap_path)
    stretches: list[Said] = []
    for number, flow in enumerate(flows):
        for to_server, stream in ((True, flow.to_server), (False, flow.to_client)):
            stream.assemble()
            at = 0
            for end, time_ns in stream.arrivals:
                stretches.append(Said(time_ns, number, to_server, stream.data[at:end]))
                at = end
    stretches.sort(key=lambda each: each.time_ns)
    return [flow.as_tuple() for flow in flows], stretches

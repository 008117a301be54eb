"""Writes the Grafana dashboard hoptap.json, on standard output.

Panels are rows of a table here, so that a metric that changes is found in one place.
"""

import sys
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import StackingConfig, VizLegendOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableHide,
    VariableRefresh,
)

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
SELECTED = 'job=~"$job",instance=~"$instance"'
WIDTH, HEIGHT = 8, 8  # of 24 columns: three panels side by side


@dataclass(frozen=True, slots=True)
class Query:
    expression: str
    legend: str = ""
    has_exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    unit: str
    description: str
    queries: tuple[Query, ...]
    is_number: bool = False
    is_stacked: bool = False


def rate(name: str, by: str = "", labels: str = "") -> str:
    selected = f"{SELECTED},{labels}" if labels else SELECTED
    grouped = ", ".join(filter(None, ("instance", by)))
    return f"sum by ({grouped}) (rate({name}{{{selected}}}[$__rate_interval]))"


def quantile(share: float, name: str) -> str:
    buckets = f"rate({name}_bucket{{{SELECTED}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le) ({buckets}))"


def total(name: str, labels: str = "") -> str:
    selected = f"{SELECTED},{labels}" if labels else SELECTED
    return f"sum(increase({name}{{{selected}}}[$__range]))"


def now(name: str) -> str:
    return f"{name}{{{SELECTED}}}"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Who did it": (
        Panel(
            "Actions", "short", "In the time shown.",
            (Query(total("hoptap_hops_total")),), is_number=True,
        ),
        Panel(
            "Unattributed", "short", "Actions of which nobody was seen at the head of the chain.",
            (Query(total("hoptap_hops_total", 'result="unattributed"')),), is_number=True,
        ),
        Panel(
            "Failed logins", "short", "In the time shown.",
            (Query(total("hoptap_logins_total", 'result="failure"')),), is_number=True,
        ),
        Panel(
            "Actions by attribution", "ops", "A dot is the record behind a count.",
            (Query(rate("hoptap_hops_total", "result"), "{{instance}} {{result}}", True),),
            is_stacked=True,
        ),
        Panel(
            "Actions by class", "ops", "Failed ones are counted too.",
            (Query(rate("hoptap_actions_total", "class"), "{{instance}} {{class}}", True),),
            is_stacked=True,
        ),
        Panel(
            "Logins by service and result", "ops", "A dot is the record behind a count.",
            (
                Query(
                    f"{rate('hoptap_logins_total', 'service, result')} > 0",
                    "{{instance}} {{service}} {{result}}", True,
                ),
            ),
        ),
        Panel(
            "From an action to its record", "s", "Packet time; some two seconds are meant to be.",
            (
                Query(quantile(0.5, "hoptap_correlation_delay_seconds"), "half", True),
                Query(quantile(0.99, "hoptap_correlation_delay_seconds"), "99 of 100", True),
            ),
        ),
        Panel(
            "Amended since", "ops", "What is known of the head of a chain after its record.",
            (Query(rate("hoptap_amendments_total", "result"), "{{instance}} {{result}}"),),
        ),
        Panel(
            "Records", "ops", "By kind.",
            (Query(rate("hoptap_records_total", "kind"), "{{instance}} {{kind}}"),),
            is_stacked=True,
        ),
    ),
    "What the sensor sees": (
        Panel(
            "Packets", "pps", "Delivered by each interface.",
            (
                Query(
                    rate("hoptap_capture_packets_total", "interface"), "{{instance}} {{interface}}"
                ),
            ),
        ),
        Panel(
            "Bytes", "Bps", "Taken into the core.",
            (Query(rate("hoptap_packet_bytes_total"), "{{instance}}"),),
        ),
        Panel(
            "Since the last packet", "s", "Of each interface.",
            (
                Query(
                    f"time() - {now('hoptap_capture_last_packet_timestamp_seconds')}",
                    "{{instance}} {{interface}}",
                ),
            ),
        ),
        Panel(
            "Dropped by the kernel", "percentunit", "Of the packets; the ring was full.",
            (
                Query(
                    f"{rate('hoptap_capture_packets_dropped_total', 'interface')}"
                    f" / ({rate('hoptap_capture_packets_total', 'interface')} > 0)",
                    "{{instance}} {{interface}}",
                ),
            ),
        ),
        Panel(
            "Not seen at all", "percentunit", "Bytes known missing in streams: lost on the way.",
            (
                Query(
                    f"{rate('hoptap_tcp_gap_bytes_total')}"
                    f" / ({rate('hoptap_packet_bytes_total')} > 0)",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "Behind the clock", "s", "How late what is analysed is.",
            (Query(now("hoptap_capture_lag_seconds"), "{{instance}}"),),
        ),
        Panel(
            "TLS sessions", "ops", "Ended, by what became of them.",
            (Query(rate("hoptap_tls_sessions_total", "result"), "{{instance}} {{result}}"),),
            is_stacked=True,
        ),
        Panel(
            "Wait for a key", "s", "Packet time.",
            (
                Query(quantile(0.5, "hoptap_tls_key_wait_seconds"), "half"),
                Query(quantile(0.99, "hoptap_tls_key_wait_seconds"), "99 of 100"),
            ),
        ),
        Panel(
            "HTTP transactions", "reqps", "By method.",
            (Query(rate("hoptap_operations_total", "method"), "{{instance}} {{method}}"),),
            is_stacked=True,
        ),
        Panel(
            "Flows", "short", "Open now.", (Query(now("hoptap_flows_active"), "{{instance}}"),)
        ),
        Panel(
            "Out of tunnels", "pps", "Packets by the innermost tunnel.",
            (Query(rate("hoptap_decap_packets_total", "tunnel"), "{{instance}} {{tunnel}}"),),
        ),
        Panel(
            "Errors of decoding", "ops", "Peers that broke their protocol, and defects contained.",
            (
                Query(
                    f"{rate('hoptap_decode_errors_total', 'decoder')} > 0",
                    "{{instance}} {{decoder}} peer",
                ),
                Query(
                    f"{rate('hoptap_contained_errors_total', 'decoder')} > 0",
                    "{{instance}} {{decoder}} defect",
                ),
            ),
        ),
    ),
    "Where it goes": (
        Panel(
            "Records by output and result", "ops", "Written, retried, refused, shed, lost.",
            (
                Query(
                    f"{rate('hoptap_export_records_total', 'output, result')} > 0",
                    "{{instance}} {{output}} {{result}}",
                ),
            ),
        ),
        Panel(
            "Since the last acknowledgement", "s", "Of each receiver that gave one.",
            (
                Query(
                    f"time() - ({now('hoptap_export_last_ack_timestamp_seconds')} > 0)",
                    "{{instance}} {{output}}",
                ),
            ),
        ),
        Panel(
            "Spools", "percentunit", "Of their limit; full ones lose their oldest records.",
            (
                Query(
                    f"{now('hoptap_export_spool_bytes')}"
                    f" / ({now('hoptap_export_spool_limit_bytes')} > 0)",
                    "{{instance}} {{output}}",
                ),
            ),
        ),
        Panel(
            "Queues", "percentunit", "Of their limit; full ones shed.",
            (
                Query(
                    f"{now('hoptap_export_queue_records')}"
                    f" / {now('hoptap_export_queue_limit_records')}",
                    "{{instance}} {{output}}",
                ),
            ),
        ),
        Panel(
            "Evidence log", "short", "Number of its last line, and of its last checkpoint.",
            (
                Query(now("hoptap_evidence_chain_sequence"), "{{instance}} line"),
                Query(now("hoptap_evidence_checkpoint_sequence"), "{{instance}} checkpoint"),
            ),
        ),
        Panel(
            "Memory for traffic", "percentunit", "Of limits.memory_bytes_max, all workers.",
            (
                Query(
                    f"{now('hoptap_memory_bytes')} / {now('hoptap_memory_limit_bytes')}",
                    "{{instance}}",
                ),
            ),
        ),
    ),
}  # fmt: skip


def build() -> dashboard.Dashboard:
    made = (
        dashboard.Dashboard("hoptap")
        .uid("hoptap")
        .description("Who really did that, what the sensor sees, and where its records go.")
        .tags(["hoptap", "security"])
        .time("now-6h", "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(_label("job", "hoptap_build_info"))
        .with_variable(_label("instance", 'hoptap_build_info{job=~"$job"}'))
    )
    number = 0
    for title, panels in ROWS.items():
        number += 1
        made = made.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            number += 1
            made = made.with_panel(_panel(panel, number))
    return made


def _label(name: str, metric: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({metric}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .hide(VariableHide.DONT_HIDE)
        .multi(True)
        .include_all(True)
        .current({"text": "All", "value": "$__all"})  # type: ignore[arg-type]
    )


def _panel(panel: Panel, number: int) -> stat.Panel | timeseries.Panel:
    if panel.is_number:
        made: stat.Panel | timeseries.Panel = stat.Panel().span(WIDTH).height(HEIGHT // 2)
    else:
        made = _lines(panel).span(WIDTH).height(HEIGHT)
    made = made.id(number).title(panel.title).description(panel.description)
    made = made.unit(panel.unit).datasource(SOURCE)
    for letter, query in zip("ABC", panel.queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(query.expression)
        target = target.legend_format(query.legend).datasource(SOURCE)
        if query.has_exemplars:
            target = target.exemplar(True)
        made = made.with_target(target.instant() if panel.is_number else target.range())
    return made


def _lines(panel: Panel) -> timeseries.Panel:
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True)
    made = timeseries.Panel().legend(legend.placement(LegendPlacement.BOTTOM)).min(0)
    made = made.draw_style(GraphDrawStyle.LINE).line_width(1)
    if panel.is_stacked:
        made = made.fill_opacity(30).stacking(StackingConfig().mode(StackingMode.NORMAL))
    return made


if __name__ == "__main__":
    sys.stdout.write(JSONEncoder(sort_keys=True, indent=2).encode(build().build()) + "\n")

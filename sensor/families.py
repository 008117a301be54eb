"""What is counted as families of Prometheus.

prometheus_client is imported where it is used: it costs a tenth of a second that a replay saves.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sensor.counted import EXEMPLAR_LABEL, Counted, Example, Observed, Row

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Exemplar


def counter(
    name: str,
    help_text: str,
    labels: tuple[str, ...],
    rows: Iterable[tuple[Row, float]],
    examples: Mapping[Row, Example] | None = None,
) -> "Metric":
    from prometheus_client.metrics_core import CounterMetricFamily

    family = CounterMetricFamily(name, help_text, labels=labels)
    for values, total in rows:
        example = examples.get(values) if examples else None
        # As add_metric, which takes exemplars from 0.22 on only.
        own = dict(zip(labels, values, strict=True))
        family.add_sample(f"{family.name}_total", own, total, exemplar=_exemplar(example))
    return family


def counted(each: Counted) -> "Metric":
    return counter(each.name, each.help_text, each.labels, each.rows(), each.examples())


def gauges(
    name: str, help_text: str, labels: tuple[str, ...], rows: Iterable[tuple[Row, float]]
) -> "Metric":
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(name, help_text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def gauge(name: str, help_text: str, value: float, **labels: str) -> "Metric":
    return gauges(name, help_text, tuple(labels), [(tuple(labels.values()), value)])


def histogram(
    name: str,
    help_text: str,
    bounds_s: Sequence[float],
    counts: Sequence[int],
    sum_s: float,
    examples: Sequence[Example | None] = (),
) -> "Metric":
    """`counts` and `examples` are of each bound, then of what is above all; not cumulative."""
    from prometheus_client.metrics_core import HistogramMetricFamily
    from prometheus_client.samples import Exemplar

    total, buckets = 0, []
    texts = [*(str(float(bound)) for bound in bounds_s), "+Inf"]
    for at, (text, count) in enumerate(zip(texts, counts, strict=True)):
        total += count
        exemplar = _exemplar(examples[at]) if examples else None
        buckets.append((text, total) if exemplar is None else (text, total, exemplar))
    family = HistogramMetricFamily(name, help_text)
    rows: Sequence[tuple[str, float] | tuple[str, float, Exemplar]] = buckets
    family.add_metric([], rows, sum_s)
    return family


def observed(each: Observed) -> "Metric":
    counts, examples, sum_s = each.buckets()
    return histogram(each.name, each.help_text, each.bounds_s, counts, sum_s, examples)


def _exemplar(example: Example | None) -> "Exemplar | None":
    from prometheus_client.samples import Exemplar

    if example is None:
        return None
    return Exemplar({EXEMPLAR_LABEL: example.record_id}, example.value, example.time_s)

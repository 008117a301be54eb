"""All outputs of one run: every record goes to each, through its own outbox."""

from collections.abc import Callable, Sequence

from exporters.outbox import Outbox, ReaderGone, Sink, SinkError, WhenFull
from sensor.exits import OutputError
from sensor.metrics import Metrics
from sensor.records import Record
from sensor.terminal import ReaderLeft


class Outputs:
    def __init__(
        self, metrics: Metrics, when_full: WhenFull, report: Callable[[str], None]
    ) -> None:
        self._metrics = metrics
        self._when_full = when_full
        self._report = report
        self._outboxes: list[Outbox] = []

    def add(self, sink: Sink, records_max: int, *, counts_written: bool = True) -> None:
        outbox = Outbox(
            sink,
            self._metrics.exports,
            records_max=records_max,
            when_full=self._when_full,
            report=self._report,
            counts_written=counts_written,
        )
        self._outboxes.append(outbox)
        outbox.start()

    def deliver(self, records: Sequence[Record]) -> None:
        """Raises SinkError when the outputs of a replay can take no more."""
        self._metrics.told.count(records, self._metrics.reached())
        for outbox in self._outboxes:
            outbox.offer(records)

    def reopen(self) -> None:
        for outbox in self._outboxes:
            outbox.reopen()

    def problem(self) -> str:
        """Why an output takes no records at the moment, or ""."""
        problems = (
            (outbox.sink.name, str(outbox.failed or outbox.problem)) for outbox in self._outboxes
        )
        return "; ".join(f"{name}: {problem}" for name, problem in problems if problem)

    @property
    def reader_gone(self) -> bool:
        return any(isinstance(outbox.failed, ReaderGone) for outbox in self._outboxes)

    def stop(self, drain_s: float) -> None:
        """Write what was accepted, close every sink; a sink that fails is tried for `drain_s`."""
        for outbox in self._outboxes:
            outbox.begin_stop(drain_s)  # all at once: the slowest is waited for, not the sum
        for outbox in self._outboxes:
            outbox.stop(drain_s)

    def raise_failure(self) -> None:
        """After stop. Raises OutputError or ReaderLeft when an output did not take everything."""
        failed = [(outbox, outbox.failed) for outbox in self._outboxes if outbox.failed]
        lines = [
            self._failure_line(outbox.sink.name, failure)
            for outbox, failure in failed
            if not isinstance(failure, ReaderGone)
        ]
        if lines:
            raise OutputError(*lines)
        if failed:
            raise ReaderLeft

    def _failure_line(self, output: str, failure: SinkError) -> str:
        count = self._metrics.exports.records.value
        lost = count(output, "lost") + count(output, "shed")
        return f"{failure}; {lost} records not written" if lost else str(failure)

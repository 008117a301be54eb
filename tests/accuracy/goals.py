"""Figures that are to be reached, by family of files; the published ones beside them."""

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    files: str  # pattern of their whole names
    figure: str  # of the scorer
    goal: float
    at_most: bool = False

    def reached(self, value: float) -> bool:
        return value <= self.goal if self.at_most else value >= self.goal


PUBLIC, SIMULATED = (
    r"(hotel|media|node|nodeio)_.*",
    r"(poisson|bursty|drop|jitter|collide|noopid).*",
)
GOALS = (
    Goal(r"hotel_load(25|50|75|100|125|150)", "e2e", 0.975),
    Goal(r"hotel_load150x2", "e2e", 0.985),
    Goal(r"hotel_load150x4", "e2e", 0.99),
    Goal(r"hotel_load150x8", "e2e", 0.984),
    Goal(r"hotel_load150x16", "e2e", 0.97),
    Goal(r"media_load25", "e2e", 0.967),
    Goal(r"media_load50", "e2e", 0.918),
    Goal(r"media_load75", "e2e", 0.9001),
    Goal(r"media_load100", "e2e", 0.881),
    Goal(r"media_load125", "e2e", 0.848),
    Goal(r"media_load150", "e2e", 0.824),
    Goal(r"node_.*", "e2e", 0.994),
    Goal(r"nodeio_.*", "e2e", 0.99),
    Goal(r"hotel_load(?!150x16).*", "edge", 0.993),
    Goal(r"media_.*", "edge", 0.98),
    Goal(r"poisson_r0\.5", "chain", 0.975),
    Goal(r"poisson_r2", "chain", 0.96),
    Goal(r"poisson_r5", "chain", 0.93),
    Goal(r"poisson_r8", "chain", 0.91),
    Goal(r"bursty_.*", "chain", 0.93),
    Goal(r"drop5_.*", "chain", 0.90),
    Goal(r"jitter_.*", "chain", 0.956),
    Goal(r"noopid_r.*", "chain", 0.94),
    Goal(r"noopid_noinv.*", "chain", 0.75),
    Goal(r"collide_.*", "same_target.cover95", 0.95),
    Goal(r"collide_.*", "set95", 3.0, at_most=True),
    Goal(r"(?!noopid_noinv)" + SIMULATED, "sure_ok", 0.985),
    Goal(r"(?!noopid_noinv)" + SIMULATED, "sure_share", 0.85),
    Goal(PUBLIC + "|" + SIMULATED, "ece", 0.01, at_most=True),
    Goal(SIMULATED, "ece_chain", 0.02, at_most=True),
    Goal(PUBLIC + "|" + SIMULATED, "ece_open", 0.05, at_most=True),
    Goal(PUBLIC + "|" + SIMULATED, "brier", 0.03, at_most=True),
)

# TraceWeaver (SIGCOMM 2024) on the same files, end to end: its own code, which is given the true
# order of calls.
TRACEWEAVER = {
    "hotel_load25": 1.0, "hotel_load50": 0.994, "hotel_load75": 0.996, "hotel_load100": 0.975,
    "hotel_load125": 0.977, "hotel_load150": 0.980, "hotel_load150x2": 0.988,
    "hotel_load150x4": 0.993, "hotel_load150x8": 0.984, "media_load25": 0.967,
    "media_load50": 0.918, "media_load75": 0.9001, "media_load100": 0.881, "media_load125": 0.848,
    "media_load150": 0.824, "node_load25": 0.978, "node_load50": 0.974, "node_load75": 0.980,
    "node_load100": 0.994, "node_load125": 0.973, "node_load150": 0.973, "nodeio_0": 0.960,
    "nodeio_0.2": 0.972, "nodeio_0.4": 0.922,
}  # fmt: skip


def goals_of(file: str) -> list[Goal]:
    return [goal for goal in GOALS if re.fullmatch(goal.files, file)]


def value_of(figures: dict[str, Any], name: str) -> float | None:
    found: Any = figures
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return None if found is None else float(found)

"""How full the correlator's tables are, and what each has shed."""

from sensor.correlate.correlator import Correlator


def gauges(correlator: Correlator) -> dict[str, int]:
    return {
        "actions": len(correlator.actions),
        "actions_pending": correlator.pending,
        "actions_shed": correlator.actions.shed,
        "namesakes_shed": correlator.actions.namesakes_shed,
        "amendments_shed": correlator.amendments_shed,
        "redraws_shed": correlator.redraws_shed,
        "waiting_ids_shed": correlator.orphans.shed,
        "waiting_actions_shed": correlator.orphans.actions_shed,
        "passed_ids_shed": correlator.passed.shed,
        "task_references_shed": correlator.references.shed,
        "habits_shed": correlator.habits.shed,
        "experience_shed": correlator.experience.shed,
    }

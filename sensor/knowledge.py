"""What the sensor has learned of its site, as one thing to keep and to take up again."""

import logging

from sensor.accounts import Accounts
from sensor.correlate.correlator import Correlator
from sensor.correlate.inventory import Inventory
from sensor.learned import News
from sensor.services import Services

log = logging.getLogger(__name__)

EXPERIENCE, HABITS = "experience", "habits"


class Knowledge:
    def __init__(
        self,
        services: Services,
        inventory: Inventory,
        accounts: Accounts,
        correlator: Correlator,
    ) -> None:
        self.services = services
        self.accounts = accounts
        self.correlator = correlator
        self._inventory = inventory

    def news(self) -> News:
        """All that is known; of the inventory what changed since the last time."""
        changed, gone = self._inventory.take_changes()
        return News(
            self.services.learned(),
            self.accounts.learned(),
            changed,
            gone,
            {
                EXPERIENCE: self.correlator.experience.learned(),
                HABITS: self.correlator.habits.learned(),
            },
        )

    def recall(self, news: News) -> None:
        """What an earlier run learned; of lessons that do not fit this version nothing is kept."""
        if news.unread:
            log.warning("history: %d damaged rows of what was learned are left out", news.unread)
        self.services.recall(news.addresses)
        self.accounts.recall(news.accounts)
        self._inventory.recall(news.objects)
        for name, learn in (
            (EXPERIENCE, self.correlator.experience.recall),
            (HABITS, self.correlator.habits.recall),
        ):
            if name not in news.lessons:
                continue
            try:
                learn(news.lessons[name])
            except (KeyError, TypeError, ValueError) as error:
                log.warning("history: what was learned of %s is not taken up: %s", name, error)

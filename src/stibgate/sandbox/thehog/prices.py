"""What a search may cost: the documented model with invented prices.

One discovery charge for each provider page of up to 25 people, and, only when contacts are included, one charge for
each person, field and attempt. Source: The Hog, "Estimate people search".
"""

import math
from dataclasses import dataclass
from decimal import Decimal

from stibgate.sandbox.thehog.bodies import (
    Assumptions,
    Breakdown,
    ContactEnrichment,
    ContactField,
    Estimate,
    PeopleSearch,
)

PAGE_PEOPLE = 25


@dataclass(frozen=True, slots=True)
class Prices:
    """Credits for one of each; the vendor publishes no list, but asks six times as much for a phone as for an e-mail.

    Attributes:
        page: One provider page.
        email: One attempt at the e-mail of one person.
        phone: One attempt at the phone of one person.
        attempts: Most attempts for each field and person.
    """

    page: Decimal = Decimal(5)
    email: Decimal = Decimal(1)
    phone: Decimal = Decimal(6)
    attempts: int = 1


def estimate(asked: PeopleSearch, prices: Prices, *, at_most: Decimal | None, latency: str) -> Estimate:
    """Return what the search may cost at most.

    `maxCredits`, `filters`, `includeSignals` and `confirm` change nothing: no document says what they would do here.

    Args:
        asked: The search.
        prices: What it is charged by.
        at_most: What the plan and the account can pay; None for everything.
        latency: `expectedLatencyRange`.
    """
    people = math.ceil(asked.limit)
    fields: list[ContactField] = asked.contactFields if asked.includeContacts else []
    base = prices.page * math.ceil(people / PAGE_PEOPLE)
    each = {"email": prices.email, "phone": prices.phone}
    contacts = sum((each[field] for field in fields), Decimal(0)) * people * prices.attempts
    return Estimate(
        estimatedCredits=base + contacts,
        likelySyncOrAsync="async",
        withinPlanLimits=at_most is None or base + contacts <= at_most,
        breakdown=Breakdown(
            baseSearchCredits=base,
            contactEnrichment=ContactEnrichment(
                includeContacts=asked.includeContacts,
                fields_=fields,
                maxPeople=people,
                contactAttemptsPerFieldPerPerson=prices.attempts,
                estimatedCredits=contacts,
            ),
        ),
        assumptions=Assumptions(),
        expectedLatencyRange=latency,
    )

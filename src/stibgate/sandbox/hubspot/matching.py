"""The account's setting "create and associate companies with contacts", when it is on.

Source: knowledge base, "Automatically create and associate companies with contacts".
"""

from collections import deque
from collections.abc import Callable

from stibgate.sandbox.hubspot.associations import Associations
from stibgate.sandbox.hubspot.kinds import CONTACTS
from stibgate.sandbox.hubspot.portal import Portal
from stibgate.sandbox.hubspot.records import Record, Records

FREE_MAIL = frozenset(
    {"gmail.com", "googlemail.com", "yahoo.com", "hotmail.com", "outlook.com", "icloud.com", "aol.com"}
)


class Matching:
    """Companies that HubSpot makes by itself, a while after their contact."""

    def __init__(
        self, portal: Portal, records: dict[str, Records], associations: Associations, now: Callable[[], float]
    ) -> None:
        self._portal = portal
        self._records = records
        self._associations = associations
        self._now = now
        self._due: deque[tuple[float, Record]] = deque()
        if portal.auto_create_companies:
            records["contacts"].on_email = self._noticed

    def settle(self) -> None:
        """Do what is due by now."""
        now_s = self._now()
        if not self._due or self._due[0][0] > now_s:
            return
        companies = self._records["companies"]
        by_domain = {company.properties.get("domain", "").lower(): company.id for company in companies.live()}
        while self._due and self._due[0][0] <= now_s:
            _, contact = self._due.popleft()
            domain = contact.properties.get("hs_email_domain", "")
            if contact.archived_at is None and domain and domain not in FREE_MAIL:
                if domain not in by_domain:
                    new = {"domain": domain, "name": domain}
                    by_domain[domain] = companies.put(companies.new_id(), new, companies.timestamp()).id
                self._associations.link(CONTACTS, contact.id, by_domain[domain])

    def _noticed(self, contact: Record) -> None:
        self._due.append((self._now() + self._portal.auto_create_delay_s, contact))

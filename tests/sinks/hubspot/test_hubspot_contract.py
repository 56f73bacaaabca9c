"""The HubSpot sink keeps the laws of a sink, in both versions of the API."""

import pytest

from stibgate.testing import SinkContract
from tests.sinks.hubspot.sink_world import world


class HubspotContract(SinkContract):
    answers_in_part = True

    def __init_subclass__(cls, *, version: str) -> None:
        cls.version = version

    @pytest.fixture(autouse=True)
    async def _account(self):
        async with world(self.version) as self.account:
            yield

    def make(self):
        self.account.memory = self.memory
        return self.account.make()

    def held(self):
        return [row["properties"]["stibnite_person_id"] for row in self.account.sandbox.contacts()]

    def lose(self):
        records = self.account.sandbox._records["contacts"]
        for record in list(records.live()):
            records.archive(record, records.timestamp())
        return True

    def check_at_rest(self):
        self.account.check_sound()


class TestMarch(HubspotContract, version="2026-03"):
    pass


class TestSeptember(HubspotContract, version="2026-09"):
    pass


del HubspotContract  # only its subclasses say which version

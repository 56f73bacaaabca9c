"""A webhook keeps the laws of a sink, in front of a receiver that takes each `webhook-id` once."""

import pytest

from stibgate.testing import SinkContract, make_context
from tests.sinks.webhook.world import far, make_settings


class TestWebhook(SinkContract):
    @pytest.fixture(autouse=True)
    async def _receiver(self):
        async with far() as self.far:
            yield

    def make(self):
        return make_settings(self.far.url).build(make_context(memory=self.memory))

    def held(self):
        taken = {request.headers["webhook-id"]: request.document for request in self.far.requests}
        return [record["person_id"] for document in taken.values() for record in document["records"]]

    def lose(self):
        self.far.requests.clear()
        return True


del SinkContract  # only its subclass says what it holds

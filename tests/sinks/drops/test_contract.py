"""Every kind of drop keeps the laws of a sink."""

import pytest

from stibgate.domain.task import OutcomeKind
from tests.sinks.contract import SinkContract, make_batch
from tests.sinks.drops.world import Clock, check_complete, make_sink, people


class DropContract(SinkContract):
    """A drop with the keys that stand in the class statement."""

    def __init_subclass__(cls, **keys: object) -> None:
        cls.keys = keys

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path / "drop"
        self.clock = Clock()

    def make(self):
        return make_sink(self.folder, self.clock, **self.keys)

    def held(self):
        return people(self.folder)

    def check_at_rest(self):
        assert not list(self.folder.rglob("*.part"))
        if self.keys["layout"] == "rolling":
            check_complete(self.folder)

    async def test_every_outcome_is_written(self):
        """A drop writes, it neither creates nor updates."""
        async with self.opened() as sink:
            outcomes = await sink.deliver(make_batch("t1", [0, 1]))
        assert {outcome.kind for outcome in outcomes} == {OutcomeKind.WRITTEN}


class TestCsvPerDelivery(DropContract, kind="csv", layout="per_delivery"):
    pass


class TestCsvPerDeliveryGzip(DropContract, kind="csv", layout="per_delivery", gzip=True):
    pass


class TestNdjsonPerDelivery(DropContract, kind="ndjson", layout="per_delivery"):
    pass


class TestNdjsonPerDeliveryGzip(DropContract, kind="ndjson", layout="per_delivery", gzip=True):
    pass


class TestCsvRolling(DropContract, kind="csv", layout="rolling"):
    pass


class TestCsvRollingGzip(DropContract, kind="csv", layout="rolling", gzip=True):
    pass


class TestCsvRollingSmall(DropContract, kind="csv", layout="rolling", rotate_rows=1):
    pass


class TestNdjsonRolling(DropContract, kind="ndjson", layout="rolling"):
    pass


class TestNdjsonRollingGzip(DropContract, kind="ndjson", layout="rolling", gzip=True):
    pass


del DropContract  # only its subclasses say what they hold

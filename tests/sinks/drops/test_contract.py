"""Every kind of drop keeps the laws of a sink."""

import shutil

import pytest
from obstore.store import MemoryStore

from stibgate.domain.task import OutcomeKind
from stibgate.sinks.drops import DropSettings, ObjectSink
from stibgate.testing import SinkContract, make_batch, make_context
from tests.sinks.drops.bucket import Bucket
from tests.sinks.drops.world import Clock, check_complete, make_sink, people, people_in


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

    def lose(self):
        shutil.rmtree(self.folder)
        return True

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


class ObjectContract(SinkContract):
    """A drop in the memory of obstore, with the keys that stand in the class statement."""

    def __init_subclass__(cls, **keys: object) -> None:
        cls.keys = {"kind": "csv", "url": "s3://people/drops", "storage": {"region": "eu-north-1"}, **keys}

    @pytest.fixture(autouse=True)
    def _store(self):
        self.store = MemoryStore()

    def make(self):
        settings = DropSettings.model_validate(self.keys)
        return ObjectSink(self.store, settings.encoder(), url="memory", timeout_s=5)

    def held(self):
        paths = sorted(meta["path"] for page in self.store.list() for meta in page)
        return [person for path in paths for person in people_in(path, bytes(self.store.get(path).bytes()))]

    def lose(self):
        self.store.delete([meta["path"] for page in self.store.list() for meta in page])
        return True


class TestCsvObjects(ObjectContract):
    pass


class TestNdjsonGzipObjects(ObjectContract, kind="ndjson", gzip=True):
    pass


class TestS3(ObjectContract):
    @pytest.fixture(autouse=True)
    async def _store(self):
        self.bucket = Bucket()
        await self.bucket.start()
        yield
        await self.bucket.stop()

    def make(self):
        keys = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "fake-for-tests", "endpoint": self.bucket.endpoint}
        settings = DropSettings.model_validate({**self.keys, "storage": {"region": "eu-north-1", **keys}})
        return settings.build(make_context())

    def held(self):
        return [person for path, (data, _) in sorted(self.bucket.objects.items()) for person in people_in(path, data)]

    def lose(self):
        self.bucket.objects.clear()
        return True


del DropContract, ObjectContract  # only their subclasses say what they hold

"""The sink keeps the laws of every sink, and those of its own file."""

import json

import pytest
from stibgate_sink_jsonlog import JsonLogSettings

from stibgate.testing import SinkContract, make_batch, make_context


class TestJsonLog(SinkContract):
    answers_in_part = True

    @pytest.fixture(autouse=True)
    def _far_side(self, tmp_path):
        self.path = tmp_path / "people.jsonl"

    def make(self):
        return JsonLogSettings(kind="jsonlog", path=self.path).build(make_context(memory=self.memory))

    def held(self):
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [json.loads(line)["person_id"] for line in lines]

    def lose(self):
        self.path.unlink()
        return True

    async def test_a_torn_line_is_written_again(self):
        """What a crash tore off in the middle of a line is whole after the batch has come again."""
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1]))
        self.path.write_bytes(self.path.read_bytes()[:-20])
        async with self.opened() as sink:
            await sink.deliver(make_batch("t1", [0, 1], attempt=2))
        assert self.held() == ["person_0", "person_1"]

    async def test_a_folder_that_is_not_there_is_found(self):
        """`check` says that the folder is missing, and what to do."""
        self.path = self.path.parent / "nowhere" / "people.jsonl"
        [finding] = await self.make().check()
        assert not finding.ok
        assert finding.hint

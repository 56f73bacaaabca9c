"""What is remembered comes back, under keys that name nobody."""

from stibgate.domain.task import OutcomeKind
from stibgate.sinks.hubspot.state import Known, State
from stibgate.testing import DictMemory


class Spy(DictMemory):
    def __init__(self):
        super().__init__()
        self.keys = set()

    async def remember(self, documents):
        self.keys |= set(documents)
        await super().remember(documents)


async def test_what_is_remembered_comes_back():
    """A document comes back as it went, with what it left out."""
    state = State(DictMemory(), "1")
    known = Known("7", "c", "f", 5, 6, "tsk_1", "created", "a note", ("8", "9"))
    await state.remember("contacts", {"p": known, "q": Known()})
    assert await state.recall("contacts", ["p", "q", "r"]) == {"p": known, "q": Known()}
    assert known.answer(3).kind is OutcomeKind.CREATED
    assert known.answer(3).message == "a note"


async def test_accounts_and_kinds_do_not_mix():
    """A contact of one account is no company of it, and nothing of another account."""
    memory = DictMemory()
    await State(memory, "1").remember("contacts", {"p": Known("7")})
    await State(memory, "1").set_complete({"contacts": "key"})
    assert await State(memory, "1").recall("companies", ["p"]) == {}
    assert await State(memory, "2").recall("contacts", ["p"]) == {}
    assert await State(memory, "1").complete({"contacts": "key", "companies": "key"}) == {"contacts"}
    assert not await State(memory, "2").complete({"contacts": "key"})


async def test_keys_name_nobody():
    """An e-mail address that stands in for an id does not appear in what the memory is asked for."""
    memory = Spy()
    await State(memory, "1").remember("contacts", {"email:zoe@example.com": Known("7")})
    assert memory.keys
    assert not any("zoe" in key for key in memory.keys)


def test_a_newer_version_may_have_written_it():
    """Members that this version does not know do no harm."""
    assert Known.from_document({"id": "7", "someday": [1]}) == Known("7")

"""The words of a refusal: readable, short, and without a person or a secret."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.record import Issue, IssueReason
from stibgate.errors import SinkRejected
from stibgate.sinks.webhook.excerpt import CHARS_MAX, excerpt
from stibgate.testing import make_batch, make_record
from tests.sinks.webhook.world import SECRET, far, http, opened, refused

PERSON = make_record(
    0,
    first_name="Zoë",
    last_name="O'Testington",
    business_email="zoe.t@corp.example.com",
    mobile_phone="+12085550123",
    linkedin_url="https://www.linkedin.com/in/zoetest",
    issues=(Issue("company_phone", IssueReason.INVALID, "ring twice"),),
    extra={"pets": [{"name": "Miezekatze"}]},
)


def kept(text: str | bytes, *, whole: bool = True, secrets=(), records=(PERSON,)) -> str:
    return excerpt(text if isinstance(text, bytes) else text.encode(), whole=whole, secrets=secrets, records=records)


def test_a_sentence_is_kept():
    """What the receiver says about the request is there to be read."""
    assert kept('{"error": "records[3].company_state: too long"}') == '{"error": "records[3].company_state: too long"}'


@pytest.mark.parametrize(
    "text",
    [
        "no Zoë here",
        "no ZOE here",
        "no zoe_x here",
        "no Zo\u0308e Zoe\u0308 here",
        "no Zo\u200b\u00eb here",
        "no \\u005aoe Zo\\u00eb here",
        "no Zo%C3%AB here",
        "no Zo&euml; here",
        "bad o'testington",
        "no zoe.t@corp.example.com",
        "no someone.else@example.org",
        "no +12085550123",
        "no (208) 555-0123",
        "no 208.555.0123",
        "no www.linkedin.com/in/zoetest",
        "what is ring",
        "what is MIEZEKATZE",
        json.dumps(PERSON.to_document()),
    ],
)
def test_a_person_is_masked(text):
    """Nothing that belongs to a person of the batch is kept, however the receiver spells it."""
    found = kept(text)
    assert "***" in found
    for part in ("zo", "testington", "corp", "someone", "555", "0123", "ring", "mieze"):
        assert part not in found.lower().replace("zoetest", "")
    assert "zoetest" not in found


def test_a_name_without_spaces_keeps_nothing():
    """In a script without spaces a name cannot be cut out, so nothing is kept."""
    assert kept("姓名张伟无效", records=[make_record(0, first_name="张伟")]) == ""


@pytest.mark.parametrize("whole, text", [(False, "all but the last wo"), (True, "x " * 498 + "the last wor")])
def test_half_a_word_is_not_kept(whole, text):
    """Where the text was cut a name may be cut too, and would not be found: the last word goes."""
    name = text.rpartition(" ")[2][:3]
    assert name not in kept(text + ("x" * 50 if whole else ""), whole=whole)


def test_a_secret_is_masked():
    """A receiver that repeats our headers does not get them into the log."""
    assert (
        kept(f"bad signature with {SECRET[6:]} of k3y", secrets=[SECRET, SECRET[6:], "k3y"])
        == "bad signature with *** of ***"
    )


def test_it_is_one_printable_line():
    """No line break, no escape sequence, no invisible character; at most 200 characters."""
    found = kept("a\r\nb\x1b[31m\u202e\u2028c\0" + " word" * 200)
    assert found.startswith("a b[31m c word")
    assert found.isprintable()
    assert len(found) == CHARS_MAX


@given(st.binary(max_size=5000), st.booleans())
def test_any_bytes(data, whole):
    """Whatever comes, what is kept is short, printable UTF-8."""
    found = kept(data, whole=whole)
    assert len(found) <= CHARS_MAX
    assert found.isprintable()
    found.encode()


@given(
    st.text(alphabet=st.characters(categories=["L", "N"]), min_size=3, max_size=12),
    st.sampled_from(["{0}", "x {0} y", '{{"a":"{0}"}}', "a-{0}.", "{0}@x"]),
)
def test_any_name(name, text):
    """A name is never kept, in whatever script."""
    assert name not in kept(text.format(name), records=[make_record(0, first_name=name)])


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "image/png", "", "nonsense;;"])
async def test_only_text_and_json_are_kept(kind):
    """What is not plain text or JSON says nothing that fits into a line."""
    async with far(http(400, b"page", kind=kind)) as there, opened(there.url) as sink:
        assert (await refused(sink, make_batch("t1", [0]))).message == "the receiver answered 400"


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=utf-8", "application/problem+json"])
async def test_an_echo_over_the_wire(kind):
    """A receiver that sends everything back gets none of it into the error."""
    batch = make_batch("t1", [0, 1], last_name="Testington")

    async def echo(request, writer):
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        await http(422, f"{request.path}\n{headers}\n".encode() + request.body, kind=kind)(request, writer)

    async with far(echo) as there:
        url = f"http://127.0.0.1:{there.port}/in/capability-0123456789?token=abcdefgh"
        async with opened(url, headers={"authorization": "Bearer k3y-of-them"}) as sink:
            error = await refused(sink, batch)
    assert isinstance(error, SinkRejected)
    assert len(error.message) <= CHARS_MAX + 40
    for part in ("capability", "abcdefgh", "k3y-of-them", "Zo", "Testington", "example.com", "5550123", "p0@"):
        assert part not in error.message

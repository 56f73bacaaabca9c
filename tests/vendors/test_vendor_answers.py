"""What a refusal says of single properties: kept beside the vendor's sentence, masked by the same rules, short."""

import json

import pytest

from stibgate.vendors.answers import WORDS_MAX, error_of
from stibgate.vendors.http import Answer, Call

ROUTE = "/api/v1/people/search/estimate"
PRIVATE = ("Canary & Sons", "sk-canary-88d2")
START = f"POST {ROUTE}: 400"


def told(*errors, message="Validation failed", **more) -> str:
    """Return the message of the error that a 400 with *errors* is."""
    body = {"statusCode": 400, "error": "Bad Request", "message": message, "errors": list(errors), **more}
    error = error_of(Call("POST", ROUTE, ROUTE, private=PRIVATE), Answer(400, {}, json.dumps(body).encode()), now_s=0.0)
    return error.message


def wrong(name, message) -> dict:
    return {"property": name, "message": message, "constraints": {"max": message}}


def test_which_property_and_why():
    """Each wrong property is named with what is wrong with it, after the sentence."""
    errors = wrong("limit", "must not be greater than 100"), wrong("filters.titles.0", "must be a string")
    said = "limit: must not be greater than 100; filters.titles.0: must be a string"
    assert told(*errors) == f"{START}: Validation failed: {said}"


def test_three_at_most():
    """The first three speak for all."""
    assert told(*(wrong(name, "no") for name in "abcd")).endswith(": a: no; b: no; c: no")


def test_a_property_is_named_once():
    """A message that begins with its property does not get it again."""
    assert told(wrong("limit", "limit: too many")).endswith(": Validation failed: limit: too many")


def test_without_a_sentence():
    """The properties are told by themselves too."""
    assert told(wrong("limit", "too many"), message=None, error=None) == f"{START}: limit: too many"


@pytest.mark.parametrize(
    "errors",
    [
        None, {}, "canary", 5, [], [None], ["canary"], [["canary"]], [{}], [{"property": "limit"}],
        [{"message": "canary"}], [{"property": 1, "message": "canary"}], [{"property": "canary", "message": ["no"]}],
        [{"property": "canary", "message": " "}], [{"property": "canary", "constraints": {"max": "canary"}}],
    ],
)  # fmt: skip
def test_other_shapes(errors):
    """What is not the documented list adds nothing, and breaks nothing."""
    assert told(errors=errors) == f"{START}: Validation failed"


def test_what_is_no_pair_does_not_count():
    """Pairs are found behind what is none."""
    assert told(*[None] * 5, wrong("limit", "too many")).endswith(": limit: too many")


@pytest.mark.parametrize(
    "text",
    [
        "canary &amp; sons",
        "CANARY%20%26%20SONS",
        "sk-canary-88d2",
        "sk_canary-other",
        "canary@example.com",
        "canary%40example.com",
        "https://canary.example/a?b=c",
        "+1 208 555-0199",
        "(208) 555-0199",
        "https://a.example/" + "x" * 970 + " canary-jane@example.com",
    ],
)
@pytest.mark.parametrize("place", ["property", "message", "both"])
def test_nothing_private_is_repeated(text, place):
    """Private values, URLs, addresses, phone numbers and keys are masked in a property's name and in its message."""
    name = "limit" if place == "message" else f"filters.{text}"
    message = "is wrong" if place == "property" else f"got {text} there"
    said = told(wrong(name, message), wrong("more", message))
    assert "canary" not in said.lower()
    assert "555" not in said
    assert "***" in said


@pytest.mark.parametrize("errors", [[wrong("x" * 500, "y" * 500)] * 3, [wrong("limit", "word " * 900)], []])
def test_short_on_one_line(errors):
    """However much is said, the sentence and the properties stay short, and control nothing."""
    said = told(*errors, wrong("a\nb", "\x1b[31m\u202ec"), message="z" * 500)
    assert len(said) <= len(START) + 2 * (WORDS_MAX + 2)
    assert said.isprintable()

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stibgate.vendors.stibnite import models
from stibgate.vendors.stibnite.people import Person
from tests.vendors.stibnite.world import sample

KINDS = {
    "created_job": models.Job,
    "job": models.Job,
    "taxonomy": models.Taxonomy,
    "lookup": models.PeoplePage,
    "customer_wallet": models.CustomerWallet,
    "granted_credits": models.GrantedCredits,
    "created_embed_key": models.CreatedEmbedKey,
    "embed_session": models.EmbedSession,
    "embed_wallet": models.CustomerWallet,
    "pushed": models.Pushed,
    "domains": models.DomainsPage,
    "company_people": models.PeoplePage,
    "created_endpoint": models.CreatedEndpoint,
    "deleted": models.Deleted,
    "usage": models.Usage,
}
SECRETS = {"public_key", "token", "signing_secret"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def masked(document: dict) -> dict:
    return {name: "**********" if name in SECRETS else value for name, value in document.items()}


@pytest.mark.parametrize("name", KINDS)
def test_every_example_of_the_document_comes_back_as_it_was(name):
    """Parsing an example and writing it again changes no key, no type and no value but secrets."""
    document = sample(name)
    again = KINDS[name].model_validate(document).to_document()
    assert json.dumps(again, sort_keys=True) == json.dumps(masked(document), sort_keys=True)


@pytest.mark.parametrize("name", KINDS)
def test_unknown_fields_are_kept_and_not_shown(name):
    """A field that the document does not know survives, wherever it is, and no `repr` shows it."""
    document = {**sample(name), "new_field": {"inner": ["canary", 1.5, None]}}
    for key, value in document.items():
        if isinstance(value, dict) and key != "result_action_labels":  # its names are free, so none is unknown
            value["newer"] = "canary"
    reply = KINDS[name].model_validate(document)
    assert reply.to_document() == masked(document)
    assert "canary" not in repr(reply)


@pytest.mark.parametrize("name", KINDS)
def test_nulls_and_gaps_are_no_error(name):
    """Every documented field but the essential ones may be null or missing."""
    document = sample(name)
    essential = {
        "job_id", "status", "data", "fast_paths", "partner_customer_id", "wallet", "credit_grant", "public_key",
        "embed_key", "token", "delivered", "id", "url", "signing_secret", "deleted", "requests", "billable_records",
    }  # fmt: skip
    KINDS[name].model_validate({key: value if key in essential else None for key, value in document.items()})
    KINDS[name].model_validate({key: value for key, value in document.items() if key in essential})


@pytest.mark.parametrize("name, field", [("created_embed_key", "public_key"), ("embed_session", "token"), ("created_endpoint", "signing_secret")])  # fmt: skip
def test_secrets_show_themselves_only_when_asked(name, field):
    """A secret is in neither `repr`, `str` nor JSON of the answer that brings it."""
    document = {**sample(name), field: "canary-5ecret"}
    reply = KINDS[name].model_validate(document)
    assert getattr(reply, field).get_secret_value() == "canary-5ecret"
    assert "canary" not in f"{reply!r} {reply} {reply.model_dump_json()} {reply.to_document()}"


def test_urls_that_may_hold_tokens_are_not_shown():
    """`result_delivery_url` and an endpoint's URL are not in a `repr`."""
    key = {**sample("created_embed_key")["embed_key"], "result_delivery_url": "https://a.example/in/canary"}
    endpoint = {**sample("created_endpoint"), "url": "https://a.example/in/canary"}
    assert "canary" not in repr(models.EmbedKey.model_validate(key))
    assert "canary" not in repr(models.CreatedEndpoint.model_validate(endpoint))


def test_people_are_not_shown():
    """No `repr` shows anything of a person."""
    for name in ("job", "lookup", "company_people"):
        text = repr(KINDS[name].model_validate(sample(name)))
        assert "Jordan" not in text
        assert "example.com" not in text


def test_an_error_of_shape_does_not_show_the_value():
    """What pydantic says about a wrong answer does not repeat it."""
    with pytest.raises(ValidationError) as caught:
        models.Usage.model_validate({"requests": "canary", "billable_records": 1})
    assert "canary" not in str(caught.value)


def test_units_are_never_binary_fractions():
    """Credit units are whole numbers, or `Decimal` exactly as written."""
    wallet = models.Wallet.model_validate({"available_credit_units": 0.1, "granted_credit_units": 75})
    assert wallet.available_credit_units == Decimal("0.1")
    assert wallet.granted_credit_units == 75
    assert type(wallet.granted_credit_units) is int
    person = Person.model_validate({"company": {"revenue": 10.1}})
    assert person.company is not None
    assert person.company.revenue == Decimal("10.1")


def test_wallet_without_a_finite_balance():
    """`available_credit_units: null` is known from a missing one only by what was sent, and reads as None."""
    assert models.Wallet.model_validate({"available_credit_units": None}).available_credit_units is None


@pytest.mark.parametrize(
    "value, read",
    [(7372, "7372"), (None, None), ("", ""), ([1], None), ({"a": 1}, None), (True, None), (73.5, "73.5")],
)
def test_one_odd_field_does_not_spoil_a_person(value, read):
    """A number where text is documented reads as its digits, anything else as None; both are kept as sent."""
    document = {"person_id": "person_1", "job_title": value, "company": {"sic": value, "employee_count": value}}
    person = Person.model_validate(document)
    assert person.person_id == "person_1"
    assert person.job_title == read
    assert person.company is not None
    assert person.company.sic == read
    assert person.to_document() == document


@given(
    st.dictionaries(st.sampled_from([*Person.model_fields, "other"]), JSON), st.dictionaries(st.text(max_size=8), JSON)
)
def test_no_person_spoils_a_page(person, more):
    """Whatever JSON object stands for a person, the page is read, and the object comes back as it was."""
    page = models.PeoplePage.model_validate({"data": [person, more]})
    assert [row.to_document() for row in page.rows] == [person, more]


@pytest.mark.parametrize("data", [None, []])
def test_an_empty_page(data):
    """`data: null` and a missing `pagination` are an empty last page."""
    page = models.PeoplePage.model_validate({"data": data})
    assert (page.rows, page.next_cursor) == ([], None)
    assert models.Job.model_validate({"job_id": "j", "status": "succeeded", "data": data}).rows == []


def test_words_are_open_sets():
    """A status that the document does not know is no error, and such a job has not ended."""
    assert not models.Job.model_validate({"job_id": "j", "status": "paused"}).ended
    assert models.Job.model_validate({"job_id": "j", "status": "failed", "error": "no"}).ended


def test_an_empty_cursor_is_none():
    """A cursor of no characters is no cursor."""
    assert models.DomainsPage.model_validate({"data": [], "pagination": {"next_cursor": ""}}).next_cursor is None


@pytest.mark.parametrize("count", [-1, 10**9 + 1, 2**63, "7", 7.0, True, [7]])
def test_a_bill_that_cannot_be_one(count):
    """What cannot be a count of records was not said; the answer counts without it."""
    job = models.Job.model_validate({"job_id": "j", "status": "succeeded", "billable_records": count})
    assert job.billable_records is None
    assert models.PeoplePage.model_validate({"data": [], "billable_records": count}).billable_records is None


@pytest.mark.parametrize("count", [-1, 2**63])
def test_usage_that_cannot_be_one(count):
    """Usage that no store can hold is no usage."""
    with pytest.raises(ValidationError):
        models.Usage.model_validate({"requests": 1, "billable_records": count})


@pytest.mark.parametrize("cursor", [None, "", " ", "\t\n"])
def test_a_cursor_that_is_none(cursor):
    """A blank is no cursor."""
    page = {"pagination": {"next_cursor": cursor}, "data": []}
    assert models.PeoplePage.model_validate(page).next_cursor is None
    assert models.Job.model_validate({"job_id": "j", "status": "succeeded", **page}).next_cursor is None


@pytest.mark.parametrize(("fields", "lacks"), [({}, True), ({"data": None}, True), ({"data": []}, False)])
def test_rows_that_are_lacking(fields, lacks):
    """A job that succeeded without a list lacks its rows; one of nobody, or one that goes on, does not."""
    assert models.Job.model_validate({"job_id": "j", "status": "succeeded", **fields}).lacks_rows is lacks
    assert not models.Job.model_validate({"job_id": "j", "status": "running", **fields}).lacks_rows

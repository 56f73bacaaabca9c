"""The keys of a HubSpot sink, and what is refused before anything is sent."""

import json

import pytest
from pydantic import ValidationError

from stibgate.sinks.hubspot.mapping import ROWS
from stibgate.sinks.hubspot.policy import Policy
from stibgate.sinks.hubspot.settings import HubspotSettings

TOKEN = "pat-na1-00000000-0000-4000-a000-000000000000"


def settings(**keys) -> HubspotSettings:
    return HubspotSettings(**{"kind": "hubspot", "token": TOKEN, **keys})


def test_only_the_token_is_needed():
    """Everything else has a default."""
    defaults = settings()
    assert (defaults.base_url, defaults.api_version) == ("https://api.hubapi.com", "2026-03")
    assert defaults.skip_unchanged_for == 86_400
    assert (defaults.create_properties, defaults.adopt, defaults.companies) == (True, True, True)
    assert (defaults.USUAL_DELIVERY.timeout, defaults.USUAL_DELIVERY.lease, defaults.USUAL_DELIVERY.concurrency) == (
        600,
        660,
        48,
    )


def test_the_token_is_never_shown():
    """No dump, no representation and no error holds the token."""
    shown = f"{settings()!r} {settings().model_dump_json()} {settings().model_dump()}"
    assert TOKEN not in shown
    assert json.loads(settings().model_dump_json())["token"].startswith("...(44 chars, sha256 ")
    with pytest.raises(ValidationError) as caught:
        settings(token=f"{TOKEN} twice")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "keys, words",
    [
        ({"base_url": "http://api.example.com"}, "https://"),
        ({"base_url": "https://user@api.example.com"}, "without query"),
        ({"base_url": "api.example.com"}, "must be a URL"),
        ({"api_version": "v3"}, "2026-03"),
        ({"properties": {"nickname": "x"}}, "unknown 'nickname'"),
        ({"properties": {"job_title": "Job Title"}}, "internal name"),
        ({"properties": {"person_id": ""}}, "cannot be switched off"),
        ({"properties": {"job_title": "firstname"}}, "both go to"),
        ({"field_policy": {"job_title": "always"}}, "fill_blank"),
        ({"field_policy": {"company_id": "never"}}, "has no policy"),
        ({"owners": {"user_1": "jane"}}, "e-mail address"),
        ({"adopt": "yes"}, "bool"),
        ({"token": "short"}, "service key"),
        ({"skip_unchanged_for": 5}, "unit"),
        ({"tokens": "x"}, "Extra inputs"),
    ],
)
def test_a_wrong_setting_is_refused(keys, words):
    """A setting that cannot work is refused with what is allowed."""
    with pytest.raises(ValidationError, match=words):
        settings(**keys)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:1"])
def test_plain_http_is_for_this_machine(url):
    """The sandbox on loopback needs no certificate."""
    assert settings(base_url=f"{url}/").base_url == url


def test_the_tables_reach_the_mapping():
    """What the tables say is what the sink does."""
    options = settings(
        properties={"job_title": "our_title", "company_sic": ""},
        field_policy={"first_name": "overwrite", "last_name": "never"},
        skip_unchanged_for="2h",
        owners={"user_1": "Jane@Example.com"},
    ).options()
    rows = {row.field: row for row in options.fields.rows}
    assert rows["job_title"].property == "our_title"
    assert rows["first_name"].policy is Policy.OVERWRITE
    assert not {"company_sic", "last_name"} & rows.keys()
    assert "partner_user_id" in rows
    assert options.owners == {"user_1": "jane@example.com"}
    assert options.skip_unchanged_ms == 7_200_000
    assert "partner_user_id" not in {row.field for row in settings().options().fields.rows}


def test_no_two_fields_go_to_one_property():
    """The defaults agree with the rule that settings are held to."""
    sent = [(row.kind, row.property) for row in ROWS if row.property]
    assert len(sent) == len(set(sent))

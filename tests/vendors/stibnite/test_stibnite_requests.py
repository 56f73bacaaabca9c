from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from stibgate.errors import UsageError
from stibgate.vendors.paths import segment, with_query
from stibgate.vendors.stibnite import (
    DomainFilters,
    Lookup,
    NewCredits,
    NewEmbedKey,
    NewEmbedSession,
    NewEndpoint,
    NewJob,
    Selection,
)

NOW = datetime(2026, 5, 17, 18, 42, 10, tzinfo=UTC)
KEY = {"allowed_origins": ["https://partner.example"]}
SESSION = {"partner_key": "pk", "customer_id": "c", "origin": "https://partner.example"}


@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: NewJob(" "), "q"),
        (lambda: NewJob("ceos", limit=0), "limit"),
        (lambda: NewJob("ceos", limit=101), "limit"),
        (lambda: NewJob("ceos", limit=True), "limit"),
        (lambda: NewJob("ceos", limit=1.5), "limit"),
        (lambda: NewJob("ceos", max_records=0), "max_records"),
        (lambda: NewJob("ceos", cursor=""), "cursor"),
        (lambda: NewJob("ceos", location_city=""), "location_city"),
        (lambda: NewJob("ceos", dedupe_token="a b"), "dedupe_token"),
        (lambda: NewJob("ceos", dedupe_token="a" * 65), "dedupe_token"),
        (lambda: NewJob("ceos", dedupe_user_id=""), "dedupe_user_id"),
        (Lookup, "at least one"),
        (lambda: Lookup(email=""), "email"),
        (lambda: DomainFilters(min_contacts=0), "min_contacts"),
        (lambda: DomainFilters(industry=" "), "industry"),
        (lambda: NewCredits(0), "credit_units"),
        (lambda: NewCredits(-1), "credit_units"),
        (lambda: NewCredits(Decimal("NaN")), "credit_units"),
        (lambda: NewCredits(Decimal("0.1234567890123456789")), "credit_units"),
        (lambda: NewCredits(5, starts_at=NOW.replace(tzinfo=None)), "starts_at"),
        (lambda: NewCredits(5, starts_at=NOW, expires_at=NOW), "expires_at"),
        (lambda: NewEmbedKey([]), "allowed_origins"),
        (lambda: NewEmbedKey("https://partner.example"), "allowed_origins"),
        (lambda: NewEmbedKey(["http://partner.example"]), "allowed_origins"),
        (lambda: NewEmbedKey(**KEY, credit_enforcement_mode="free"), "credit_enforcement_mode"),
        (lambda: NewEmbedKey(**KEY, credit_reset_policy="never"), "credit_reset_policy"),
        (lambda: NewEmbedKey(**KEY, limits={"monthly_credit_units": -1}), "limits.monthly_credit_units"),
        (lambda: NewEmbedKey(**KEY, result_delivery_url="ftp://a.example"), "result_delivery_url"),
        (lambda: NewEmbedKey(**KEY, result_delivery_url="https://u:canary@a.example"), "result_delivery_url"),
        (lambda: NewEmbedKey(**KEY, result_delivery_cta=""), "result_delivery_cta"),
        (lambda: NewEmbedSession(**SESSION | {"partner_key": ""}), "partner_key"),
        (lambda: NewEmbedSession(**SESSION | {"customer_id": " "}), "customer_id"),
        (lambda: NewEmbedSession(**SESSION | {"origin": "partner.example"}), "origin"),
        (lambda: NewEmbedSession(**SESSION | {"origin": "https://a.example\r\nx: canary"}), "origin"),
        (lambda: Selection("some"), "selection_mode"),
        (lambda: Selection("selected"), "prospect_ids"),
        (lambda: Selection("selected", [""]), "prospect_ids"),
        (lambda: Selection("all_results", ["p"]), "prospect_ids"),
        (lambda: Selection("page", applied_filters={}), "applied_filters"),
        (lambda: NewEndpoint("http://a.example/canary"), "url"),
        (lambda: NewEndpoint("https://a.example", events=[]), "events"),
        (lambda: NewEndpoint("https://a.example", events=["person_search.job.begun"]), "events"),
        (lambda: segment("job_id", ".."), "job_id"),
        (lambda: segment("job_id", ""), "job_id"),
        (lambda: segment("job_id", "a\nb"), "job_id"),
        (lambda: segment("job_id", "a" * 513), "job_id"),
    ],
)
def test_what_cannot_be_right_is_refused_here(make, named):
    """A wrong request raises `UsageError`, exit code 2, which names the field and has a hint."""
    with pytest.raises(UsageError) as caught:
        make()
    assert named in caught.value.message
    assert caught.value.hint
    assert "canary" not in str(caught.value)


def test_only_what_was_given_is_sent():
    """A body holds the documented names, and none that was not given."""
    assert NewJob("ceos").body() == {"q": "ceos", "limit": 100}
    job = NewJob(
        "ceos", location_city="Boise", location_state="ID", limit=1, max_records=5, cursor="c",
        dedupe_token="spring:2026", dedupe_user_id="u",
    )  # fmt: skip
    assert job.body() == {
        "q": "ceos", "location_city": "Boise", "location_state": "ID", "limit": 1, "max_records": 5, "cursor": "c",
        "dedupe_token": "spring:2026", "dedupe_user_id": "u",
    }  # fmt: skip
    assert NewEmbedSession(**SESSION).body() == {"partner_key": "pk", "customer_id": "c"}
    assert NewEmbedKey(**KEY, limits={"monthly_credit_units": None, "monthly_search_sessions": 0}).body() == {
        **KEY,
        "limits": {"monthly_credit_units": None, "monthly_search_sessions": 0},
    }
    assert Selection("all_results", applied_filters={"company_state": "ID"}).body() == {
        "selection_mode": "all_results",
        "applied_filters": {"company_state": "ID"},
    }
    assert NewEndpoint("https://a.example", events=("person_search.job.failed",)).body() == {
        "url": "https://a.example",
        "events": ["person_search.job.failed"],
    }


def test_credits_are_sent_exactly():
    """Units go as the very number, times as ISO in UTC."""
    assert NewCredits(Decimal("50.00")).body() == {"credit_units": 50}
    assert NewCredits(Decimal("0.1")).body() == {"credit_units": 0.1}
    body = NewCredits(5, starts_at=NOW, expires_at=NOW + timedelta(days=1)).body()
    assert (body["starts_at"], body["expires_at"]) == ("2026-05-17T18:42:10.000Z", "2026-05-18T18:42:10.000Z")


@pytest.mark.parametrize("value", ["a/b", "a?b", "a#b", "%2e%2e", "ä", "a b", "..a", "a&b=c+d"])
def test_an_id_stays_one_segment(value):
    """No id can change the path or the query that it is put into."""
    assert not set(segment("id", value)) & set("/?#& +")
    assert "%252e" in segment("id", value) or "%2e" not in value


def test_a_plus_stays_a_plus():
    """A phone number's plus is no space on the other side."""
    assert with_query("/v1/x", {"phone": "+12085550123", "cursor": None}) == "/v1/x?phone=%2B12085550123"


def test_requests_do_not_show_secrets_and_people():
    """No `repr` of a request shows a key, a URL with a token, an identifier or a search."""
    shown = [
        NewJob("canary"),
        Lookup(email="canary@example.com", phone="canary", linkedin_url="canary", company_domain="canary"),
        NewEmbedKey(**KEY, result_delivery_url="https://a.example/canary"),
        NewEmbedSession("canary", "c", "https://a.example", customer_name="canary"),
        NewEndpoint("https://a.example/canary"),
    ]
    assert "canary" not in repr(shown)

"""Invented people."""

import json
import re

import phonenumbers
import pytest
from email_validator import validate_email

from stibgate.sandbox.people import People

PERSON = {
    "prospect_id": "5x5-person-123",
    "person_id": "person_123",
    "first_name": "Jane",
    "last_name": "Doe",
    "job_title": "VP Sales",
    "business_email": "jane@example.com",
    "mobile_phone": "+12085550123",
    "linkedin_url": "https://linkedin.com/in/janedoe",
    "company": {
        "company_id": "company_123",
        "name": "Example Inc",
        "domain": "example.com",
        "phone": "+12085550100",
        "linkedin_url": "https://linkedin.com/company/example",
        "revenue": 10000000,
        "employee_count": 42,
        "industry": "Software",
        "sic": "7372",
        "naics": "541511",
        "city": "Austin",
        "state": "TX",
    },
    "reveal_state": "purchased",
}
"""The push payload's record, from the document."""


@pytest.fixture(scope="module")
def crowd():
    people = People(7)
    return [people.prospect(i) for i in range(2_000)]


def test_shape(crowd, shape):
    """A record has exactly the documented keys, in their order, with the documented JSON types."""
    full = [record for record in crowd if "mobile_phone" in record]
    assert {json.dumps(shape(record)) for record in full} == {json.dumps(shape(PERSON))}


def test_same_seed_same_people():
    """The same seed gives the same people whatever was asked before; another seed gives others."""
    first, second, other = People(7), People(7), People(8)
    backwards = [second.person(i) for i in reversed(range(50))][::-1]
    assert [first.person(i) for i in range(50)] == backwards
    assert first.person(3) != other.person(3)


def test_world_is_pinned():
    """A seed's world does not change with the Python, the machine or the day."""
    person = People(7).person(3)
    assert (person["person_id"], person["company"]["domain"]) == (
        "person_a210000003",
        "foxglove-d889.example.com",
    )


@pytest.mark.parametrize("key", ["person_id", "prospect_id", "business_email", "linkedin_url"])
def test_unique(crowd, key):
    """No two people share what names a person."""
    values = [record[key] for record in crowd if key in record]
    assert len(values) == len(set(values))


def test_companies_are_shared(crowd):
    """Colleagues have the same company, and no two companies share an id or a domain."""
    companies = {record["company"]["company_id"]: record["company"]["domain"] for record in crowd}
    assert len(companies) == len(crowd) / 4
    assert len(set(companies.values())) == len(companies)


def test_nobody_real(crowd):
    """Every domain is under example.com, every number a fictional 555-01xx, and both are valid in form."""
    for record in crowd:
        validate_email(record["business_email"], check_deliverability=False)
        assert record["company"]["domain"].endswith(".example.com")
        assert "-example-" in record.get("linkedin_url", "-example-")
        for phone in (record.get("mobile_phone"), record["company"].get("phone")):
            if phone is not None:
                assert re.fullmatch(r"\+1\d{3}55501\d\d", phone)
                assert phonenumbers.is_valid_number(phonenumbers.parse(phone))


def test_hard_cases_are_there(crowd):
    """A page of people holds the records that break careless receivers."""
    text = json.dumps(crowd, ensure_ascii=False)
    assert not text.isascii()
    assert any((record.get("job_title") or "")[:1] in "=+-@\t" for record in crowd if record.get("job_title"))
    assert any("linkedin_url" not in record for record in crowd)
    assert any(record["job_title"] is None for record in crowd)
    assert any(len(record["company"]) == 3 for record in crowd)
    codes = [record["company"] for record in crowd if "sic" in record["company"]]
    assert any(company["sic"].startswith("0") for company in codes)
    assert any(company["naics"].startswith("0") for company in codes)


def test_preview_reveals_nothing(crowd):
    """A preview holds nothing that could be used without buying."""
    people = People(7)
    for i, record in enumerate(crowd[:200]):
        text = json.dumps(people.preview(i, purchased=False), ensure_ascii=False)
        for key in ("person_id", "business_email", "mobile_phone", "linkedin_url"):
            assert record.get(key, "\0") not in text


def test_found_by_place():
    """A search by place finds only people who work there, without regard to case; nobody in an unknown place."""
    people = People(7)
    found = people.found(0, city="boise", state="id")
    assert {people.place(next(found)).city for _ in range(20)} == {"Boise"}
    assert list(people.found(0, city="Atlantis")) == []

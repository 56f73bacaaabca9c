"""Which record field becomes which HubSpot property, as what text."""

from dataclasses import replace

import pytest

from stibgate.domain.record import Issue, IssueReason, Provenance, Record
from stibgate.sinks.hubspot.choices import Choices
from stibgate.sinks.hubspot.mapping import FieldMap, Terms, company_key, is_weak, person_key, wants
from stibgate.sinks.hubspot.policy import Policy

PROVENANCE = Provenance("dlv_1", "stibnite", "prospecting.records.pushed", "2026-05-17T18:42:10Z", partner_user_id="u1")
TERMS = Terms("USD", {}, {"u1": "77"})
FULL = Record(
    prospect_id="prs_1",
    person_id="person_1",
    first_name="Zoë",
    last_name="Doe",
    job_title="VP Sales",
    business_email="Zoe.Doe@Example.com",
    mobile_phone="+12085550123",
    linkedin_url="https://linkedin.com/in/zoe-example",
    company_name="Acme Inc",
    company_domain="acme.example.com",
    company_phone="+12085550199",
    company_linkedin_url="https://linkedin.com/company/acme-example",
    company_revenue=10**21,
    company_employee_count=0,
    company_industry="Software",
    company_sic="0111",
    company_naics="005112",
    company_city="Boise",
    company_state="ID",
    company_id="company_7",
    reveal_state="purchased",
)


def values(kind, record=FULL, terms=TERMS, properties=None, policies=None, *, owners=True):
    fields = FieldMap.of(properties or {}, policies or {}, owners=owners)
    return {name: want.value for name, want in wants(fields, terms, kind, record, PROVENANCE).items()}


def flagged(**fields):
    issues = tuple(Issue(name, IssueReason.INVALID, value) for name, value in fields.items())
    return replace(FULL, **fields, issues=issues)


def test_a_full_record_becomes_a_contact():
    """Every field of a person goes to its property, the e-mail address in lower case; our key travels as the id."""
    assert values("contacts") == {
        "stibnite_prospect_id": "prs_1",
        "firstname": "Zoë",
        "lastname": "Doe",
        "jobtitle": "VP Sales",
        "email": "zoe.doe@example.com",
        "mobilephone": "+12085550123",
        "hs_linkedin_url": "https://linkedin.com/in/zoe-example",
        "company": "Acme Inc",
        "hubspot_owner_id": "77",
    }


def test_a_full_record_becomes_a_company():
    """Every field of a company goes to its property; numbers are bare digits, codes keep their zeros."""
    assert values("companies") == {
        "name": "Acme Inc",
        "domain": "acme.example.com",
        "phone": "+12085550199",
        "linkedin_company_page": "https://linkedin.com/company/acme-example",
        "annualrevenue": "1000000000000000000000",
        "numberofemployees": "0",
        "industry": "Software",
        "stibnite_industry": "Software",
        "stibnite_sic": "0111",
        "stibnite_naics": "005112",
        "city": "Boise",
        "state": "ID",
    }


def test_blanks_are_not_sent():
    """A field without a value clears nothing in HubSpot."""
    assert values("contacts", Record(person_id="p", first_name="Zoë", last_name="  ")) == {
        "firstname": "Zoë",
        "hubspot_owner_id": "77",
    }
    assert values("companies", Record(person_id="p")) == {}


def test_revenue_is_dollars():
    """A figure in dollars does not go to an account that shows another currency."""
    euros = values("companies", terms=replace(TERMS, currency="EUR"))
    assert "annualrevenue" not in euros
    assert euros["numberofemployees"] == "0"


def test_a_figure_that_is_none_is_not_sent():
    """A text that was kept where a number belongs stays at home."""
    assert "annualrevenue" not in values("companies", replace(FULL, company_revenue="10M"))


@pytest.mark.parametrize("domain", ["gmail.com", "GMAIL.com", "yahoo.co.uk", "icloud.com"])
def test_a_free_mail_host_is_nobodys_company(domain):
    """People who write a mail host as their company do not share one."""
    record = replace(FULL, company_domain=domain, company_id=None)
    assert "domain" not in values("companies", record)
    assert company_key(record) is None


@pytest.mark.parametrize(
    "kind, field, property_",
    [
        ("contacts", "business_email", "email"),
        ("contacts", "linkedin_url", "hs_linkedin_url"),
        ("companies", "company_domain", "domain"),
        ("companies", "company_linkedin_url", "linkedin_company_page"),
    ],
)
def test_what_we_found_invalid_is_not_sent(kind, field, property_):
    """An invalid value that `invalid_field = "keep"` left in the record costs that field, not the contact."""
    assert property_ not in values(kind, flagged(**{field: "not valid"}))


def test_an_enumeration_takes_its_options_only():
    """A text goes to an enumeration as the option's internal value, or not at all."""
    options = {("contacts", "jobtitle"): Choices.of([("vp", "VP Sales"), ("ceo", "CEO")])}
    terms = replace(TERMS, choices=options)
    assert values("contacts", terms=terms)["jobtitle"] == "vp"
    assert "jobtitle" not in values("contacts", replace(FULL, job_title="Owner"), terms)


@pytest.mark.parametrize("option", ["ID", "Idaho", "idaho", "US-ID"])
def test_a_state_is_found_in_any_spelling(option):
    """An account that lists states by name or by code gets its own spelling."""
    terms = replace(TERMS, choices={("companies", "state"): Choices.of([("WA", "Washington"), (option, "")])})
    assert values("companies", terms=terms)["state"] == option
    assert "state" not in values("companies", replace(FULL, company_state="TX"), terms)


@pytest.mark.parametrize(
    "text, option",
    [
        ("Computer Software", "COMPUTER_SOFTWARE"),
        ("Software", "COMPUTER_SOFTWARE"),
        ("Arts & Crafts", "ARTS_AND_CRAFTS"),
        ("e-learning", "E_LEARNING"),
        ("E-Learning Providers", "E_LEARNING"),
        ("Law firms", "LAW_PRACTICE"),
        ("Soft drinks", None),
        ("", None),
    ],
)
def test_an_industry_is_matched_and_never_guessed(text, option):
    """An industry becomes the account's own option that means the same, else only its raw text is sent."""
    names = ("COMPUTER_SOFTWARE", "ARTS_AND_CRAFTS", "E_LEARNING", "LAW_PRACTICE")
    terms = replace(TERMS, choices={("companies", "industry"): Choices.of([(name, "") for name in names])})
    sent = values("companies", replace(FULL, company_industry=text), terms)
    assert sent.get("industry") == option
    assert sent.get("stibnite_industry", "") == text


def test_options_that_differ_only_in_signs_stay_apart():
    """`1-5` is not `15`."""
    choices = Choices.of([("1-5", "1-5"), ("15", "15")])
    assert choices.meant_by("15", "company_employee_count") == "15"
    assert choices.meant_by("1-5", "company_employee_count") == "1-5"


def test_an_operator_moves_and_switches_off():
    """`properties` names other properties, an empty one and the policy `never` switch a field off."""
    sent = values(
        "contacts",
        properties={"job_title": "our_title", "first_name": "", "search_id": "our_search"},
        policies={"last_name": Policy.NEVER},
        owners=False,
    )
    assert sent["our_title"] == "VP Sales"
    assert not {"jobtitle", "firstname", "lastname", "hubspot_owner_id"} & sent.keys()


@pytest.mark.parametrize(
    "fields, key",
    [
        ({}, "person_1"),
        ({"person_id": None}, "prospect:prs_1"),
        ({"person_id": None, "prospect_id": None}, "linkedin:https://linkedin.com/in/zoe-example"),
        ({"person_id": None, "prospect_id": None, "linkedin_url": None}, "email:zoe.doe@example.com"),
        (
            {"person_id": None, "prospect_id": None, "linkedin_url": None, "business_email": None},
            "phone:+12085550123",
        ),
    ],
)
def test_the_key_follows_the_ladder(fields, key):
    """A person is known by the strongest thing the record has; a stand-in says what kind of thing it is."""
    record = replace(FULL, **fields)
    assert person_key(record) == key
    assert is_weak(key) is (key != "person_1")


def test_nobody_has_no_key():
    """A record that names nobody has no key; an invalid address names nobody."""
    assert person_key(Record(first_name="Zoë")) is None
    issues = (Issue("business_email", IssueReason.INVALID, "nope"),)
    assert person_key(Record(first_name="Zoë", business_email="nope", issues=issues)) is None


def test_a_company_is_known_by_id_or_domain():
    """The vendor's id first, then the domain, else there is no company."""
    assert company_key(FULL) == "company_7"
    assert company_key(replace(FULL, company_id=None)) == "domain:acme.example.com"
    assert company_key(replace(FULL, company_id=None, company_domain=None)) is None


def test_a_value_has_a_bound():
    """No value is longer than HubSpot takes."""
    assert len(values("contacts", replace(FULL, job_title="x" * 70_000))["jobtitle"]) == 65_536

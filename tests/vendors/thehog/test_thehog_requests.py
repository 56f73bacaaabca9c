"""What goes over the wire, and what is refused before it does."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.preflight import SearchSize, cheaper
from stibgate.errors import UsageError
from stibgate.sandbox.thehog.bodies import PeopleSearch as Understood
from stibgate.vendors.thehog import CompanyFilters, CountRange, PeopleFilters, PeopleSearch

TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9).filter(str.strip), max_size=3
)
RANGES = st.none() | st.tuples(st.integers(0, 9), st.integers(9, 99)).map(lambda ends: CountRange(*ends))
FIELDS = [None, ("email",), ("phone",), ("email", "phone"), ("phone", "email")]
SEARCHES = st.builds(
    PeopleSearch,
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=500).filter(str.strip),
    st.integers(1, 100),
    st.booleans(),
    st.booleans(),
    st.sampled_from(FIELDS),
    st.none() | st.decimals(0, 10**9, places=3),
    st.none()
    | st.builds(
        PeopleFilters,
        TEXTS,
        st.sampled_from([None, "exact", "similar"]),
        TEXTS,
        TEXTS,
        RANGES,
        TEXTS,
        st.none() | st.builds(CompanyFilters, TEXTS, TEXTS, TEXTS, TEXTS, RANGES, TEXTS),
    ),
    st.none() | st.booleans(),
)


def test_the_documents_request():
    """The page's own request can be made, member for member."""
    search = PeopleSearch(
        "VP Engineering at hiring B2B SaaS companies in SF",
        contact_fields=["email"],
        max_credits=Decimal(2500),
        filters=PeopleFilters(
            titles=["t"], title_match="similar", locations=["l"], industries=["i"], employee_count=CountRange(1, 1),
            signals=["s"],
            company=CompanyFilters(["n"], ["d"], ["u"], ["i"], CountRange(1, 1), ["s"]),
        ),
        confirm=True,
    )  # fmt: skip
    assert json.loads(search.body()) == {
        "query": "VP Engineering at hiring B2B SaaS companies in SF",
        "limit": 25,
        "includeSignals": False,
        "includeContacts": False,
        "contactFields": ["email"],
        "maxCredits": 2500,
        "filters": {
            "titles": ["t"], "titleMatch": "similar", "locations": ["l"], "industries": ["i"],
            "employeeCount": {"min": 1, "max": 1}, "signals": ["s"],
            "company": {
                "names": ["n"], "domains": ["d"], "linkedinUrls": ["u"], "industries": ["i"],
                "employeeCount": {"min": 1, "max": 1}, "signals": ["s"],
            },
        },
        "confirm": True,
    }  # fmt: skip


def test_what_is_not_given_is_not_sent():
    """Omitted contact fields stay omitted, because that means both; no cap and no confirmation are made up."""
    assert json.loads(PeopleSearch("x", include_contacts=True, filters=PeopleFilters()).body()) == {
        "query": "x", "limit": 25, "includeSignals": False, "includeContacts": True,
    }  # fmt: skip


@given(SEARCHES)
def test_everything_that_passes_here_is_understood_there(search):
    """The strict reader of the sandbox takes every search that can be made, and reads the same."""
    there = Understood.model_validate_json(search.body())
    assert (there.query, there.limit, there.includeContacts) == (search.query, search.limit, search.include_contacts)
    assert tuple(there.contactFields) == tuple(search.contact_fields or ("email", "phone"))
    if search.max_credits is not None:
        assert Decimal(str(there.maxCredits)) == search.max_credits
    if search.filters is not None and search.filters.company is not None:
        assert there.filters.company.linkedinUrls == search.filters.company.linkedin_urls


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: PeopleSearch(""), "query"),
        (lambda: PeopleSearch("  "), "query"),
        (lambda: PeopleSearch("x" * 501), "query"),
        (lambda: PeopleSearch("\ud800 people"), "query"),
        (lambda: PeopleSearch("x", limit=0), "limit"),
        (lambda: PeopleSearch("x", limit=101), "limit"),
        (lambda: PeopleSearch("x", limit=2.5), "limit"),
        (lambda: PeopleSearch("x", limit=True), "limit"),
        (lambda: PeopleSearch("x", contact_fields=()), "contact_fields"),
        (lambda: PeopleSearch("x", contact_fields=("email", "email")), "contact_fields"),
        (lambda: PeopleSearch("x", contact_fields=("fax",)), "contact_fields"),
        (lambda: PeopleSearch("x", max_credits=Decimal(-1)), "max_credits"),
        (lambda: PeopleSearch("x", max_credits=Decimal("NaN")), "max_credits"),
        (lambda: PeopleSearch("x", max_credits=Decimal("Infinity")), "max_credits"),
        (lambda: PeopleSearch("x", max_credits=Decimal("0.12345678901234567890")), "max_credits"),
        (lambda: CountRange(-1), "employee_count"),
        (lambda: CountRange(2, 1), "employee_count"),
        (lambda: CountRange(max=True), "employee_count"),
        (lambda: PeopleFilters(titles=[""]), "titles"),
        (lambda: PeopleFilters(titles="CEO"), "titles"),
        (lambda: PeopleFilters(title_match="close"), "title_match"),
        (lambda: CompanyFilters(domains=[5]), "company.domains"),
        (lambda: PeopleSearch("x", filters=PeopleFilters(titles=["y" * 1000] * 300)), "filters"),
    ],
)
def test_refused_before_it_is_sent(make, name):
    """What the document does not allow is a usage error that names the field."""
    with pytest.raises(UsageError, match=f"^{name} must be ") as caught:
        make()
    assert caught.value.hint


def test_no_error_and_no_repr_shows_the_search():
    """Whom somebody looks for is nobody's business."""
    filters = PeopleFilters(titles=["canary"], company=CompanyFilters(names=["canary"]))
    search = PeopleSearch("canary", filters=filters)
    with pytest.raises(UsageError) as caught:
        PeopleSearch("canary" * 100)
    assert "canary" not in f"{search!r}{search}{filters!r}{filters.company!r}{caught.value!r}{caught.value.hint}"
    assert search.private == ("canary", "canary", "canary")


@given(SEARCHES)
def test_sizes(search):
    """A search shrinks to every smaller size that is worth trying, and nothing else of it changes."""
    for size in cheaper(search.size):
        smaller = search.resized(size)
        assert smaller.size == size
        assert (smaller.query, smaller.filters, smaller.max_credits) == (
            search.query,
            search.filters,
            search.max_credits,
        )


def test_omitted_fields_count_as_both():
    """What is not said is charged for, but only when contacts are wanted."""
    assert PeopleSearch("x", include_contacts=True).size == SearchSize(25, ("email", "phone"))
    assert PeopleSearch("x", contact_fields=["email"]).size == SearchSize(25)

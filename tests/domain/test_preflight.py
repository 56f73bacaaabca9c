"""Smaller searches: priced by the documented model, never too low, and suggested only where they help."""

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.budget import Budget, Period, Quote, Unit, Verdict, decide
from stibgate.domain.preflight import Priced, SearchSize, change, cheaper, suggest

CREDIT = Unit.THEHOG_CREDIT
ZERO = Decimal(0)
FIELDS = [(), ("email",), ("phone",), ("email", "phone"), ("phone", "email")]
SIZES = st.builds(SearchSize, st.integers(1, 100), st.sampled_from(FIELDS))
PRICES = st.fixed_dictionaries({name: st.decimals(0, 1000, places=3) for name in ("page", "email", "phone")})
USUAL = {"page": Decimal(5), "email": Decimal(1), "phone": Decimal(6)}


def parts(size, prices) -> tuple[Decimal, Decimal]:
    """Return base and contacts by the model, written a second time."""
    pages = len(range(0, size.people, 25))
    return prices["page"] * pages, sum((prices[field] for field in size.contact_fields), ZERO) * size.people


def quote(size, prices=USUAL, *, within_plan=True) -> Quote:
    return Quote(CREDIT, sum(parts(size, prices)), within_plan)


def run(size, limit, *, confirm_above=None, prices=USUAL, within_plan=True):
    """Return the decision about *size*, with suggestions priced by the vendor."""
    budget = Budget("a", CREDIT, Decimal(limit), Period.TOTAL, confirm_above and Decimal(confirm_above))
    first = decide(budget, quote(size, prices, within_plan=within_plan), reserved=ZERO, settled=ZERO)
    tried = ((smaller, quote(smaller, prices)) for smaller in cheaper(size))
    return suggest(budget, first, size, tried, reserved=ZERO, settled=ZERO)


@given(SIZES, SIZES, PRICES)
def test_the_documented_model(size, other, prices):
    """One estimate prices every smaller search with the same contacts or none, exactly, and says nothing of others."""
    got = Priced(size, *parts(size, prices)).quote(other)
    known = size.covers(other) and (not other.contact_fields or set(other.contact_fields) == set(size.contact_fields))
    assert got == (quote(other, prices) if known else None)


@given(SIZES, st.decimals(0, 10**6), st.decimals(0, 10**6), st.data())
def test_never_too_low(size, base, contacts, data):
    """Prices that do not divide evenly are rounded up."""
    other = SearchSize(data.draw(st.integers(1, size.people)), size.contact_fields)
    got = Priced(size, base, contacts).quote(other)
    if size.contact_fields:
        assert got.ceiling * size.pages * size.people >= (
            base * other.pages * size.people + contacts * other.people * size.pages
        ) * (1 - Decimal("1e-25"))
    else:
        assert got.ceiling * size.pages >= base * other.pages * (1 - Decimal("1e-25"))


def test_outside_of_the_plan_nothing_follows():
    """Where the plan ends only the vendor knows."""
    size = SearchSize(100)
    assert Priced(size, Decimal(20), ZERO, within_plan=False).quote(SearchSize(25)) is None


@given(SIZES, PRICES)
def test_cheaper(size, prices):
    """Every variant is smaller, none is named twice or costs more, people go down by whole pages; all are there."""
    variants = cheaper(size)
    keys = [(each.people, frozenset(each.contact_fields)) for each in variants]
    assert len(keys) == len(set(keys)) <= 11
    smaller_fields = {frozenset(size.contact_fields), frozenset()} | (
        {frozenset({"email"})} if len(size.contact_fields) == 2 else set()
    )
    limits = {size.people, *(people for people in (25, 50, 75) if people < size.people)}
    assert set(keys) == set(product(limits, smaller_fields)) - {(size.people, frozenset(size.contact_fields))}
    for each in variants:
        assert size.covers(each)
        assert quote(each, prices).ceiling <= quote(size, prices).ceiling


def test_the_order_in_which_value_is_given_up():
    """One change before two: the phone, people page by page, all contacts."""
    both, mail = ("email", "phone"), ("email",)
    assert [(each.people, each.contact_fields) for each in cheaper(SearchSize(60, both))] == [
        (60, mail), (50, both), (25, both), (60, ()), (50, mail), (25, mail), (50, ()), (25, ()),
    ]  # fmt: skip
    assert cheaper(SearchSize(25)) == cheaper(SearchSize(1)) == ()
    assert cheaper(SearchSize(26)) == (SearchSize(25),)


@pytest.mark.parametrize(
    ("people", "fields", "changed"),
    [
        (50, ("email", "phone"), {"limit": 50}),
        (60, ("email",), {"contactFields": ["email"]}),
        (25, ("email",), {"limit": 25, "contactFields": ["email"]}),
        (60, (), {"includeContacts": False}),
        (60, ("phone", "email"), {}),
    ],
)
def test_changes(people, fields, changed):
    """A change is what to write into the request, in the vendor's names."""
    assert change(SearchSize(60, ("email", "phone")), SearchSize(people, fields)) == changed


@pytest.mark.parametrize(
    ("limit", "suggested"),
    [
        (720, []),
        (719, [({"contactFields": ["email"]}, 120), ({"limit": 75}, 540)]),
        (400, [({"contactFields": ["email"]}, 120), ({"limit": 50}, 360)]),
        (100, [({"includeContacts": False}, 20), ({"limit": 75, "contactFields": ["email"]}, 90)]),
        (30, [({"includeContacts": False}, 20), ({"limit": 25, "contactFields": ["email"]}, 30)]),
        (10, [({"limit": 50, "includeContacts": False}, 10)]),
        (4, []),
    ],
)
def test_suggestions(limit, suggested):
    """Only what fits is suggested, what gives up least first, and nothing that gives up more for nothing."""
    decision = run(SearchSize(100, ("email", "phone")), limit)
    assert [(each.change, each.ceiling) for each in decision.suggestions] == suggested
    assert {each.verdict for each in decision.suggestions} <= {Verdict.ALLOW}


def test_a_way_around_the_question():
    """Where a run needs a confirmation, only what needs none is suggested."""
    decision = run(SearchSize(100, ("email",)), 500, confirm_above=40)
    assert decision.verdict is Verdict.NEEDS_CONFIRMATION
    assert [each.change for each in decision.suggestions] == [{"limit": 25}, {"includeContacts": False}]


def test_a_suggestion_may_need_a_confirmation():
    """A denied run may shrink to one that a person must confirm, and is told so."""
    decision = run(SearchSize(50, ("email",)), 50, confirm_above=20)
    assert [(each.change, each.verdict) for each in decision.suggestions] == [
        ({"limit": 25}, Verdict.NEEDS_CONFIRMATION),
        ({"includeContacts": False}, Verdict.ALLOW),
    ]


def test_outside_of_the_plan():
    """What the vendor calls within the plan is suggested in place of what it does not."""
    assert [each.change for each in run(SearchSize(50), 500, within_plan=False).suggestions] == [{"limit": 25}]


@given(SIZES, PRICES, st.decimals(0, 10**5, places=2), st.none() | st.integers(1, 10**5), st.booleans())
def test_suggestions_help(size, prices, limit, confirm_above, within_plan):
    """At most three, and each of them fits and fares better than the run."""
    decision = run(size, limit, confirm_above=confirm_above, prices=prices, within_plan=within_plan)
    order = [Verdict.ALLOW, Verdict.NEEDS_CONFIRMATION, Verdict.DENY]
    assert len(decision.suggestions) <= (0 if decision.verdict is Verdict.ALLOW else 3)
    for each in decision.suggestions:
        assert each.ceiling <= limit
        assert order.index(each.verdict) < order.index(decision.verdict)


def test_no_more_is_asked_than_needed():
    """The vendor is not asked about what will not be shown."""
    budget = Budget("a", CREDIT, Decimal(100), Period.TOTAL)
    size = SearchSize(100, ("email", "phone"))
    first = decide(budget, Quote(CREDIT, Decimal(101)), reserved=ZERO, settled=ZERO)
    tried = iter([(SearchSize(25, (field,)), Quote(CREDIT, ZERO)) for field in "abcdef"])
    assert len(suggest(budget, first, size, tried, reserved=ZERO, settled=ZERO).suggestions) == 3
    assert len(list(tried)) == 3


def test_what_is_allowed_needs_no_suggestion():
    """Nothing is tried for a run that may begin."""
    size = SearchSize(25)
    budget = Budget("a", CREDIT, Decimal(5), Period.TOTAL)
    first = decide(budget, quote(size), reserved=ZERO, settled=ZERO)
    tried = iter([(size, quote(size))])
    assert suggest(budget, first, size, tried, reserved=ZERO, settled=ZERO) == first
    assert list(tried)

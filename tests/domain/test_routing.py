from dataclasses import fields, replace
from itertools import product
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.domain.record import FIELDS, Issue, IssueReason, Provenance, Record
from stibgate.domain.routing import Asked, Condition, Route, Router

PUSHED = "prospecting.records.pushed"
PUSH = Provenance("d1", "push", PUSHED, "2026-05-17T18:42:10Z", "search_1", None, "customer_1", "user_1")
JOBS = Provenance("d2", "jobs", "person_search.job.succeeded", "2026-05-17T18:42:10Z", job_id="job_1")
JANE = Record(
    prospect_id="5x5-person-123",
    person_id="person_123",
    first_name="Jane",
    last_name="Doe",
    job_title="Vice President",
    business_email="jane@example.com",
    company_name="Example Inc",
    company_domain="example.com",
    company_revenue=1_000_000,
    company_employee_count=50,
    company_industry="Software",
    company_sic="0742",
    company_naics="541512",
    company_city="Coeur d'Alene",
    company_state="ID",
    reveal_state="revealed",
)

SINKS = st.lists(st.sampled_from(["crm", "drop", "relay"]), max_size=3, unique=True).map(tuple)
STATES = st.none() | st.sampled_from(["ID", "WA", "OR"])
CONDITIONS = st.builds(
    Condition,
    event_type=st.none() | st.just(frozenset({PUSHED})),
    source=st.none() | st.sampled_from([frozenset({"push"}), frozenset({"push", "jobs"})]),
    company_state=st.none() | st.frozensets(st.sampled_from(["id", "WA", "OR"]), min_size=1),
    employee_count_min=st.none() | st.integers(0, 3),
    employee_count_max=st.none() | st.integers(0, 3),
    has=st.frozensets(st.sampled_from(["business_email", "job_id"]), max_size=1),
    lacks=st.frozensets(st.sampled_from(["company_state", "search_id"]), max_size=1),
)
ROUTES = st.lists(st.builds(Route, name=st.just(""), when=CONDITIONS, to=SINKS, go_on=st.booleans()), max_size=5).map(
    lambda routes: [replace(route, name=f"routes[{index}]") for index, route in enumerate(routes)]
)
SHORT = st.dictionaries(st.sampled_from(["push", "jobs"]), SINKS)
PROVENANCES = st.sampled_from([PUSH, JOBS])
RECORDS = st.lists(
    st.builds(
        Record,
        business_email=st.none() | st.just("jane@example.com"),
        company_state=STATES,
        company_employee_count=st.none() | st.integers(0, 3) | st.just("2"),
    ),
    max_size=6,
).map(lambda records: [replace(record, position=index) for index, record in enumerate(records)])

property_test = settings(max_examples=100, deadline=None)


def one(when, record=JANE, provenance=PUSH):
    """Whether *record* meets *when*, and what the explanation says when it does not."""
    router = Router([Route("r", when, ("crm",))])
    met = router.route(provenance, [record]).sinks == {"crm": (record.position,)}
    (step,) = router.explain(provenance, record).steps
    assert met is (step.asked is Asked.MATCHED)
    return met, step.condition, step.seen


def only(*values):
    return frozenset(values)


@pytest.mark.parametrize(
    "when",
    [
        Condition(),
        Condition(event_type=only(PUSHED, "x"), source=only("push"), search_id=only("search_1")),
        Condition(partner_customer_id=only("customer_1"), partner_user_id=only("user_1")),
        Condition(company_state=only("WA", "id"), company_city=only("COEUR  D'ALENE"), company_sic=only("0742")),
        Condition(company_industry=only("software"), company_naics=only("541512"), reveal_state=only("Revealed")),
        Condition(
            company_domain=only("Example.com"), company_name=only("example inc"), job_title=only("vice president")
        ),
        Condition(employee_count_min=50, employee_count_max=50, revenue_min=0, revenue_max=1_000_000),
        Condition(has=only("business_email", "company_revenue", "position", "search_id", "delivery_id")),
        Condition(lacks=only("mobile_phone", "issues", "extra", "job_id")),
    ],
)
def test_what_holds(when):
    """A record meets a route whose every condition holds."""
    assert one(when) == (True, "", "")


@pytest.mark.parametrize(
    ("when", "condition", "seen"),
    [
        (Condition(event_type=only("x")), "event_type", PUSHED),
        (Condition(source=only("Push")), "source", "push"),
        (Condition(search_id=only("SEARCH_1")), "search_id", "search_1"),
        (Condition(job_id=only("job_1")), "job_id", "nothing"),
        (Condition(partner_user_id=only("user_2")), "partner_user_id", "a value not shown here"),
        (Condition(company_state=only("WA")), "company_state", "ID"),
        (Condition(company_sic=only("742")), "company_sic", "0742"),
        (Condition(company_domain=only("example.org")), "company_domain", "a value not shown here"),
        (Condition(job_title=only("President")), "job_title", "a value not shown here"),
        (Condition(employee_count_min=51), "employee_count_min", "50"),
        (Condition(employee_count_max=49), "employee_count_max", "50"),
        (Condition(revenue_min=1, revenue_max=999_999), "revenue_max", "1000000"),
        (Condition(has=only("mobile_phone")), "has mobile_phone", "nothing"),
        (Condition(has=only("issues")), "has issues", "nothing"),
        (Condition(has=only("job_id")), "has job_id", "nothing"),
        (Condition(lacks=only("business_email")), "lacks business_email", "a value not shown here"),
        (Condition(lacks=only("position")), "lacks position", "0"),
        (Condition(lacks=only("search_id")), "lacks search_id", "search_1"),
    ],
)
def test_what_does_not_hold(when, condition, seen):
    """The first condition that does not hold is named, with what was there instead."""
    assert one(when) == (False, condition, seen)


@pytest.mark.parametrize("name", [f.name for f in fields(Condition) if f.name not in {"has", "lacks"}])
def test_a_missing_value_meets_nothing(name):
    """What is not there is in no set and in no range."""
    bound = name.endswith(("_min", "_max"))
    nobody = Provenance("d", "", "", "")
    assert one(Condition(**{name: 0 if bound else only("x")}), Record(), nobody) == (False, name, "nothing")


@pytest.mark.parametrize("bounds", [{"employee_count_min": 0}, {"employee_count_max": 10**9}])
def test_text_is_in_no_range(bounds):
    """A count that was kept as invalid text is in no range, whatever it says."""
    met, _, seen = one(Condition(**bounds), replace(JANE, company_employee_count="50"))
    assert (met, seen) == (False, "a value not shown here")


def test_zero_is_there():
    """A revenue of 0 is a value: it is there, and it is in a range that begins with it."""
    assert one(Condition(has=only("company_revenue"), revenue_min=0), replace(JANE, company_revenue=0))[0]


def test_flagged_and_unknown_fields_can_be_asked_for():
    """`issues` and `extra` are there when they hold something."""
    flagged = replace(JANE, issues=(Issue("mobile_phone", IssueReason.INVALID, "none"),), extra={"x": 1})
    assert one(Condition(has=only("issues", "extra")), flagged)[0]
    assert one(Condition(lacks=only("issues")), flagged) == (False, "lacks issues", "a value not shown here")


def test_every_field_can_be_asked_for():
    """Whatever a drop's columns may name, `has` and `lacks` take."""
    for name in FIELDS:
        assert one(Condition(has=only(name)))[0] is not one(Condition(lacks=only(name)))[0]


def test_nothing_personal_is_shown():
    """An explanation shows numbers, codes and ids of the delivery, and nothing else that a record holds."""
    canary = "Canary Of Jane"
    texts = {f.name: canary for f in fields(Record) if f.name not in {"position", "issues", "extra"}}
    record = Record(**texts, extra={"x": canary})
    for f in fields(Condition):
        lacking = f.name == "lacks"
        value = only(*texts, "extra") if lacking else 1 if f.name.endswith(("_min", "_max")) else only("x")
        if f.name != "has":
            assert canary not in str(Router([Route("r", Condition(**{f.name: value}), ())]).explain(PUSH, record))


def test_the_first_that_fits_takes_a_record():
    """Routes are asked in order; one that goes on lets the next ones have the record too."""
    west = Condition(company_state=only("ID"))
    routes = [Route("a", west, ("crm",), go_on=True), Route("b", west, ("drop",)), Route("c", Condition(), ("relay",))]
    records = [JANE, replace(JANE, company_state="OR", position=1)]
    assert Router(routes).route(PUSH, records).sinks == {"crm": (0,), "drop": (0,), "relay": (1,)}
    asked = [step.asked for step in Router(routes).explain(PUSH, JANE).steps]
    assert asked == [Asked.MATCHED, Asked.MATCHED, Asked.NOT_ASKED]


def test_the_short_form_is_the_last_route_of_its_source():
    """A source's own sinks get what no route took finally, also what one let go on, and only from that source."""
    routes = [
        Route("a", Condition(company_state=only("ID")), ("crm",), go_on=True),
        Route("b", Condition(has=only("job_id")), ()),
    ]
    router = Router(routes, {"push": ("drop",), "jobs": ("relay",), "silent": ()})
    assert router.route(PUSH, [JANE]).sinks == {"crm": (0,), "drop": (0,)}
    assert router.explain(PUSH, JANE).matched == ("a", "sources.push.routes")
    assert router.route(JOBS, [replace(JANE, company_state=None)]).unrouted == (0,)
    assert router.route(replace(PUSH, source="silent"), [JANE]).sinks == {"crm": (0,)}


def test_a_sink_takes_a_record_once():
    """However many routes name a sink, each record is in it once, and in the order of the delivery."""
    routes = [
        Route("a", Condition(company_state=only("ID")), ("crm", "drop"), go_on=True),
        Route("b", Condition(company_state=only("WA")), ("drop", "crm")),
        Route("c", Condition(), ("crm",)),
    ]
    records = [replace(JANE, company_state=state, position=index) for index, state in enumerate(["OR", "WA", "ID"])]
    routing = Router(routes).route(PUSH, records)
    assert list(routing.sinks.items()) == [("crm", (0, 1, 2)), ("drop", (1, 2))]


def test_why_a_record_goes_nowhere():
    """An unrouted record has its reason: the route that meant it, or what each route missed, or that there is none."""
    aside = Route("aside", Condition(lacks=only("mobile_phone")), ())
    assert Router([aside], {"push": ("drop",)}).explain(PUSH, JANE).why_nowhere == "aside: to nowhere"
    strict = [
        Route("big", Condition(employee_count_min=99), ("crm",)),
        Route("w", Condition(source=only("x")), ("crm",)),
    ]
    assert Router(strict).explain(PUSH, JANE).why_nowhere == "big: employee_count_min, saw 50; w: source, saw push"
    assert Router([]).explain(PUSH, JANE).why_nowhere == "there is no route for its source"
    assert Router([], {"push": ("drop",)}).explain(PUSH, JANE).why_nowhere == ""


def test_records_are_not_looked_at_when_only_the_delivery_is_asked():
    """Routes that ask nothing of a record are decided once, for 2,000 records by their positions alone."""
    routes = [
        Route("a", Condition(event_type=only(PUSHED), has=only("search_id")), ("crm",), go_on=True),
        Route("b", Condition(source=only("jobs"), company_state=only("ID")), ("relay",)),
    ]
    sealed = [SimpleNamespace(position=index) for index in range(2_000)]
    routing = Router(routes, {"push": ("drop",)}).route(PUSH, sealed)
    assert routing.sinks == {"crm": tuple(range(2_000)), "drop": tuple(range(2_000))}
    assert routing.unrouted == ()


@property_test
@given(ROUTES, SHORT, PROVENANCES, RECORDS)
def test_every_record_goes_somewhere_or_is_unrouted(routes, short, provenance, records):
    """Every record is in at least one sink or unrouted, never both; no sink is empty or has one twice."""
    routing = Router(routes, short).route(provenance, records)
    routed = {position for positions in routing.sinks.values() for position in positions}
    assert routed.isdisjoint(routing.unrouted)
    assert routed | set(routing.unrouted) == set(range(len(records)))
    for positions in (*routing.sinks.values(), routing.unrouted):
        assert list(positions) == sorted(set(positions))
    assert all(routing.sinks.values())


@property_test
@given(ROUTES, SHORT, PROVENANCES, RECORDS)
def test_a_record_is_routed_alone_as_among_others(routes, short, provenance, records):
    """What becomes of a record hangs on it and its delivery alone, and is what the explanation says."""
    router = Router(routes, short)
    routing = router.route(provenance, records)
    for record in records:
        sinks = [sink for sink, positions in routing.sinks.items() if record.position in positions]
        told = router.explain(provenance, record)
        assert set(sinks) == set(router.route(provenance, [record]).sinks) == set(told.sinks)
        assert len(told.steps) == len(routes) + bool(short.get(provenance.source))
        assert bool(told.why_nowhere) is not bool(sinks)
        assert router.may_take(provenance) or not sinks


@property_test
@given(ROUTES, PROVENANCES, RECORDS)
def test_a_catch_all_at_the_end_leaves_nothing(routes, provenance, records):
    """Behind a catch-all only those are unrouted that a route before it meant to go nowhere."""
    router = Router([*routes, Route("rest", Condition(), ("drop",))])
    for position in router.route(provenance, records).unrouted:
        taken_by = router.explain(provenance, records[position]).taken_by
        assert next(route for route in routes if route.name == taken_by).to == ()


@property_test
@given(ROUTES, PROVENANCES, RECORDS, st.randoms(use_true_random=False))
def test_routes_that_all_go_on_have_no_order(routes, provenance, records, rng):
    """When every route goes on, their order changes nothing but the order of the sinks."""
    routes = [replace(route, go_on=True) for route in routes]
    before = Router(routes).route(provenance, records)
    rng.shuffle(routes)
    assert Router(routes).route(provenance, records) == before


@property_test
@given(PROVENANCES, RECORDS, st.lists(CONDITIONS, min_size=2, max_size=8))
def test_what_a_condition_covers_meets_it(provenance, records, conditions):
    """A route behind one that covers it never takes a record; every condition covers itself."""
    for wide, narrow in product(conditions, conditions):
        if wide.covers(narrow):
            router = Router([Route("wide", wide, ("crm",)), Route("narrow", narrow, ("drop",))])
            assert "drop" not in router.route(provenance, records).sinks
        else:
            assert wide is not narrow


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (Condition(source=only("push", "jobs")), Condition(source=only("push"))),
        (Condition(company_state=only("id", "WA")), Condition(company_state=only("ID"), has=only("person_id"))),
        (Condition(employee_count_min=5), Condition(employee_count_min=5, employee_count_max=9)),
        (Condition(lacks=only("job_id")), Condition(lacks=only("job_id", "extra"))),
    ],
)
def test_covers_is_one_way(wide, narrow):
    """A wider condition covers a narrower one, and not the other way round."""
    assert Condition().covers(wide)
    assert wide.covers(narrow)
    assert not narrow.covers(wide)
    assert not wide.covers(Condition())


@pytest.mark.parametrize(
    ("routes", "short", "may"),
    [
        ([], {}, False),
        ([], {"push": ("drop",)}, True),
        ([], {"jobs": ("drop",)}, False),
        ([Route("a", Condition(source=only("jobs")), ("crm",))], {}, False),
        ([Route("a", Condition(company_state=only("ID")), ("crm",))], {}, True),
        ([Route("a", Condition(), ())], {"push": ("drop",)}, False),
        ([Route("a", Condition(has=only("person_id")), ())], {"push": ("drop",)}, True),
    ],
)
def test_whether_a_delivery_may_go_anywhere(routes, short, may):
    """Before any record is looked at, a delivery is not routed only when no record of it could be."""
    assert Router(routes, short).may_take(PUSH) is may

"""`[[routes]]`: what may be asked, in which form, and what is said when it makes no sense."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from stibgate.config import as_text, json_schema, load, masked
from stibgate.config.routes import RouteSettings, WhenSettings, rules
from stibgate.domain.record import FIELDS, Provenance, Record
from stibgate.domain.routing import Condition

CRM = """
[sinks.crm]
kind = "ndjson"
dir = "crm"
"""


@pytest.fixture
def routed(write, whole):
    """Return a function that loads the small configuration with these routes."""

    def load_with(routes: str, **environ: str):
        return load(write(f"{whole}{CRM}{routes}"), environ=environ)

    return load_with


@pytest.fixture
def complaints(problems, whole):
    """Return a function that loads the small configuration with these routes, and returns its problems from `routes` on."""

    def lines(routes: str, **environ: str) -> list[str]:
        return [line.partition("  ")[2] for line in problems(f"{whole}{CRM}{routes}", **environ)]

    return lines


def test_as_people_write_it(routed):
    """One text or a list of them, inline or as a table of its own: all is one route, in the form that records have."""
    settings = routed("""
[[routes]]
name = "north-west"
when = { event_type = "prospecting.records.pushed", company_state = ["Idaho", "wa"], has = "business_email" }
to = "crm"
continue = true

[[routes]]
to = []
[routes.when]
company_domain = "https://www.Example.com/about"
company_city = " Coeur  d'Alene"
employee_count_min = 50
""").settings
    first, second = rules(settings.routes)
    assert (first.name, first.to, first.go_on) == ("north-west", ("crm",), True)
    assert first.when == Condition(
        event_type=frozenset({"prospecting.records.pushed"}),
        company_state=frozenset({"ID", "WA"}),
        has=frozenset({"business_email"}),
    )
    assert (second.name, second.to, second.go_on) == ("routes[1]", (), False)
    assert second.when == Condition(
        company_domain=frozenset({"example.com"}),
        company_city=frozenset({"Coeur d'Alene"}),
        employee_count_min=50,
    )


def test_the_router_has_the_routes_and_the_short_forms(routed):
    """Settings make the router: `[[routes]]` first, then each source's own `routes`."""
    router = routed('[[routes]]\nwhen = { company_state = "ID" }\nto = ["crm"]\n').settings.router()
    provenance = Provenance("d", "push", "prospecting.records.pushed", "")
    routing = router.route(provenance, [Record(company_state="ID"), Record(position=1)])
    assert routing.sinks == {"crm": (0,), "drop": (1,)}


def test_no_routes_is_the_default(write, whole):
    """Without `[[routes]]` the short forms alone decide."""
    settings = load(write(whole), environ={}).settings
    assert settings.routes == ()
    assert settings.router().route(Provenance("d", "jobs", "x", ""), [Record()]).sinks == {"drop": (0,)}


@pytest.mark.parametrize(
    ("route", "line"),
    [
        ('to = ["crm", "dorp"]', "routes[0].to[1]  'dorp'  no such sink; did you mean drop?"),
        ('to = "x"', "routes[0].to  'x'  no such sink; there are drop, crm"),
        ('to = ["crm", "crm"]', "routes[0].to[1]  'crm'  the same sink stands there twice"),
        ('to = ["crm", 7]', "routes[0].to[1]  7  must be text in quotes"),
        ("name = 'x'", "routes[0].to  is required"),
        ('to = "crm"\nwhen = { source = "psuh" }', "routes[0].when.source  'psuh'  no such source; did you mean push?"),
        ('to = "crm"\nwhen = { source = ["push", "x"] }', "routes[0].when.source[1]  'x'  no such source; there are"),
        ('to = "crm"\nwen = {}', "routes[0].wen  no such key; did you mean when?"),
        ('to = "crm"\ncontinu = true', "routes[0].continu  no such key; did you mean continue?"),
        ('to = "crm"\ngo_on = true', "routes[0].go_on  no such key; there are name, when, to, continue"),
        ('to = "crm"\ncontinue = "yes"', "routes[0].continue  'yes'  must be true or false"),
        ("to = []\ncontinue = true", "routes[0]  a table  does nothing: to = [] and continue = true"),
        ('to = "crm"\nname = ""', "routes[0].name  ''  must be 1 to 100 printable characters"),
        (
            'to = "crm"\nwhen = { company_sate = "ID" }',
            "routes[0].when.company_sate  no such key; did you mean company_state?",
        ),
        (
            'to = "crm"\nwhen = { has = ["email"] }',
            "routes[0].when.has[0]  'email'  no such field; did you mean business_email?",
        ),
        (
            'to = "crm"\nwhen = { has = ["job_titel"] }',
            "routes[0].when.has[0]  'job_titel'  no such field; did you mean job_title?",
        ),
        ('to = "crm"\nwhen = { lacks = "zzz" }', "routes[0].when.lacks  'zzz'  no such field of a record"),
        ('to = "crm"\nwhen = { company_state = [] }', "routes[0].when.company_state  []  must have 1 or more items"),
        ('to = "crm"\nwhen = { company_city = " " }', "routes[0].when.company_city  ' '  must not be empty"),
        ('to = "crm"\nwhen = { company_domain = "a b" }', "routes[0].when.company_domain  'a b'  must be a domain"),
        ('to = "crm"\nwhen = { company_sic = 7372 }', "routes[0].when.company_sic  7372  must be"),
        ('to = "crm"\nwhen = { revenue_min = "1" }', "routes[0].when.revenue_min  '1'  must be a whole number"),
        ('to = "crm"\nwhen = { revenue_max = -1 }', "routes[0].when.revenue_max  -1  must be 0 or more"),
        (
            'to = "crm"\nwhen = { employee_count_min = 9, employee_count_max = 8 }',
            "routes[0].when  a table  can never hold: employee_count_min is above employee_count_max",
        ),
        (
            'to = "crm"\nwhen = { has = "job_title", lacks = ["job_title"] }',
            "routes[0].when  a table  can never hold: has and lacks both name job_title",
        ),
    ],
)
def test_what_makes_no_sense_is_said(complaints, route, line):
    """Each mistake in a route is one problem, with its place and what was probably meant."""
    (found,) = complaints(f"[[routes]]\n{route}\n")
    assert found.startswith(line)


def test_the_line_of_a_mistake(problems, whole):
    """A mistake in a route is told with its own line, also in the second one and in a table below it."""
    text = '[[routes]]\nto = ["drop"]\n[[routes]]\nto = ["dorp"]\n[routes.when]\nsource = "x"\n'
    lines = problems(text + whole)
    assert [line.partition("  ")[0] for line in lines] == ["config.toml:4", "config.toml:6"]


def test_two_routes_of_one_name(complaints):
    """No two routes have the same name: an explanation must say which it means."""
    (found,) = complaints(
        '[[routes]]\nname = "a"\nto = ["crm"]\n[[routes]]\nname = "a"\nwhen = { source = "push" }\nto = []\n'
    )
    assert found == "routes[1].name  'a'  another route has this name"


@pytest.mark.parametrize("text", ['[{ to = ["crm"] }]', '[{ name = "x", to = "crm", continue = true }, { to = [] }]'])
def test_from_the_environment(routed, text):
    """`STIBGATE_ROUTES` is a TOML list of tables, and replaces those of the file."""
    settings = routed('[[routes]]\nname = "file"\nto = ["drop"]\n', STIBGATE_ROUTES=text).settings
    assert settings.routes[0].to == ("crm",)
    assert "file" not in {route.name for route in settings.routes}


@pytest.mark.parametrize("text", ["crm", "crm,drop", '[{"to": ["crm"]}]', "[["])
def test_from_the_environment_in_another_form(complaints, text):
    """Any other text in `STIBGATE_ROUTES` is refused with the form that it must have."""
    (found,) = complaints("", STIBGATE_ROUTES=text)
    assert found.startswith("STIBGATE_ROUTES  ")
    assert found.endswith('must be a list of tables, for example [{ to = ["drop"] }]')


def test_one_route_has_no_variable_of_its_own(complaints):
    """A variable for a part of the list is refused, and the one for the list named."""
    (found,) = complaints("", STIBGATE_ROUTES__0__TO="crm")
    assert found == "STIBGATE_ROUTES__0__TO  no such variable; did you mean STIBGATE_ROUTES?"


@pytest.mark.parametrize(
    ("routes", "notice"),
    [
        (
            '[[routes]]\nto = ["crm"]\n',
            "route sources.jobs.routes can never match: routes[0], before it, takes all such records",
        ),
        (
            """
[[routes]]
name = "west"
when = { company_state = ["ID", "WA"] }
to = ["crm"]
[[routes]]
when = { company_state = "ID", source = "push" }
to = ["drop"]
""",
            "route routes[1] can never match: west, before it, takes all such records",
        ),
        (
            '[[routes]]\nwhen = { event_type = "prospecting.record.pushed" }\nto = ["crm"]\n',
            "route routes[0] asks for 'prospecting.record.pushed', which is no event with records; did you mean prospecting.records.pushed?",
        ),
    ],
)
def test_a_route_that_never_matches_is_a_notice(routed, routes, notice):
    """A route that an earlier one shadows, or that asks for an event without records, is noticed."""
    assert notice in routed(routes).notices


def test_a_route_that_goes_on_shadows_nothing(routed):
    """No notice when the earlier route goes on, or is narrower than the later one."""
    assert routed('[[routes]]\nto = ["crm"]\ncontinue = true\n').notices == ()
    assert routed('[[routes]]\nwhen = { source = "push", has = "job_title" }\nto = ["crm"]\n').notices == ()


def test_routes_are_considered_where_sinks_and_sources_are(write, whole):
    """A sink that only `[[routes]]` names is used; a source whose records only they take is forwarded."""
    text = whole.replace('routes = ["drop"]', "")
    routes = '[[routes]]\nwhen = { source = "push" }\nto = ["drop"]\n'
    assert load(write(text + routes), environ={}).notices == (
        "sources.jobs has no routes: its deliveries are stored and forwarded nowhere",
    )
    nowhere = load(write(text + "[[routes]]\nto = []\n"), environ={}).notices
    assert "sinks.drop is in no route: nothing goes there" in nowhere
    assert "sources.push has no routes: its deliveries are stored and forwarded nowhere" in nowhere


def test_shown_as_it_is_read(routed, write, whole):
    """`config show` prints routes as TOML that loads to the same routes."""
    settings = routed(
        '[[routes]]\nname = "a"\nwhen = { source = ["push", "jobs"], revenue_min = 5 }\nto = ["crm"]\ncontinue = true\n'
        '[[routes]]\nwhen = { has = ["issues"] }\nto = []\n'
    ).settings
    shown = tomllib.loads(as_text(masked(settings)))["routes"]
    assert tuple(RouteSettings.model_validate(route) for route in shown) == settings.routes


def test_conditions_are_those_of_the_router():
    """What a file may ask for is what the router can ask, by the same names."""
    assert list(WhenSettings.model_fields) == [f.name for f in fields(Condition)]


def test_every_field_may_be_asked_for(routed):
    """`has` and `lacks` take every name that a drop's columns take."""
    names = ", ".join(f'"{name}"' for name in FIELDS)
    (route,) = routed(f'[[routes]]\nwhen = {{ has = [{names}] }}\nto = ["crm"]\n').settings.routes
    assert route.when.condition().has == frozenset(FIELDS)


def test_the_example_names_every_key():
    """`config.example.toml` names every key of a route and every condition."""
    text = (Path(__file__).parents[2] / "config.example.toml").read_text(encoding="utf-8")
    missing = [
        key
        for key in [*json_schema()["$defs"]["RouteSettings"]["properties"], *WhenSettings.model_fields]
        if key not in text
    ]
    assert missing == []

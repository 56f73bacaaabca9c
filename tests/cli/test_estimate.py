"""`stibgate estimate` prices a search, decides by the plan, a budget and --max-credits, and fails closed."""

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from stibgate.app.clock import now_ms
from stibgate.cli import estimate
from stibgate.cli.estimate import Gate
from stibgate.domain.budget import Budget, Period, Quote, Reason, Unit, Verdict, window
from stibgate.pipeline.alarms import BudgetUse
from stibgate.sandbox.server import serve
from stibgate.sandbox.thehog import TheHogSandbox
from stibgate.stores import Spent
from stibgate.vendors.retry import Patience
from stibgate.vendors.thehog import TheHogClient
from stibgate.views.words import amount_number
from tests.cli.beside import Line

QUERY = "canary-query VP Engineering"
NOW_MS = 1_779_043_330_004  # 2026-05-17T18:42:10.004Z


@dataclass
class Desk:
    """The command line beside a real sandbox."""

    sandbox: TheHogSandbox
    config: Path
    run: Line

    async def estimate(self, *words, query=QUERY):
        return await self.run("estimate", query, *words, "--config", self.config)

    @property
    def asked(self):
        """What was asked of The Hog, oldest first."""
        return [json.loads(request.body) for request in self.sandbox.requests]


BUDGETS = """
[budgets.team]
unit = "thehog.credit"
limit = 100
period = "month"
confirm_above = 50

[budgets.pushes]
unit = "stibnite.credit_unit"
limit = 100
period = "month"
"""


def written(path, url, *, access, secret):
    """Return the path of a configuration of The Hog at *url*."""
    file = path / "config.toml"
    file.write_text(
        f'[storage]\nurl = "sqlite:///{path}/none.db"\n[thehog]\nbase_url = "{url}"\n'
        f'access_key = "{access}"\nsecret_key = "{secret}"\n{BUDGETS}'
    )
    return file


@pytest.fixture
def run(monkeypatch, capsys):
    """Return what runs a command line; no vendor is asked for long."""
    monkeypatch.setattr(estimate, "PATIENCE", Patience(tries_max=2, base_s=0.001))
    return Line(monkeypatch, capsys)


@pytest.fixture
def desk(run, tmp_path):
    """Return a context manager: the command line at a sandbox with these knobs."""

    @asynccontextmanager
    async def begun(*, access=None, secret=None, **knobs):
        sandbox = TheHogSandbox(seed=7, now=lambda: NOW_MS / 1000, **knobs)
        async with serve(sandbox.app()) as url:
            keys = {"access": access or sandbox.access_key, "secret": secret or sandbox.secret_key}
            yield Desk(sandbox, written(tmp_path, url, **keys), run)

    return begun


async def test_breakdown_for_people(desk):
    """Ceiling, pages, contacts by field, person and attempt, plan, latency, assumptions and the decision are shown."""
    async with desk() as at:
        ran = await at.estimate("--limit", "26", "--contacts", "both")
    shown = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert (ran.code, ran.err) == (0, "")
    assert shown["estimate"].startswith("192 thehog.credit at most")
    assert shown["discovery"].startswith("10 for 2 pages of up to 25 people")
    assert "26 cost two" in shown["discovery"]
    assert shown["contacts"] == "182 for email and phone of up to 26 people, attempts for each: 1"
    assert shown["plan"] == "within the plan's limits"
    assert shown["answer"] == "async, 30s-5m"
    assert shown["assumptions"].startswith("conservative_preflight_ceiling: ")
    assert shown["allowed:"] == "estimate 192 is within the vendor's plan; no budget was named"


async def test_every_documented_field_is_sent(desk):
    """Each option is a documented field of the request; what is not given is not sent."""
    words = "--limit 40 --contacts email,phone --signals --max-credits 800.5 --title CTO --title VP --title-match exact"
    words += " --location Boise --industry SaaS --signal hiring --employees-min 10 --employees-max 500"
    words += " --company-name Acme --company-domain example.com --company-linkedin https://linkedin.com/company/x"
    words += " --company-industry Tools --company-signal funding --company-employees-min 0 --company-employees-max 9"
    async with desk() as at:
        assert (await at.estimate(*words.split())).code == 0
        assert (await at.estimate()).code == 0
        full, bare = at.asked
    assert full == {
        "query": QUERY,
        "limit": 40,
        "includeSignals": True,
        "includeContacts": True,
        "contactFields": ["email", "phone"],
        "maxCredits": 800.5,
        "filters": {
            "titles": ["CTO", "VP"],
            "titleMatch": "exact",
            "locations": ["Boise"],
            "industries": ["SaaS"],
            "employeeCount": {"min": 10, "max": 500},
            "signals": ["hiring"],
            "company": {
                "names": ["Acme"],
                "domains": ["example.com"],
                "linkedinUrls": ["https://linkedin.com/company/x"],
                "industries": ["Tools"],
                "employeeCount": {"min": 0, "max": 9},
                "signals": ["funding"],
            },
        },
    }
    assert bare == {"query": QUERY, "limit": 25, "includeSignals": False, "includeContacts": False}


@pytest.mark.parametrize(
    "words",
    [
        ("--limit", "0"),
        ("--limit", "101"),
        ("--contacts", "fax"),
        ("--max-credits", "-1"),
        ("--max-credits", "many"),
        ("--max-credits", "nan"),
        ("--employees-min", "9", "--employees-max", "1"),
        ("--employees-min", "-1"),
        ("--title", " "),
        ("--budget", "nobody"),
        ("--budget", "pushes"),
    ],
)
async def test_what_cannot_be_asked(desk, words):
    """A wrong option, an unknown budget, or one that counts another unit, is a usage error, and nothing is sent."""
    async with desk() as at:
        ran = await at.estimate(*words)
        assert (ran.code, ran.out, at.asked) == (2, "", []), ran
    assert "rror" in ran.err


async def test_the_documented_object(desk):
    """--json prints one object in the documented shape, its amounts as numbers, whole ones as integers."""
    async with desk() as at:
        ran = await at.estimate("--contacts", "email", "--budget", "team", "--json")
        month = window(Period.MONTH, now_ms()).name
    assert (ran.code, ran.err) == (0, "")
    assumptions = ran.object.pop("assumptions")
    assert assumptions["mode"] == "conservative_preflight_ceiling"
    assert ran.object | {"assumptions": 0} == {
        "provider": "thehog",
        "unit": "thehog.credit",
        "estimated": 30,
        "max_credits": None,
        "likely_sync_or_async": "async",
        "within_plan_limits": True,
        "expected_latency_range": "30s-5m",
        "breakdown": {
            "baseSearchCredits": 5,
            "contactEnrichment": {
                "includeContacts": True,
                "fields": ["email"],
                "maxPeople": 25,
                "contactAttemptsPerFieldPerPerson": 1,
                "estimatedCredits": 25,
            },
        },
        "assumptions": 0,
        "warnings": [],
        "budget": {
            "name": "team",
            "unit": "thehog.credit",
            "limit": 100,
            "reserved": 0,
            "settled": 0,
            "remaining": 100,
            "window": month,
        },
        "decision": "allow",
        "reason": "fits",
        "reasons": ["estimate 30 <= remaining 100"],
        "suggestions": [],
    }


async def test_over_budget(desk):
    """What the budget cannot pay is denied with 3; each suggestion is what the vendor itself would say, and fits."""
    async with desk() as at:
        ran = await at.estimate("--limit", "50", "--contacts", "both", "--budget", "team", "--json")
        own = len(at.asked)
        assert ran.code == 3
        assert (ran.object["decision"], ran.object["reason"]) == ("deny", "over_budget")
        assert ran.object["reasons"] == ["estimate 360 > remaining 100"]
        assert own <= 1 + estimate.ASKED_MAX
        assert ran.object["suggestions"][0] == {
            "change": {"contactFields": ["email"]},
            "estimated": 60,
            "decision": "needs_confirmation",
        }
        for suggestion in ran.object["suggestions"]:
            change = suggestion["change"]
            contacts = ",".join(change.get("contactFields", [])) or "none"
            again = await at.estimate("--limit", str(change.get("limit", 50)), "--contacts", contacts, "--json")
            assert again.object["estimated"] == suggestion["estimated"]


async def test_for_people_the_suggestions_are_options(desk):
    """What fares better is printed as the options that ask for it."""
    async with desk() as at:
        ran = await at.estimate("--contacts", "both", "--budget", "team")
    assert ran.code == 3
    assert "denied: estimate 180 > remaining 100" in ran.out
    assert "  instead --contacts email: at most 30, allowed" in ran.out
    assert "budget        team (" in ran.out
    assert "): 100 of 100 thehog.credit left, 0 reserved, 0 settled" in ran.out


async def test_confirmation(desk):
    """Above confirm_above the exit code is 4, and 0 once --yes confirms; a denied search cannot be confirmed."""
    words = ("--limit", "50", "--contacts", "email", "--budget", "team", "--json")
    async with desk() as at:
        ran = await at.estimate(*words)
        assert (ran.code, ran.object["decision"]) == (4, "needs_confirmation")
        assert all(suggestion["decision"] == "allow" for suggestion in ran.object["suggestions"])
        assert ran.object["suggestions"]
        ran = await at.estimate(*words, "--yes")
        assert (ran.code, ran.object["decision"], ran.object["reason"]) == (0, "allow", "confirmed")
        ran = await at.estimate("--contacts", "both", "--budget", "team", "--json", "--yes")
        assert (ran.code, ran.object["decision"]) == (3, "deny")


async def test_outside_of_the_plan(desk):
    """What the plan does not cover is denied, with or without a budget; suggestions are asked for, three at most."""
    async with desk(plan_limit=Decimal(40)) as at:
        for budget in ((), ("--budget", "team")):
            at.sandbox.requests.clear()
            ran = await at.estimate("--limit", "100", "--contacts", "both", "--json", *budget)
            assert (ran.code, ran.object["reason"]) == (3, "outside_plan")
            assert ran.object["within_plan_limits"] is False
            assert len(at.asked) == 1 + estimate.ASKED_MAX
            assert ran.object["suggestions"] == [
                {"change": {"includeContacts": False}, "estimated": 20, "decision": "allow"}
            ]
        assert (await at.estimate("--contacts", "email")).code == 0


async def test_max_credits_below_the_estimate(desk):
    """A search whose estimate is above --max-credits would be refused, not cut: denied, with variants that fit."""
    async with desk() as at:
        ran = await at.estimate("--limit", "50", "--contacts", "email", "--max-credits", "30", "--json")
        assert ran.code == 3
        assert (ran.object["estimated"], ran.object["max_credits"], ran.object["budget"]) == (60, 30, None)
        assert ran.object["reasons"] == ["estimate 60 > max_credits 30: the search would be refused (402), not cut"]
        assert [each["estimated"] for each in ran.object["suggestions"]] == [30, 10]
        assert {asked["maxCredits"] for asked in at.asked} == {30}
        assert (await at.estimate("--contacts", "email", "--max-credits", "30")).code == 0


async def test_max_credits_and_a_budget(desk):
    """The stricter of the two decides, suggestions fit both, and only --max-credits is named where it alone denies."""
    async with desk() as at:
        ran = await at.estimate("--contacts", "email", "--max-credits", "29.5", "--budget", "team", "--json")
        assert ran.code == 3
        assert ran.object["reasons"] == ["estimate 30 > max_credits 29.5: the search would be refused (402), not cut"]
        assert ran.object["suggestions"] == [
            {"change": {"includeContacts": False}, "estimated": 5, "decision": "allow"}
        ]
        ran = await at.estimate("--contacts", "both", "--max-credits", "170", "--budget", "team", "--json")
        assert [reason.split(":")[0] for reason in ran.object["reasons"]] == [
            "estimate 180 > remaining 100",
            "estimate 180 > max_credits 170",
        ]


FAULTS = ["401", "402", "403", "422", "429", "500", "502", "503", "504", "html", "html_200", "truncated", "cut"]
OUT = {"401": 77, "403": 77, "402": 1, "422": 1, "html_200": 1, "truncated": 1}


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_estimate(desk, fault):
    """Without an estimate a budget or --max-credits denies with 3 and says why; without either the error goes out."""
    async with desk() as at:
        for gate in (("--budget", "team"), ("--max-credits", "1000"), ("--budget", "team", "--yes")):
            at.sandbox.fail_next(fault, count=2 if fault not in OUT else 1, retry_after="")
            ran = await at.estimate(*gate, "--json")
            assert ran.code == 3, ran
            assert (ran.object["decision"], ran.object["reason"]) == ("deny", "no_estimate")
            assert ran.object["estimated"] is None
            assert ran.object["suggestions"] == []
            assert ran.object["reasons"][0].startswith("what it may cost is not known: POST /api/v1/people/search/")
            assert ran.err.startswith("hint: ")
            assert "canary" not in ran.out + ran.err
        at.sandbox.fail_next(fault, count=2 if fault not in OUT else 1, retry_after="")
        ran = await at.estimate("--json")
        assert (ran.code, ran.out) == (OUT.get(fault, 75), "")
        assert ran.err.startswith("error: ")
        assert "canary" not in ran.err


async def test_one_fault_is_tried_again(desk):
    """A fault that passes is no denial."""
    async with desk() as at:
        at.sandbox.fail_next("500")
        assert (await at.estimate("--budget", "team")).code == 0


async def test_an_answer_that_does_not_come(desk, monkeypatch):
    """A vendor that does not answer in time is one that cannot price: denied with a budget, 75 without."""
    monkeypatch.setitem(TheHogClient.__init__.__kwdefaults__, "timeout_s", 0.1)
    async with desk() as at:
        at.sandbox.fail_next("slow", count=8, seconds=5)
        ran = await at.estimate("--budget", "team")
        assert (ran.code, "no answer in time" in ran.out) == (3, True), ran
        assert (await at.estimate()).code == 75


async def test_nobody_there(run, tmp_path, unused_tcp_port):
    """An address where nobody listens denies with a budget, and is 75 without."""
    path = written(tmp_path, f"http://127.0.0.1:{unused_tcp_port}", access="ak_a", secret="sk_b")
    assert (await run("estimate", QUERY, "--config", path)).code == 75
    ran = await run("estimate", QUERY, "--config", path, "--max-credits", "5")
    assert ran.code == 3
    assert ran.out.startswith("denied: what it may cost is not known: ")


async def test_keys(desk, run, tmp_path):
    """Wrong keys are 77, swapped or missing ones 78 before anything is sent; no key is ever shown."""
    async with desk(secret="sk_canary-wrong") as at:
        ran = await at.estimate()
        assert (ran.code, "Credentials page" in ran.err, "canary" in ran.err) == (77, True, False)
        written(tmp_path, "http://127.0.0.1:1", access="sk_canary-1", secret="ak_canary-2")
        ran = await at.estimate("--budget", "team")
        assert (ran.code, "swapped" in ran.err, "canary" in ran.err) == (78, True, False)
    (tmp_path / "config.toml").write_text("")
    ran = await run("estimate", QUERY, "--config", tmp_path / "config.toml")
    assert (ran.code, "thehog.access_key" in ran.err) == (78, True)


async def test_suggestions_that_cannot_be_had(desk, monkeypatch):
    """A vendor that fails while smaller searches are tried leaves the decision, and what follows from the estimate."""
    async with desk() as at:
        monkeypatch.setattr(estimate, "PATIENCE", Patience(tries_max=1))
        real = at.sandbox._estimate

        async def once_then_500(request):
            answer = await real(request)
            at.sandbox.fail_next("500", count=9)
            return answer

        monkeypatch.setattr(at.sandbox, "_estimate", once_then_500)
        async with serve(at.sandbox.app()) as url:
            written(at.config.parent, url, access=at.sandbox.access_key, secret=at.sandbox.secret_key)
            ran = await at.estimate("--contacts", "both", "--budget", "team", "--json")
    assert (ran.code, ran.object["reason"]) == (3, "over_budget")
    assert ran.object["suggestions"] == [{"change": {"includeContacts": False}, "estimated": 5, "decision": "allow"}]


ODD = {
    "estimatedCredits": 320.5,
    "withinPlanLimits": True,
    "breakdown": {"baseSearchCredits": 10, "contactEnrichment": {"estimatedCredits": 300}, "odd": [1e300, {"a": 0.25}]},
    "assumptions": {"mode": "next\u202egeneration"},
}


async def test_an_odd_estimate(run, tmp_path):
    """Fractions stay exact, what is missing is null or not said, unknown fields are kept, and odd sums are warned of."""
    from aiohttp import web

    async def answer(_request):
        return web.json_response(ODD)

    app = web.Application()
    app.router.add_post("/api/v1/people/search/estimate", answer)
    async with serve(app) as url:
        path = written(tmp_path, url, access="ak_a", secret="sk_b")
        document = (await run("estimate", QUERY, "--json", "--config", path)).object
        ran = await run("estimate", QUERY, "--config", path)
    assert document["estimated"] == 320.5
    assert document["likely_sync_or_async"] is document["expected_latency_range"] is None
    assert document["breakdown"]["odd"] == ["1E+300", {"a": 0.25}]
    (warning,) = document["warnings"]
    assert warning in ran.err
    shown = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert shown["answer"] == "not said"
    assert shown["contacts"] == "300 for fields not said of up to not said people, attempts for each: not said"
    assert ran.out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("amount", "number"), [("320.5", 320.5), ("320.0", 320), ("1E+3", 1000), ("0", 0), ("0.25", 0.25)]
)
def test_amounts_as_json(amount, number):
    """A whole amount is an integer in JSON."""
    got = amount_number(Decimal(amount))
    assert (got, type(got)) == (number, type(number))


def use(limit, reserved, settled):
    budget = Budget("team", Unit.THEHOG_CREDIT, Decimal(limit), Period.MONTH)
    return BudgetUse(budget, window(Period.MONTH, NOW_MS), Spent(Decimal(reserved), Decimal(settled)))


@pytest.mark.parametrize(
    ("most", "ceiling", "verdict"),
    [(None, 51, "deny"), (None, 50, "allow"), (20, 21, "deny"), (20, 20, "allow"), (90, 51, "deny")],
)
def test_what_is_spent_counts(most, ceiling, verdict):
    """What is reserved and settled is gone; --max-credits only ever makes a budget stricter."""
    gate = Gate(use(100, 30, 20), None if most is None else Decimal(most), confirmed=False)
    assert gate.decide(Quote(Unit.THEHOG_CREDIT, Decimal(ceiling))).verdict is Verdict(verdict)


def test_an_overdrawn_budget():
    """A budget that was billed more than its limit allows nothing, whatever --max-credits says."""
    gate = Gate(use(100, 30, 90), Decimal(500), confirmed=True)
    assert gate.decide(Quote(Unit.THEHOG_CREDIT, Decimal(1))).verdict is Verdict.DENY
    assert gate.decide(None).reason is Reason.NO_ESTIMATE

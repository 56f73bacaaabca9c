"""README's "Connect it" as a partner does it: registered, bought, delivered, and accounted for."""

import re
import stat
import subprocess
import sys

import pytest

from stibgate.domain.delivery import DeliveryState
from tests.e2e.gateway import Gateway, configure, dropped, environment, stibgate, until
from tests.e2e.vendors import Vendors

pytestmark = pytest.mark.e2e

ORIGIN = "https://partner.example"
BUDGET = """
[budgets.campaigns]
unit = "stibnite.credit_unit"
limit = 300
period = "month"
confirm_above = 120

[budgets.hog]
unit = "thehog.credit"
limit = 100
period = "total"
"""


def connect(folder, vendors, *, more, scheme="t_v1"):
    """Write a configuration that leads to *vendors*, and register it; return a gateway with its secret."""
    config = configure(folder, extra=vendors.settings(more) + BUDGET)
    bind = re.search(r'^bind = "(.*)"', config.read_text(), re.MULTILINE)[1]
    text = config.read_text().replace('scheme = "t_v1"', f'scheme = "{scheme}"')
    text = text.replace("[server]\n", f'[server]\npublic_url = "http://{bind}"\n', 1)
    config.write_text(text)
    ran = stibgate(
        "register", "--source", "jobs", "--secret-to", folder / "jobs.secrets", "--config", config, cwd=folder
    )
    assert ran.code == 0, ran
    assert stat.S_IMODE((folder / "jobs.secrets").stat().st_mode) == 0o600
    secret = (folder / "jobs.secrets").read_text().splitlines()[0]
    assert secret.startswith("whsec_")
    assert secret not in ran.out + ran.err
    return Gateway(config, env={"STIBGATE_SOURCES__JOBS__SECRETS_FILE": str(folder / "jobs.secrets")})


def ended(gateway, count):
    """Return the jobs, once *count* of them have ended and every delivery has."""

    def done():
        jobs = gateway.rows("jobs", "list")
        return jobs if len(jobs) >= count and all(job["ended_at"] for job in jobs) else None

    jobs = until(f"{count} jobs have ended", done)
    gateway.settled()
    return jobs


def test_the_whole_walk(tmp_path):
    """Registered by commands, a push and a search of three pages arrive once each, and the money adds up."""
    with Vendors(tmp_path / "vendors") as vendors:
        gateway = connect(tmp_path, vendors, more="continue_pages = true")
        with gateway:
            made = gateway.run("embed-key", "create", "--origin", ORIGIN, "--json")
            assert made.code == 0, made
            pushed = vendors.push(made.objects[0]["public_key"], ORIGIN, 20)
            assert (pushed["delivered"], pushed["delivery_status"], pushed["pushed_records"]) == (True, 202, 20)

            asked = ("jobs", "submit", "130 CMOs at SaaS companies", "--limit", "50", "--max-records", "130")
            needs = gateway.run(*asked, "--budget", "campaigns")
            assert (needs.code, needs.out) == (4, ""), needs
            ran = gateway.run(*asked, "--budget", "campaigns", "--yes")
            assert ran.code == 0, ran
            jobs = ended(gateway, 3)
            assert [(job["page"], job["state"], job["received"]) for job in jobs] == [
                (3, "succeeded", 30), (2, "succeeded", 50), (1, "succeeded", 50),
            ]  # fmt: skip
            assert [job["parent_job_id"] for job in jobs] == [jobs[1]["job_id"], jobs[2]["job_id"], None]
            assert jobs[2]["job_id"] == ran.out.strip()

            people = dropped(tmp_path / "drops")
            assert (len(people), set(people.values())) == (150, {1})
            bills = gateway.rows("ledger")
            assert [(bill["billed"], bill["received"], bill["delivered"]) for bill in bills if bill["job_id"]] == [
                (30, 30, 30), (50, 50, 50), (50, 50, 50),
            ]  # fmt: skip
            assert [bill["billed"] for bill in bills if not bill["job_id"]] == [20]
            assert gateway.rows("usage")[0]["billable_records"] == 150
            (spent, _) = gateway.rows("budget")
            assert (spent["reserved"], spent["settled"], spent["remaining"]) == (0, 130, 170)
            denied = gateway.run("jobs", "submit", "x", "--limit", "100", "--budget", "campaigns", "--yes")
            assert denied.code == 0, denied
            denied = gateway.run("jobs", "submit", "x", "--limit", "100", "--budget", "campaigns", "--yes")
            assert (denied.code, denied.out) == (3, ""), denied
            assert gateway.run("estimate", "CTOs", "--limit", "5", "--budget", "hog").code == 0
            assert gateway.run("estimate", "CTOs", "--limit", "100", "--contacts", "both", "--budget", "hog").code == 3
            assert gateway.run("doctor").code == 0
            gateway.checked()


def test_lost_events(tmp_path):
    """When every event is lost, each job is asked for and comes in once, by way of `poll`."""
    with Vendors(tmp_path / "vendors", "--fault", "drop") as vendors:
        gateway = connect(tmp_path, vendors, more='continue_pages = true\nreconcile_after = "1s"')
        with gateway:
            ran = gateway.run("jobs", "submit", "60 CFOs at banks", "--limit", "40", "--max-records", "60")
            assert ran.code == 0, ran
            ended(gateway, 2)
            deliveries = gateway.rows("deliveries", "list")
            assert [(one["via"], one["records"], one["state"]) for one in deliveries] == [
                ("poll", 20, DeliveryState.DONE), ("poll", 40, DeliveryState.DONE),
            ]  # fmt: skip
            people = dropped(tmp_path / "drops")
            assert (len(people), set(people.values())) == (60, {1})
            assert len(gateway.events("job.reconciled")) == 2
            gateway.checked()


def test_submitting_at_once(tmp_path):
    """Commands that submit at the same time, with no service, wait for each other and never overdraw a budget."""
    with Vendors(tmp_path / "vendors") as vendors:
        gateway = connect(tmp_path, vendors, more="")
        words = (
            "jobs",
            "submit",
            "10 CTOs",
            "--limit",
            "100",
            "--budget",
            "campaigns",
            "--config",
            str(gateway.config),
        )
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "stibgate", *words],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment(gateway.env),
                cwd=tmp_path,
            )
            for _ in range(4)
        ]
        assert sorted(process.wait(60) for process in running) == [0, 0, 0, 3]
        assert gateway.rows("budget")[0]["remaining"] == 0


def test_thin_events(tmp_path):
    """Events without records are completed by reading their jobs; the events are proved by their signatures."""
    with Vendors(tmp_path / "vendors", "--thin", "--scheme", "standard_webhooks") as vendors:
        gateway = connect(tmp_path, vendors, more='reconcile_after = "1h"', scheme="auto")
        with gateway:
            assert gateway.run("jobs", "submit", "30 CFOs at banks", "--limit", "30").code == 0
            (job,) = ended(gateway, 1)
            (delivery,) = gateway.rows("deliveries", "list")
            assert (delivery["via"], delivery["records"], job["billed"]) == ("http", 30, 30)
            assert len(gateway.events("result.fetched")) == 1
            assert sum(dropped(tmp_path / "drops").values()) == 30
            told = gateway.run("explain", delivery["delivery_id"]).out
            assert "was read back" in told

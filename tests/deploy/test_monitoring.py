"""The files of deploy/ that monitoring systems read, held against the metrics that there are."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from stibgate.app.metrics.catalogue import CATALOGUE, Kind
from tests.deploy.fronts import DEPLOY, program

PROMETHEUS = DEPLOY / "prometheus"
RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana/stibgate.json").read_text(encoding="utf-8"))

_SCRAPE_LABELS = {"job", "instance"}
_SELECTOR = re.compile(r"([a-z_]{3,})\{([^}]*)\}|\b((?:stibgate|http|process)_[a-z_]+)\b")
_GROUPING = re.compile(r"by \(([a-z_, ]*)\)")


def kinds_of(metric):
    """Return the names of the samples of *metric*."""
    if metric.kind is Kind.HISTOGRAM:
        return {
            f"{metric.name}{suffix}": {*metric.labels, *more}
            for suffix, more in (("_bucket", ["le"]), ("_sum", []), ("_count", []))
        }
    return {metric.name: set(metric.labels)}


SAMPLES = {name: labels for metric in CATALOGUE.values() for name, labels in kinds_of(metric).items()} | {
    "up": set(),
    "process_resident_memory_bytes": set(),
    "process_cpu_seconds_total": set(),
}


def check_expression(expr):
    """Every metric in *expr* exists, with the labels that are asked of it."""
    used = set()
    for name, selector, bare in _SELECTOR.findall(expr):
        labels = {one.strip() for one in re.findall(r"([a-z_]+)\s*[=!]~?", selector)}
        assert (name or bare) in SAMPLES, f"{name or bare}: {expr}"
        assert labels - _SCRAPE_LABELS <= SAMPLES[name or bare], expr
        used |= SAMPLES[name or bare]
    assert used or "{" in expr or _SELECTOR.search(expr), expr
    for group in _GROUPING.findall(expr):
        names = {one.strip() for one in group.split(",")} - {""}
        assert names - _SCRAPE_LABELS <= used, expr


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_about_what_there_is_and_says_what_to_do(rule):
    """Each alert uses metrics that exist, has a severity, and leads to its part of the runbook."""
    check_expression(rule["expr"])
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"deploy/RUNBOOK.md#{rule['alert'].lower()}"


def test_every_alert_has_its_test():
    """Each alert is seen to fire where it should, and not to fire before."""
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fires = {test["name"] for test in tests for one in test.get("promql_expr_test", ()) if one["exp_samples"]}
    waits = {test["name"] for test in tests for one in test.get("promql_expr_test", ()) if not one["exp_samples"]}
    assert fires == waits == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize(
    "words", ["check rules alerts.yml", "test rules alerts_test.yml", "check config prometheus.yml"]
)
def test_promtool_agrees(words):
    """Promtool finds the rules, their tests and the example of a scrape configuration to be right."""
    ran = subprocess.run(
        [program("promtool"), *words.split()], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_dashboard_is_what_its_script_makes():
    """stibgate.json is up to date: nobody edits it by hand."""
    made = subprocess.run([sys.executable, DEPLOY / "grafana/dashboard.py"], capture_output=True, text=True, check=True)
    assert made.stdout == (DEPLOY / "grafana/stibgate.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_shows_what_there_is(panel):
    """Every metric of the dashboard exists, with the labels that its query and its legend use."""
    for target in panel["targets"]:
        expr = target["expr"]
        check_expression(expr)
        grouped = {one.strip() for group in _GROUPING.findall(expr) for one in group.split(",")}
        assert set(re.findall(r"\{\{([a-z_]+)\}\}", target["legendFormat"])) <= grouped, expr


def test_the_rows_are_the_questions_that_people_ask():
    """There is a row for each, no two panels lie on each other, and no id comes twice."""
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Receive", "Queue", "Sinks", "Money", "Store", "Process"]
    places = [tuple(panel["gridPos"][key] for key in ("x", "y")) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_prometheus_reads_every_expression_of_the_dashboard(tmp_path):
    """Each query of the dashboard is one that Prometheus can parse."""
    exprs = [target["expr"].replace("$__rate_interval", "5m") for panel in panels() for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    ran = subprocess.run(
        [program("promtool"), "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr

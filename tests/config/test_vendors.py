"""`[stibnite]`, `[thehog]` and `[budgets.NAME]`."""

from decimal import Decimal

import pytest

from stibgate.config import load
from stibgate.domain.budget import Budget, Period, Unit
from stibgate.errors import ConfigError, UsageError


def settings_of(tmp_path, text, **environ):
    file = tmp_path / "config.toml"
    file.write_text(text)
    file.chmod(0o600)
    return load(file, environ=environ)


def lines_of(tmp_path, text, **environ):
    with pytest.raises(ConfigError) as caught:
        settings_of(tmp_path, text, **environ)
    return [str(problem).removeprefix(str(tmp_path) + "/") for problem in caught.value.problems]


def test_defaults(tmp_path):
    """Without a section nothing is asked of anybody."""
    stibnite = settings_of(tmp_path, "").settings.stibnite
    assert (stibnite.api_key, stibnite.readback, stibnite.continue_pages) == (None, "auto", False)
    assert (stibnite.reconcile_after, stibnite.adopt_unknown_jobs) == (120.0, True)


def test_key_from_the_environment(tmp_path):
    """The API key comes from a variable or from a file that one names."""
    key = tmp_path / "key"
    key.write_text("stib_live_fake_from_a_file\n")
    by_value = settings_of(tmp_path, "", STIBGATE_STIBNITE__API_KEY="stib_live_fake_by_value").settings
    by_file = settings_of(tmp_path, "", STIBGATE_STIBNITE__API_KEY_FILE=str(key)).settings
    assert by_value.stibnite.api_key.get_secret_value() == "stib_live_fake_by_value"
    assert by_file.stibnite.api_key.get_secret_value() == "stib_live_fake_from_a_file"


@pytest.mark.parametrize("limit", ["500", '"500"', "500.0"])
def test_budget(tmp_path, limit):
    """A budget's amounts are exact, from a number or a text."""
    text = f'[budgets.q3]\nunit = "thehog.credit"\nlimit = {limit}\nperiod = "day"\nconfirm_above = "0.1"\n'
    settings = settings_of(tmp_path, text).settings
    assert settings.budget("q3") == Budget("q3", Unit.THEHOG_CREDIT, Decimal(500), Period.DAY, Decimal("0.1"))


def test_budget_from_the_environment(tmp_path):
    """A budget may stand in variables alone."""
    environ = {"UNIT": "stibnite.credit_unit", "LIMIT": "12.5", "PERIOD": "total"}
    settings = settings_of(tmp_path, "", **{f"STIBGATE_BUDGETS__ALL__{key}": value for key, value in environ.items()})
    assert settings.settings.budget("all").limit == Decimal("12.5")


def test_unknown_budget(tmp_path):
    """A budget that nobody configured is an error that names those that are."""
    settings = settings_of(tmp_path, '[budgets.q3]\nunit = "thehog.credit"\nlimit = 1\nperiod = "day"\n').settings
    with pytest.raises(UsageError, match="q4") as caught:
        settings.budget("q4")
    assert "q3" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[stibnite]\nreadback = 'always'", "config.toml:2  stibnite.readback  'always'  needs stibnite.api_key"),
        ("[stibnite]\ncontinue_pages = true", "config.toml:2  stibnite.continue_pages  true  needs stibnite.api_key"),
        ("[stibnite]\nbase_url = 'http://example.com'", "config.toml:2  stibnite.base_url  'http://example.com'  must"),
        ("[stibnite]\nbase_url = ''", "config.toml:2  stibnite.base_url  ''  must be a URL"),
        ("[stibnite]\napi_key = 'two words'", "config.toml:2  stibnite.api_key"),
        ("[thehog]\naccess_key = 'ak_x'", "config.toml:1  thehog.secret_key  is missing beside access_key"),
        ("[thehog]\naccess_key = 'sk_x'\nsecret_key = 'ak_x'", "config.toml:2  thehog.access_key"),
        ("[budgets.x]\nunit = 'dollar'\nlimit = 1\nperiod = 'day'", "config.toml:2  budgets.x.unit  'dollar'"),
        ("[budgets.x]\nunit = 'thehog.credit'\nlimit = -1\nperiod = 'day'", "config.toml:3  budgets.x.limit  -1"),
        ("[budgets.x]\nunit = 'thehog.credit'\nlimit = true\nperiod = 'day'", "config.toml:3  budgets.x.limit  true"),
        ("[budgets.x]\nunit = 'thehog.credit'\nlimit = nan\nperiod = 'day'", "config.toml:3  budgets.x.limit  nan"),
        ("[budgets.x]\nlimit = 1\nperiod = 'day'", "config.toml:1  budgets.x.unit"),
        ("[budgets.X]\nunit = 'thehog.credit'\nlimit = 1\nperiod = 'day'", "config.toml:1  budgets.X"),
    ],
)
def test_problems(tmp_path, text, line):
    """What cannot be right is a problem with its line; no key is shown."""
    found = lines_of(tmp_path, text)
    assert any(one.startswith(line) for one in found), found
    assert not any("two words" in one or "_x" in one for one in found)


def test_several_job_sources(tmp_path):
    """With several job sources a notice says whose the polled jobs are."""
    source = '[sources.{}]\nkind = "stibnite_jobs"\nauth = "token"\ntokens = ["fake-for-tests-0123"]\n'
    loaded = settings_of(tmp_path, '[stibnite]\napi_key = "stib_live_fake"\n' + source.format("a") + source.format("b"))
    assert any("sources.a" in notice for notice in loaded.notices)

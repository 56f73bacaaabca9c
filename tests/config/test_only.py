"""A command that needs the store alone is not kept from it by what only the service has."""

import pytest

from stibgate.config import load
from stibgate.errors import ConfigError
from tests.e2e.gateway import configure, stibgate

BARE = """
[server]
admin_bind = "127.0.0.1:9"

[storage]
url = "sqlite:///./data/stibgate.db"

[sources.jobs]
kind = "stibnite_jobs"

[sinks.crm]
kind = "hubspot"

[sinks.odd]
kind = "no such kind"

[unknown]
"""


@pytest.fixture
def bare(tmp_path):
    """A configuration whose secrets come to the service alone, with mistakes beside them."""
    path = tmp_path / "config.toml"
    path.write_text(BARE)
    return path


def test_only_the_sections_that_matter_are_judged(bare):
    """With `only`, what is wrong elsewhere is no problem, and what is wrong there is one as ever."""
    with pytest.raises(ConfigError) as refused:
        load(bare, environ={})
    assert len(refused.value.problems) >= 4
    settings = load(bare, environ={}, only=["storage"]).settings
    assert settings.storage.path == bare.parent / "data/stibgate.db"
    assert (settings.sources, settings.sinks) == ({}, {})
    bare.write_text(BARE.replace("sqlite:///", "mysql:///"))
    with pytest.raises(ConfigError) as refused:
        load(bare, environ={}, only=["storage"])
    assert [problem.path for problem in refused.value.problems] == ["storage.url"]


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["db", "status"], "there is no store", 1),
        (["db", "backup"], "there is no store", 1),
        (["deliveries", "list"], "there is no store", 1),
        (["dead", "list"], "there is no store", 1),
        (["health"], "no gateway answers", 69),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
@pytest.mark.e2e
def test_commands_need_no_secret_that_they_do_not_use(bare, words, said, code):
    """Reading and looking after the store works without the secrets that the supervisor gives to the service."""
    assert said in stibgate(*words, "--config", bare).complaint(code)


@pytest.mark.e2e
def test_the_service_still_wants_everything(bare):
    """`serve` and `config check` judge the whole configuration."""
    for words in (["serve"], ["config", "check"]):
        assert stibgate(*words, "--config", bare).code == 78
    assert stibgate("config", "check", "--config", configure(bare.parent / "good")).code == 0

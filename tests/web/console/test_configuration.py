"""The configuration as it is in force, for admins."""

import pytest

from stibgate.config import ReloadStatus, load
from stibgate.domain.access import Role
from tests.web.console.annex import SECRET, URL_TOKEN, make_annex

FILE = f"""\
[server]
public_url = "https://hooks.example.com"
[sources.jobs]
kind = "stibnite_jobs"
secrets = ["{SECRET}"]
[sources.push]
kind = "stibnite_push"
tokens = ["{URL_TOKEN}"]
[console]
tokens = [{{ name = "dana", role = "admin", token = "console-token-of-dana-0123456789abcdef" }}]
environment = "<script>alert(1)</script>{{{{ 7 * 7 }}}}"
"""


@pytest.fixture
async def annex(aiohttp_client, tmp_path):
    """Return a console whose configuration was read from a file and the environment."""
    (tmp_path / "config.toml").write_text(FILE)
    environ = {"STIBGATE_LOG__LEVEL": "debug"}
    return await make_annex(aiohttp_client, load(tmp_path / "config.toml", environ=environ).settings)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_only_admins_see_it(annex, role):
    """Others get 403, and no link to it."""
    browser = await annex.login(role)
    page = await browser.open("/config")
    assert page.status == 403
    assert "this needs the role admin" in page.words
    assert 'href="/config"' not in page.text


async def test_every_value_has_its_place(annex):
    """The file's line, the variable or the default; defaults only where they are asked for."""
    browser = await annex.login()
    page, whole = await browser.open("/config"), await browser.open("/config?show=all")
    for words in (
        'public_url "https://hooks.example.com"',
        "config.toml:2",
        'level "debug" environment STIBGATE_LOG__LEVEL',
    ):
        assert words in page.words
    assert "body_timeout" not in page.words
    assert 'body_timeout "15s" default' in whole.words
    assert (await browser.open("/config?show=secrets")).status == 400


async def test_no_secret_is_on_it(annex):
    """Signing secrets, tokens of URLs and of the console are fingerprints, also in the whole list."""
    page = await (await annex.login()).open("/config?show=all")
    for secret in (SECRET, SECRET[6:], URL_TOKEN, "console-token-of-dana"):
        assert secret not in page.text
    assert "sha256" in page.words


async def test_what_somebody_wrote_is_text(annex):
    """A value of the configuration is no markup and no template."""
    page = await (await annex.login()).open("/config")
    assert "<script>alert" not in page.text
    assert "{{ 7 * 7 }}" in page.words


async def test_a_refused_reload_is_on_it(annex):
    """The page says that the old configuration is in force, and what is wrong with the new one."""
    now_ms = annex.clock()
    annex.reading = ReloadStatus(now_ms - 60_000, now_ms - 3_600_000, errors=3, error="log.level must be one of")
    page = await (await annex.login()).open("/config")
    assert "The reload 1 min ago was refused, and nothing was changed: log.level must be one of" in page.words
    assert "(and 2 more problems)" in page.words
    assert "In force is what was read 1 h ago" in page.words
    annex.reading = ReloadStatus(now_ms, now_ms - 5_000)
    assert "In force since 5 s ago" in (await (await annex.login()).open("/config")).words

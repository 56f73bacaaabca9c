"""No secret text in anything that a person or a log may see."""

import json
import re
import traceback

import pytest
from click.testing import CliRunner

from stibgate.cli.config import config
from stibgate.config import as_text, load, masked
from stibgate.config.masks import mask, seen
from stibgate.errors import ConfigError


@pytest.fixture
def loaded(write, whole):
    return load(write(whole), environ={})


def test_fingerprint(secret):
    """A secret is shown as its public prefix, its length and 32 bits of its hash."""
    assert re.fullmatch(r"whsec_\.\.\.\(44 chars, sha256 [0-9a-f]{8}\)", mask(secret))
    assert mask("whsec_short") == "whsec_...(5 chars)", "a short secret could be found from its hash"


def test_nothing_shows_a_secret(loaded, secret, token):
    """Neither repr, str, a dump, `show` nor the settings of one source hold a secret."""
    settings = loaded.settings
    for text in (
        repr(loaded),
        repr(settings),
        str(settings),
        f"{settings.sources['jobs']}",
        repr(settings.sources["jobs"].secrets),
        json.dumps(masked(settings)),
        settings.model_dump_json(),
        str(settings.model_dump()),
        as_text(masked(settings)),
    ):
        assert secret not in text
        assert secret[10:30] not in text
        assert token not in text


@pytest.mark.parametrize(
    "mistake",
    [
        'secrets = "{0}"',
        "secrets = {{ value = '{0}' }}",
        "secrets = [['{0}']]",
        "secrets = [{{ valeu = '{0}' }}]",
        "secrets = [{{ value = ['{0}'] }}]",
        "secrets = ['{0}', 5]\ntokens = ['{0}', 'é']",
        "secret = '{0}'",
        "scheme = '{0}'",
        "kindd = ['{0}']",
        "routes = ['{0}']",
        "signature.header = '{0}'",
        "signature.key = '{0}'",
        "signature = '{0}'",
        "auth = '{0}'",
        "tolerance = '{0}'",
        "tolerance = {{ secrets = '{0}' }}",
        "id_headers = [{{ a = '{0}' }}]",
        "tokens = '{0}'",
    ],
)
def test_no_mistake_shows_a_secret(write, secret, mistake):
    """However a secret is misplaced, no problem and no traceback holds it."""
    text = f'[sources.x]\nkind = "stibnite_jobs"\n{mistake.format(secret)}\n'
    with pytest.raises(ConfigError) as caught:
        load(write(text), environ={})
    shown = "\n".join(
        [*map(str, caught.value.problems), repr(caught.value.problems), *traceback.format_exception(caught.value)]
    )
    assert secret not in shown
    assert secret[10:30] not in shown
    assert caught.value.__context__ is None, "nothing hangs on the error that holds the values"


def test_a_token_without_prefix_under_a_wrong_key(problems):
    """The value of an unknown key or variable is never shown: it may be a misspelt secret."""
    text = "\n".join(
        problems('[sources.x]\nkind = "stibnite_push"\ntoken = ["hunter2hunter2hunter2"]\n', STIBGATE_TOKEN="hunter2")
    )
    assert "hunter2" not in text


def test_values_are_cut():
    """Other values are shown as they are, up to 60 characters, without the password of a URL."""
    assert seen("x") == "'x'"
    assert seen(value=True) == "true"
    assert len(seen("x" * 100)) == 60
    assert seen("postgresql://u:pw@h/db") == "'postgresql://***@h/db'"


def test_show_commands(write, whole, secret, token):
    """`config show` prints what applies, in both shapes, and no secret."""
    file = write(whole)
    plain = CliRunner().invoke(config, ["show", "--config", str(file)], catch_exceptions=False)
    as_json = CliRunner().invoke(config, ["show", "--json", "--config", str(file)], catch_exceptions=False)
    assert 'durability = "full"' in plain.output
    assert re.search(r'tokens = \["\.\.\.\(31 chars, sha256 [0-9a-f]{8}\)"\]', plain.output)
    assert json.loads(as_json.output)["delivery"]["lease"] == "2m"
    assert secret not in plain.output + as_json.output
    assert token not in plain.output + as_json.output


def test_check_command(write, whole):
    """`config check` counts what it found, and raises the problems for `main` to print."""
    result = CliRunner().invoke(config, ["check", "--config", str(write(whole))], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, "config ok: 2 sources, 1 sink\n")
    result = CliRunner().invoke(config, ["check", "--config", str(write("[log]\nlevel = 5\n"))])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.exit_code == 78

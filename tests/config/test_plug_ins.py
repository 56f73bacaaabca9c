"""Kinds of sink that other packages bring: found when a configuration names them, and never before."""

import json
import subprocess
import sys
import traceback

import pytest
from click.testing import CliRunner

from stibgate.cli.config import config
from stibgate.config import as_text, json_schema, load, masked, plug_in_notices
from stibgate.config.kinds import BUILT_IN, settings_class
from stibgate.config.masks import mask
from stibgate.errors import ConfigError
from tests.plugins.world import write_package

KEY = "plug-in-secret-nobody-may-see"

GOOD = """\
from pathlib import Path
from typing import ClassVar, Literal
from pydantic import BaseModel, SecretStr, field_validator
from stibgate.sinks.settings import DeliveryOverride, Duration, SinkSettings

class Inner(BaseModel):
    pin: SecretStr | None = None
    retries: int = 2

class Settings(SinkSettings):
    USUAL_DELIVERY: ClassVar[DeliveryOverride] = DeliveryOverride(timeout="10m", lease="11m")
    kind: Literal["pigeon", "dove"]
    path: Path
    dsn: SecretStr | None = None
    password: str = ""
    lofts: list[str] = []
    rest: Duration = 60.0
    inner: Inner = Inner()

    @field_validator("dsn")
    @classmethod
    def _no_spaces(cls, dsn):
        if dsn is not None and " " in dsn.get_secret_value():
            raise ValueError(f"{dsn.get_secret_value()} has a space")
        return dsn

    @field_validator("lofts")
    @classmethod
    def _known(cls, lofts):
        return [{"north": 1}[loft] and loft for loft in lofts]

    def build(self, context):
        raise NotImplementedError
"""


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Return a function that installs a package `pigeon-post` with this code, for the time of the test."""
    modules = set(sys.modules)

    def install(code, *, kind="pigeon", package="pigeon-post", **value):
        monkeypatch.syspath_prepend(write_package(tmp_path, code, kind=kind, package=package, **value))

    yield install
    settings_class.cache_clear()
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def sink(problems):
    """Return a function that returns the problems of a configuration with this table of a sink."""

    def lines(keys, **environ):
        return problems(f"[sinks.loft]\n{keys}\n", **environ)

    return lines


def test_an_installed_kind_is_used(plug_in, write):
    """A kind that a package brings has its own keys, its usual delivery, and paths from the file's folder."""
    plug_in(GOOD)
    file = write('[sinks.loft]\nkind = "pigeon"\npath = "nest"\nrest = "2m"\n')
    loaded = load(file, environ={"STIBGATE_SINKS__LOFT__LOFTS": "north, north"})
    found = loaded.settings.sinks["loft"]
    assert (found.kind, found.path, found.rest) == ("pigeon", file.absolute().parent / "nest", 120.0)
    assert found.lofts == ["north", "north"], "text becomes a list as the package's model has one"
    assert loaded.settings.delivery_of("loft").timeout == 600


def test_a_kind_may_come_from_the_environment(plug_in, write):
    """A sink that only variables describe has the keys of its kind too."""
    plug_in(GOOD)
    environ = {f"STIBGATE_SINKS__LOFT__{key}": text for key, text in {"KIND": "dove", "PATH": "p"}.items()}
    with pytest.raises(ConfigError) as caught:
        load(write(""), environ=environ)
    assert "'dove'  no such kind" in str(caught.value.problems[0]), "an entry point names each kind"
    environ["STIBGATE_SINKS__LOFT__KIND"] = "pigeon"
    assert load(write(""), environ=environ).settings.sinks["loft"].path.name == "p"
    with pytest.raises(ConfigError) as caught:
        load(write(""), environ={**environ, "STIBGATE_SINKS__LOFT__PAHT": "x"})
    assert [p.allowed for p in caught.value.problems] == ["no such variable; did you mean STIBGATE_SINKS__LOFT__PATH?"]


def test_keys_are_reported_as_those_of_ours(plug_in, sink):
    """Problems of an installed kind have file, line, key path, value and what is allowed."""
    plug_in(GOOD)
    assert sink(
        'kind = "pigeon"\nphat = "x"\nrest = 5\ninner = { retrys = 1, retries = "x" }\ndelivery.leas = "1s"'
    ) == [
        "config.toml:1  sinks.loft.path  is required",
        "config.toml:3  sinks.loft.phat  no such key; did you mean path?",
        'config.toml:4  sinks.loft.rest  5  expected a duration with a unit, for example "30s", "5m", "2h" or "400d"',
        "config.toml:5  sinks.loft.inner.retries  'x'  must be a whole number",
        "config.toml:6  sinks.loft.delivery.leas  no such key; did you mean lease?",
    ]


@pytest.mark.parametrize("own", ['timeout = "11m"', 'lease = "10m"'])
def test_the_usual_lease_of_a_kind_counts(plug_in, sink, own):
    """A sink's lease and time-out are compared with what its kind says otherwise."""
    plug_in(GOOD)
    [line] = sink(f'kind = "pigeon"\npath = "p"\n[sinks.loft.delivery]\n{own}')
    assert line.endswith("lease must be longer than timeout, or two workers try the same task at once")


@pytest.mark.parametrize(
    ("keys", "allowed"),
    [
        (
            'kind = "pidgeon"',
            "'pidgeon'  no such kind; did you mean pigeon? there are csv, ndjson, and installed pigeon",
        ),
        ('kind = "fax"', "'fax'  no such kind; there are csv, ndjson, and installed pigeon"),
        ("kind = 5", "5  must be one of csv, ndjson, and installed pigeon"),
        ('path = "x"', "is required: one of csv, ndjson, and installed pigeon"),
    ],
)
def test_an_unknown_kind(plug_in, sink, monkeypatch, keys, allowed):
    """A kind that nobody brings is one problem that names those that there are; a sink needs one."""
    monkeypatch.setattr("stibgate.config.kinds.BUILT_IN", {kind: BUILT_IN[kind] for kind in ("csv", "ndjson")})
    plug_in(GOOD)
    [line] = sink(keys, STIBGATE_SINKS__LOFT__ANYTHING="1,2")
    number = 1 if "path" in keys else 2
    assert line == f"config.toml:{number}  sinks.loft.kind  {allowed}"


@pytest.mark.parametrize(
    ("code", "value", "complaint"),
    [
        ("import nothing_of_this_name", "{module}:Settings", "cannot be loaded: ModuleNotFoundError"),
        ("def broken(:", "{module}:Settings", "cannot be loaded: SyntaxError"),
        (f"raise RuntimeError({KEY!r})", "{module}:Settings", "cannot be loaded: RuntimeError"),
        (GOOD, "{module}:Missing", "cannot be loaded: AttributeError"),
        ("class Settings: pass", "{module}:Settings", "is not a subclass of stibgate.sinks.settings.SinkSettings"),
        ("Settings = 5", "{module}:Settings", "is not a subclass of stibgate.sinks.settings.SinkSettings"),
        (GOOD.replace("def build", "def make"), "{module}:Settings", "has no build()"),
        (GOOD.replace('"pigeon", ', ""), "{module}:Settings", 'needs the key `kind: Literal["pigeon"]`'),
    ],
)
def test_a_package_that_is_not_fit(plug_in, sink, code, value, complaint):
    """What is wrong with a package is a problem of the kind, with the package's name and nothing of its own text."""
    plug_in(code, value=value)
    [line] = sink('kind = "pigeon"\npath = "x"\nanything = 1')
    assert line.startswith("config.toml:2  sinks.loft.kind  'pigeon'  pigeon-post 2.1")
    assert complaint in line
    assert KEY not in line
    assert [complaint in notice for notice in plug_in_notices()] == [True]
    shown = json.dumps(json_schema())
    assert "csv" in shown, "a schema without it is better than none"


def test_validators_that_fail_are_reported(plug_in, sink):
    """An exception in a package's own validator is a problem, not a traceback, and does not show its text."""
    plug_in(GOOD)
    [line] = sink(f'kind = "pigeon"\npath = "x"\nlofts = ["{KEY}"]')
    assert line == "config.toml:2  sinks.loft.kind  'pigeon'  its package cannot read these keys: KeyError"


def test_two_packages_with_one_kind(plug_in, sink):
    """Two packages that bring the same kind are a problem that names both; nobody guesses which is meant."""
    plug_in(GOOD)
    plug_in(GOOD, package="other-post")
    [line] = sink('kind = "pigeon"\npath = "x"')
    assert "pigeon-post 2.1" in line
    assert "other-post 2.1" in line
    assert "uninstall one of them" in line


def test_a_built_in_kind_cannot_be_taken(plug_in, write, whole):
    """A package that brings a built-in kind is never imported; `config check` tells of it."""
    plug_in("raise RuntimeError", kind="csv")
    file = write(whole)
    assert type(load(file, environ={}).settings.sinks["drop"]).__name__ == "DropSettings"
    ran = CliRunner().invoke(config, ["check", "--config", str(file)], catch_exceptions=False)
    assert "notice: pigeon-post 2.1 brings the sink kind 'csv', which is built in: it is not used" in ran.stderr
    assert "pigeon_post" not in sys.modules


def test_no_secret_is_shown(plug_in, write):
    """Whatever a package declares as a secret, or calls one, is masked in every output."""
    plug_in(GOOD)
    text = f'[sinks.loft]\nkind = "pigeon"\npath = "p"\ndsn = "{KEY}"\npassword = "{KEY}"\ninner.pin = "{KEY}"\n'
    settings = load(write(text), environ={}).settings
    document = masked(settings)["sinks"]["loft"]
    assert document["dsn"] == document["password"] == document["inner"]["pin"] == mask(KEY)
    assert document["inner"]["retries"] == 2
    assert KEY not in as_text(masked(settings))


@pytest.mark.parametrize(
    "keys", ['dsn = "{0} x"', "dsn = ['{0}']", "dsn = {{ a = '{0}' }}", "password = ['{0}']", "inner.pin = ['{0}']"]
)
def test_no_mistake_shows_a_secret(plug_in, write, keys):
    """However a secret of an installed kind is wrong, no problem and no traceback holds it."""
    plug_in(GOOD)
    with pytest.raises(ConfigError) as caught:
        load(write(f'[sinks.loft]\nkind = "pigeon"\npath = "p"\n{keys.format(KEY)}\n'), environ={})
    shown = "\n".join([*map(str, caught.value.problems), *traceback.format_exception(caught.value)])
    assert KEY not in shown
    assert caught.value.__context__ is None


def test_the_schema_has_installed_kinds(plug_in):
    """The JSON Schema takes a sink of each kind, with defaults as the file has them."""
    plug_in(GOOD)
    [node] = json_schema()["properties"]["sinks"]["patternProperties"].values()
    [pigeon] = [one for one in node["anyOf"] if "pigeon" in str(one["properties"]["kind"])]
    assert pigeon["properties"]["rest"]["default"] == "1m"
    assert pigeon["properties"]["inner"]["$ref"].rsplit("/", 1)[1] in json_schema()["$defs"]
    assert any("csv" in str(one["properties"]["kind"]) for one in node["anyOf"])


def test_nothing_is_looked_through_for_built_in_kinds(write, whole):
    """Reading a configuration of built-in kinds searches no installed package and imports no other kind."""
    code = (
        "import sys; from pathlib import Path; from stibgate.config import kinds, load;"
        "kinds.entry_points = None; load(Path('config.toml'), environ={});"
        "print([name for name in ('aiohttp', 'stibgate.sinks.hubspot', 'stibgate.sinks.webhook') if name in sys.modules])"
    )
    write(whole)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"

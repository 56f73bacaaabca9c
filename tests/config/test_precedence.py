"""Which source wins, and how text becomes a value."""

from pathlib import Path

import pytest

from stibgate.config import Settings, load
from stibgate.errors import ConfigError, PermissionRefused

FILE = '[log]\nlevel = "error"\n'


def level(path, **kwargs):
    return load(path, **kwargs).settings.log.level


@pytest.fixture
def credentials(tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "log.level").write_text("warning\n")
    return str(folder)


@pytest.fixture
def named_file(tmp_path):
    file = tmp_path / "level"
    file.write_text("debug\n")
    return str(file)


def test_flag_over_environment(write):
    """A flag wins over a variable."""
    assert level(write(""), flags={"log.level": "debug"}, environ={"STIBGATE_LOG__LEVEL": "error"}) == "debug"


def test_flag_not_given(write):
    """A flag that is None was not given."""
    assert level(write(FILE), flags={"log.level": None}, environ={}) == "error"


def test_environment_over_file_that_another_variable_names(write, tmp_path):
    """A variable and a variable that names a file set different keys; each wins over what is weaker."""
    (tmp_path / "bind").write_text("127.0.0.1:1\n")
    environ = {"STIBGATE_SERVER__BIND_FILE": str(tmp_path / "bind"), "STIBGATE_LOG__LEVEL": "info"}
    settings = load(write(FILE), environ=environ).settings
    assert (settings.server.bind, settings.log.level) == ("127.0.0.1:1", "info")


def test_both_is_an_error(write, named_file):
    """X and X_FILE together are a problem, because nobody can tell which was meant."""
    environ = {"STIBGATE_LOG__LEVEL": "info", "STIBGATE_LOG__LEVEL_FILE": named_file}
    with pytest.raises(ConfigError) as caught:
        load(write(""), environ=environ)
    [problem] = caught.value.problems
    assert str(problem) == ("environment  STIBGATE_LOG__LEVEL_FILE  set either this or STIBGATE_LOG__LEVEL, not both")


def test_environment_file_over_credentials(write, named_file, credentials):
    """A file that a variable names wins over a systemd credential."""
    environ = {"STIBGATE_LOG__LEVEL_FILE": named_file, "CREDENTIALS_DIRECTORY": credentials}
    assert level(write(FILE), environ=environ) == "debug"


def test_environment_over_credentials(write, credentials):
    """A variable wins over a systemd credential."""
    environ = {"STIBGATE_LOG__LEVEL": "info", "CREDENTIALS_DIRECTORY": credentials}
    assert level(write(FILE), environ=environ) == "info"


def test_credentials_over_file(write, credentials):
    """A systemd credential wins over the configuration file."""
    assert level(write(FILE), environ={"CREDENTIALS_DIRECTORY": credentials}) == "warning"


def test_file_over_defaults(write):
    """The configuration file wins over the defaults."""
    assert level(write(FILE), environ={}) == "error"
    assert level(write(""), environ={}) == "info"


def test_defaults_without_a_file(write, tmp_path):
    """Without any file the defaults apply, and paths are taken from the working folder."""
    loaded = load(environ={})
    assert loaded.path is None
    assert loaded.settings.storage.path == tmp_path / "data/stibgate.db"
    assert any("nothing can be received" in notice for notice in loaded.notices)


def test_which_file(write, tmp_path):
    """The file is the one given, else $STIBGATE_CONFIG, else ./config.toml."""
    here = write('[log]\nlevel = "debug"\n')
    other, third = tmp_path / "other.toml", tmp_path / "third.toml"
    other.write_text('[log]\nlevel = "warning"\n')
    third.write_text('[log]\nlevel = "error"\n')
    assert level(None, environ={}) == "debug"
    assert level(None, environ={"STIBGATE_CONFIG": str(other)}) == "warning"
    assert level(third, environ={"STIBGATE_CONFIG": str(other)}) == "error"
    assert load(None, environ={}).path == here


@pytest.mark.parametrize("environ", [{}, {"STIBGATE_CONFIG": "missing.toml"}])
def test_named_file_must_exist(write, environ):
    """A file that was named and is not there is a problem, by what named it, and never a silent default."""
    given, named_by = (None, "$STIBGATE_CONFIG") if environ else (Path("missing.toml"), "--config")
    with pytest.raises(ConfigError) as caught:
        load(given, environ=environ)
    assert [str(p) for p in caught.value.problems] == [f"missing.toml  {named_by}  no such file or directory"]


def test_unreadable_file(write, monkeypatch):
    """A file that may not be read is said to be so, with its own exit code."""
    file = write(FILE)

    def refuse(_):
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PermissionRefused) as caught:
        load(file, environ={})
    assert caught.value.exit_code == 77


def test_lists_from_text(write, whole, secret, tmp_path):
    """Secrets come one per line; other lists one per line, comma-separated, or as a TOML array."""
    keys = tmp_path / "keys"
    keys.write_text(f"{secret}\n{secret}\n")
    keys.chmod(0o600)
    environ = {
        "STIBGATE_SOURCES__JOBS__SECRETS_FILE": str(keys),
        "STIBGATE_DELIVERY__SCHEDULE": "0s, 5s,1m",
        "STIBGATE_SOURCES__JOBS__ROUTES": '["drop"]',
        "STIBGATE_SOURCES__PUSH__ALLOW_SHA1": "true",
        "STIBGATE_SERVER__LIMITS__BURST": "7",
    }
    settings = load(write(whole), environ=environ).settings
    assert [item.value.get_secret_value() for item in settings.sources["jobs"].secrets] == [secret, secret]
    assert settings.delivery.schedule == (0, 5, 60)
    assert settings.sources["jobs"].routes == ("drop",)
    assert settings.sources["push"].allow_sha1 is True
    assert settings.server.limits.burst == 7


def test_one_newline_is_stripped(write, tmp_path):
    """Of a file's contents one last newline is taken away, and no other white space."""
    file = tmp_path / "x"
    file.write_bytes(b" debug\n\n")
    with pytest.raises(ConfigError) as caught:
        load(write(""), environ={"STIBGATE_LOG__LEVEL_FILE": str(file)})
    assert r"' debug\n'" in str(caught.value.problems[0])


def test_a_dash_in_a_name(write, whole):
    """A variable reaches a source whose name has a dash, which no shell could write."""
    text = whole.replace("[sources.jobs]", "[sources.my-jobs]")
    settings = load(write(text), environ={"STIBGATE_SOURCES__MY_JOBS__TOLERANCE": "1m"}).settings
    assert settings.sources["my-jobs"].tolerance == 60
    assert set(settings.sources) == {"my-jobs", "push"}


def test_a_source_from_the_environment_alone(write, token):
    """A source can live in the environment alone."""
    environ = {"STIBGATE_SOURCES__P__KIND": "stibnite_push", "STIBGATE_SOURCES__P__TOKENS": token}
    assert load(write(""), environ=environ).settings.sources["p"].auth == "token"


def test_other_credentials_are_left_alone(write, credentials):
    """A systemd credential for something else is not ours to complain about; a misspelt one is."""
    (Path(credentials) / "tls.key").write_text("x")
    assert level(write(""), environ={"CREDENTIALS_DIRECTORY": credentials}) == "warning"
    (Path(credentials) / "log.levle").write_text("x")
    with pytest.raises(ConfigError) as caught:
        load(write(""), environ={"CREDENTIALS_DIRECTORY": credentials})
    assert str(caught.value.problems[0]) == "credentials  log.levle  no such key; did you mean log.level?"


def test_settings_read_nothing_by_themselves(monkeypatch):
    """The model alone is the defaults, whatever the environment says."""
    monkeypatch.setenv("STIBGATE_LOG__LEVEL", "debug")
    assert Settings().log.level == "info"


def test_sinks_override_delivery(write, whole):
    """What `[sinks.NAME.delivery]` does not set follows `[delivery]`."""
    settings = load(write(f'{whole}[sinks.drop.delivery]\ntimeout = "5s"\n'), environ={}).settings
    own = settings.delivery_of("drop")
    assert (own.timeout, own.lease) == (5, settings.delivery.lease)

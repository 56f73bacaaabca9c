"""Where each value came from."""

from stibgate.config import Settings, load
from stibgate.config.origins import DEFAULT, Origins

FILE = """\
[server]
bind = "127.0.0.1:1"
max_body = "1MiB"
keepalive = "9s"
[sources.jobs]
kind = "stibnite_jobs"
secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
"""


def test_the_layer_that_wins_is_named(tmp_path):
    """Flags before variables before files that they name before credentials before the file before the default."""
    (tmp_path / "config.toml").write_text(FILE)
    (tmp_path / "secrets").write_text("whsec_anotherGKYqrTwjUPD8ILPZIo2LaLaSw")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "server.keepalive").write_text("7s")
    environ = {
        "STIBGATE_SERVER__BIND": "127.0.0.1:2",
        "STIBGATE_SERVER__MAX_BODY": "2MiB",
        "STIBGATE_SOURCES__JOBS__SECRETS_FILE": str(tmp_path / "secrets"),
        "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
    }
    settings = load(tmp_path / "config.toml", environ=environ, flags={"server.bind": "127.0.0.1:3"}).settings
    origins = settings.origins
    assert origins.path == tmp_path / "config.toml"
    assert origins.of(("server", "bind")) == "flags"
    assert origins.of(("server", "max_body")) == "environment STIBGATE_SERVER__MAX_BODY"
    assert origins.of(("sources", "jobs", "secrets")) == "environment STIBGATE_SOURCES__JOBS__SECRETS_FILE"
    assert origins.of(("server", "keepalive")) == "credentials"
    assert origins.of(("sources", "jobs", "kind")) == f"{tmp_path / 'config.toml'}:6"
    assert origins.of(("server", "drain_timeout")) == DEFAULT


def test_where_it_came_from_makes_no_difference():
    """The same values are the same configuration, so that a reload of them changes nothing."""
    assert Settings().said_by(Origins(places={("log", "level"): "flags"})) == Settings()


def test_a_file_that_gets_its_name_later(tmp_path):
    """What a draft said stands where the draft went to."""
    draft, file = tmp_path / ".config.toml.draft", tmp_path / "config.toml"
    origins = Origins(draft, {("server", "bind"): f"{draft}:3", ("log", "level"): "flags"}).moved(file)
    assert origins.path == file
    assert origins.of(("server", "bind")) == f"{file}:3"
    assert origins.of(("log", "level")) == "flags"

"""Everything that is wrong, at once, where it stands, in plain words."""

from pathlib import Path

import pytest

from stibgate.config import load
from stibgate.errors import ConfigError

TEN_MISTAKES = """\
[server]
bind = "127.0.0.1"
bodytimeout = "15s"
max_body = 32

[storage]
durability = "half"

[sources.jobs]
kind = "stibnite_jobs"
routes = ["drop", "dorp"]
ack_status = 404

[sources.push]
kind = "stibnite_push"
tokens = ["long-enough-to-be-a-token", "short"]
routes = [
  "drop",
  7,
]

[sinks.drop]
kind = "cvs"
dir = "drops"
"""


def test_ten_mistakes_ten_lines(problems):
    """Ten mistakes of all sorts are ten problems, in the order of the file."""
    assert problems(TEN_MISTAKES) == [
        '''config.toml:2  server.bind  '127.0.0.1'  must be host:port with a port from 0 to 65535, for example "127.0.0.1:8080"''',
        "config.toml:3  server.bodytimeout  no such key; did you mean body_timeout?",
        'config.toml:4  server.max_body  32  expected a size with a unit, for example "512KiB", "32MiB" or "1GiB"',
        "config.toml:7  storage.durability  'half'  must be 'full' or 'normal'",
        'config.toml:9  sources.jobs.secrets  auth = "signature" needs a secret: secrets = ["whsec_..."], or STIBGATE_SOURCES__JOBS__SECRETS_FILE',
        "config.toml:11  sources.jobs.routes[1]  'dorp'  no such sink; did you mean drop?",
        "config.toml:12  sources.jobs.ack_status  404  must be 299 or less",
        "config.toml:16  sources.push.tokens[1]  ...(5 chars)  must have at least 16 characters, all of A-Z a-z 0-9 _ -",
        "config.toml:19  sources.push.routes[1]  7  must be text in quotes",
        "config.toml:23  sinks.drop.kind  'cvs'  no such kind; did you mean csv? there are csv, ndjson, hubspot, webhook",
    ]


def test_all_sources_of_settings_at_once(problems, whole):
    """Problems of the file, the environment and credentials come together, those of the file first."""
    Path("credentials").mkdir()
    Path("credentials/delivery.lease").write_text("soon")
    lines = problems(
        f"[log]\nlevel = 3\n{whole}",
        STIBGATE_LOG__FORMAT="xml",
        STIBGATE_SERVER__BIN="x",
        CREDENTIALS_DIRECTORY="credentials",
    )
    assert lines[0] == "config.toml:2  log.level  3  must be 'debug', 'info', 'warning' or 'error'"
    assert sorted(lines[1:]) == [
        'credentials  delivery.lease  \'soon\'  expected a duration with a unit, for example "30s", "5m", "2h" or "400d"',
        "environment  STIBGATE_LOG__FORMAT  'xml'  must be 'auto', 'json', 'console' or 'ecs'",
        "environment  STIBGATE_SERVER__BIN  no such variable; did you mean STIBGATE_SERVER__BIND?",
    ]


@pytest.mark.parametrize(
    ("variable", "allowed"),
    [
        ("STIBGATE_SORUCES__JOBS__SECRETS", "no such variable; did you mean STIBGATE_SOURCES__JOBS__SECRETS?"),
        ("STIBGATE_SOURCES__JOBS__SECRET_FILE", "no such variable; did you mean STIBGATE_SOURCES__JOBS__SECRETS_FILE?"),
        ("STIBGATE_SOURCES__PUSH", "no such variable"),
        ("STIBGATE_CONFG", "no such variable; did you mean STIBGATE_CONFIG?"),
        ("STIBGATE_", "no such variable"),
        ("STIBGATE_SERVER__BIND__X", "no such variable; did you mean STIBGATE_SERVER__BIND?"),
    ],
)
def test_unknown_variable(problems, whole, variable, allowed):
    """A misspelt variable is a problem, never silence; its value is not shown."""
    [line] = problems(whole, **{variable: "whatever-it-holds"})
    assert line.startswith(f"environment  {variable}  {allowed}")


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("[telemetry]\nurl = 'x'", "config.toml:1  telemetry  no such key; there are server, storage"),
        ("[[rotes]]\nto = ['x']", "config.toml:1  rotes  no such key; did you mean routes?"),
        ("[server.limits]\nrates = '1/s'", "config.toml:2  server.limits.rates  no such key; did you mean rate?"),
        ("model_config = 1", "config.toml:1  model_config  no such key"),
        ("log = 'x'", "config.toml:1  log  'x'  must be a table"),
        ("sources = 5", "config.toml:1  sources  5  must be a table"),
    ],
)
def test_unknown_key(problems, table, line):
    """An unknown key is a problem with its line and what was probably meant."""
    assert any(found.startswith(line) for found in problems(table))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"x = {'9' * 5000}\n", "config.toml:2  TOML  the file is not TOML: "),
        ("[server\n", "config.toml:1  TOML  the file is not TOML: "),
        ("[log]\n\nlevel = \n", "config.toml:3  TOML  the file is not TOML: invalid value"),
        ("[log]\nlevel = 'a'\nlevel = 'b'\n", "config.toml:3  TOML  the file is not TOML: cannot overwrite a value"),
    ],
)
def test_syntax_error(problems, text, line):
    """A file that is not TOML is one problem, with its line."""
    [found] = problems(text)
    assert found.startswith(line)


def test_not_utf8(write):
    """Bytes that are not UTF-8 are one problem, with their line."""
    file = write("")
    file.write_bytes(b"[log]\nlevel = '\xff'\n")
    with pytest.raises(ConfigError) as caught:
        load(file, environ={})
    assert [str(p) for p in caught.value.problems] == ["config.toml:2  TOML  the file must be UTF-8 text"]


@pytest.mark.parametrize(
    ("auth", "missing"),
    [
        ("signature", ["secrets"]),
        ("token", ["tokens"]),
        ("signature+token", ["secrets", "tokens"]),
        ("signature_or_token", ["secrets", "tokens"]),
    ],
)
def test_proof_needs_its_means(problems, auth, missing):
    """A source whose auth needs a secret or a token and has none does not start."""
    lines = problems(f'[sources.x]\nkind = "stibnite_jobs"\nauth = "{auth}"\nsecrets = []\n')
    assert {line.split("  ")[1] for line in lines} == {f"sources.x.{key}" for key in missing}
    assert len(lines) == len(missing)


@pytest.mark.parametrize("auth", ["none", "", "Signature"])
def test_no_auth_none(problems, auth):
    """There is no way to run a source without proof."""
    [line] = problems(f'[sources.x]\nkind = "stibnite_push"\nauth = "{auth}"\ntokens = ["0123456789abcdef"]\n')
    assert line.startswith("config.toml:3  sources.x.auth  ")


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ('scheme = "md5"', "must be 'auto', 't_v1'"),
        ('scheme = "custom"', "is required with scheme"),
        ('signature.algorithm = "md5"', "use scheme 'custom'"),
        ('scheme = "t_v1"\nsignature.algorithm = "sha1"', "sha1 is only taken by explicit opt-in"),
        ("signature.header = 5", "must be text in quotes"),
        ("tolerance = 300", "expected a duration with a unit"),
        ('tolerance = "0s"', "must be longer than zero"),
        ("ack_status = true", "must be a whole number"),
        ("allow_sha1 = 1", "must be true or false"),
        ('id_headers = ["a b"]', "must be the name of an HTTP header"),
        ('routes = ["drop", "drop"]', "the same sink stands there twice"),
    ],
)
def test_source_keys(problems, token, line, allowed):
    """Each key of a source says what it allows."""
    text = f'[sources.x]\nkind = "stibnite_push"\ntokens = ["{token}"]\n{line}\n[sinks.drop]\nkind = "csv"\ndir = "d"\n'
    found = problems(text)
    assert len(found) == 1
    assert allowed in found[0]


@pytest.mark.parametrize(
    ("item", "where"),
    [
        ('""', "secrets[0]"),
        ('"whsec_"', "secrets[0]"),
        ('"changeme"', "secrets[0]"),
        ("12345678901234567890", "secrets[0]"),
        ('{ value = "whsec_ZmFrZS1mb3ItZG9jcy1vbmx5", not_after = 2026-01-01T00:00:00 }', "secrets[0].not_after"),
        ('{ not_after = "2026-01-01T00:00:00Z" }', "secrets[0].value"),
    ],
)
def test_unusable_secret(problems, item, where):
    """An empty, short or placeholder secret does not start, nor one whose end is no instant."""
    [line] = problems(f'[sources.x]\nkind = "stibnite_jobs"\nsecrets = [{item}]\n')
    assert line.startswith(f"config.toml:3  sources.x.{where}  ")


def test_secrets_with_an_end(write, secret):
    """A secret may be text or a table with an end, as text or as a TOML date-time."""
    text = f"""[sources.x]
kind = "stibnite_jobs"
secrets = ["{secret}", {{ value = "{secret}", not_after = "2026-12-31T00:00:00Z" }},
  {{ value = "{secret}", not_after = 2026-12-31T01:00:00+01:00 }}]
"""
    items = load(write(text), environ={}).settings.sources["x"].secrets
    assert [item.not_after and item.not_after.isoformat() for item in items] == [
        None,
        "2026-12-31T00:00:00+00:00",
        "2026-12-31T00:00:00+00:00",
    ]


def test_eight_secrets_at_most(problems, secret):
    """Nine secrets are too many: every one is tried on every delivery."""
    [line] = problems(f'[sources.x]\nkind = "stibnite_jobs"\nsecrets = {[secret] * 9}\n')
    assert line == "config.toml:3  sources.x.secrets  a list of 9  must have 8 or fewer items"


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ('[delivery]\nlease = "30s"', "delivery.lease"),
        ('[delivery]\ntimeout = "2m"', "delivery.timeout"),
        ('[sinks.a]\nkind = "csv"\ndir = "a"\n[sinks.a.delivery]\nlease = "1s"', "sinks.a.delivery.lease"),
        ('[storage.retention]\ndedupe_keys = "1h"', "storage.retention.dedupe_keys"),
        ('[sinks.a]\nkind = "csv"\ndir = "d"\n[sinks.b]\nkind = "csv"\ndir = "./d"', "sinks.b.dir"),
        ('[storage]\nurl = "postgresql://u:hunter2@h/db"', "storage.url"),
        ('[server]\npublic_url = "http://hooks.example.com"', "server.public_url"),
        ('[server]\npublic_url = "https://u:p@hooks.example.com"', "server.public_url"),
        ('[server]\ntrusted_proxies = ["10.0.0.1/8"]', "server.trusted_proxies[0]"),
        ('[server.limits]\nrate = "0/s"', "server.limits.rate"),
        ("[delivery]\nschedule = []", "delivery.schedule"),
        ('[normalise]\ndefault_region = "us"', "normalise.default_region"),
        ('[normalise]\ndefault_region = "ZZ"', "normalise.default_region"),
        ('[sources."Jobs"]\nkind = "stibnite_push"\ntokens = ["0123456789abcdef"]', "sources.Jobs"),
    ],
)
def test_other_keys(problems, table, path):
    """Each rule that a key or a pair of keys must hold is one problem when it is broken."""
    [line] = problems(table)
    assert line.split("  ")[1] == path
    assert "hunter2" not in line


def test_plain_words(problems):
    """No problem speaks pydantic."""
    text = "\n".join(problems(TEN_MISTAKES))
    for word in ("Value error", "pydantic", "Input should", "errors.pydantic.dev", "type=", "function-"):
        assert word not in text


def test_notices(write, whole):
    """What is allowed and perhaps not meant is a notice, not a problem."""
    text = whole.replace('routes = ["drop"]', "routes = []")
    notices = "\n".join(load(write(text), environ={}).notices)
    assert "sources.jobs has no routes" in notices
    assert "sinks.drop is in no route: nothing goes there" in notices


def test_exposed_admin(problems, whole):
    """An admin listener that other machines reach stops the start while nothing on it asks for a token."""
    (line,) = problems(whole + '[server]\nadmin_bind = "0.0.0.0:9090"\n')
    assert "server.admin_bind" in line
    assert "loopback" in line


def test_notice_of_readable_secrets(write, whole):
    """A file with secrets that every user may read is a notice: Docker's own secrets are such files."""
    file = write(whole)
    file.chmod(0o644)
    assert any("may be read by every user" in notice for notice in load(file, environ={}).notices)
    file.chmod(0o600)
    assert load(file, environ={}).notices == ()


def test_missing_file_of_a_secret(problems, whole):
    """A file that a variable names and that is not there is a problem, beside all others."""
    lines = problems(f"[log]\nlevel = 1\n{whole}", STIBGATE_SOURCES__PUSH__TOKENS_FILE="nowhere")
    assert lines[1] == (
        "environment  STIBGATE_SOURCES__PUSH__TOKENS_FILE  nowhere  the file cannot be read: no such file or directory"
    )


@pytest.mark.parametrize("count", [0, 2, 64])
def test_more_than_one_worker(problems, whole, count):
    """One process commits: any other number of workers is refused, with the reason."""
    (line,) = problems(f"[server]\nworkers = {count}\n{whole}")
    assert line.startswith(f"config.toml:2  server.workers  {count}  must be 1: one process commits to the store")

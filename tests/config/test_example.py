"""`config.example.toml` is complete, correct and loads as it stands."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from stibgate.cli.config import config
from stibgate.config import Settings, json_schema, load, restart_only
from stibgate.config.lines import key_lines
from stibgate.config.shape import all_leaves, is_leaf

FILE = Path(__file__).parents[2] / "config.example.toml"
NAMES = {
    "sources": {"jobs": "stibnite_jobs"},
    "budgets": {"campaigns": ""},
    "sinks": {
        "drop": "csv",
        "archive": "csv",
        "archive-gs": "ndjson",
        "archive-az": "ndjson",
        "crm": "hubspot",
        "relay": "webhook",
    },
}
COMMENTED = re.compile(r"^# (?=[a-z_0-9]+ = |\[)", re.MULTILINE)
REQUIRED = {
    "drop": {"kind": "csv", "dir": "."},
    "archive": {"kind": "csv", "url": "s3://bucket"},
    "archive-gs": {"kind": "ndjson", "url": "gs://bucket"},
    "archive-az": {"kind": "ndjson", "url": "az://container", "storage": {"account_name": "fake"}},
    "crm": {"kind": "hubspot", "token": "fake-for-tests"},
    "relay": {"kind": "webhook", "url": "https://hooks.example.com", "secret": "whsec_ZmFrZS1mb3ItdGVzdHMtb25seS0="},
}
# Keys that have no default, or whose example shows a use and says so.
SHOWN = {
    ("sources", "jobs", "kind"),
    ("sources", "jobs", "secrets"),
    ("sources", "jobs", "routes"),
    ("sinks", "drop", "delivery", "rate"),
    ("delivery", "rate"),
    ("routes",),
    ("stibnite", "api_key"),
    ("thehog", "access_key"),
    ("console", "tokens"),
    ("thehog", "secret_key"),
    *(("budgets", "campaigns", key) for key in ("unit", "limit", "period", "confirm_above")),
}
SHOWN_OF_SINKS = {("kind",), ("dir",), ("url",), ("token",), ("secret",)} | {
    ("storage", key)
    for key in (
        *("endpoint", "region", "access_key_id", "secret_access_key", "session_token", "virtual_hosted_style_request"),
        *("server_side_encryption", "sse_kms_key_id", "service_account_key", "account_name", "account_key", "sas_key"),
    )
}
FREE = {("properties",), ("field_policy",), ("owners",)}  # tables whose keys are the user's


@pytest.fixture(scope="module")
def complete():
    """The example with the keys that are commented out, as TOML."""
    text = FILE.read_text()
    return tomllib.loads(COMMENTED.sub("", text))


def at(tree, path):
    for part in path:
        tree = tree[part]
    return tree


def test_it_loads():
    """The example is a configuration that holds together, and whoever leaves its fakes in it is told so."""
    loaded = load(FILE, environ={})
    assert set(loaded.settings.sources) == {"jobs", "push"}
    assert [notice for notice in loaded.notices if "chmod" not in notice] == [
        "sources.jobs.secrets: one is the example's: anybody knows it",
        "sources.push.tokens: one is the example's: anybody knows it",
        "console.tokens: one is the example's: anybody knows it",
    ]


def test_every_key_is_in_the_file(complete):
    """Every key of the model is shown."""
    missing = []
    for path in all_leaves(NAMES):
        # What several sinks have in common is shown once.
        places = [("sinks", name, *path[2:]) for name in NAMES["sinks"]] if path[0] == "sinks" else [path]
        if not any(has(complete, place) for place in places):
            missing.append(".".join(path))
    assert missing == []


def has(tree, path):
    try:
        at(tree, path)
    except KeyError:
        return False
    return True


def test_every_key_of_the_file_exists(complete):
    """Every key that is shown is a key of the model."""
    text = COMMENTED.sub("", FILE.read_text())
    keys = [path for path in key_lines(text) if not any(isinstance(part, int) for part in path)]
    tables = [path for path in keys if isinstance(at(complete, path), dict)]
    free = [path for path in keys if path[2:3] in FREE]
    assert [path for path in keys if path not in tables and path not in free and not is_leaf(path, NAMES)] == []


def test_shown_defaults_are_the_defaults(complete):
    """Each default that is shown is the default of the model, in the unit of the file."""
    bare = {
        "sources": {"jobs": {"kind": "stibnite_jobs", "secrets": at(complete, ("sources", "jobs", "secrets"))}},
        "sinks": REQUIRED,
    }
    at(complete, ("sinks", "archive-gs", "storage")).clear()  # a key that parses would look like a secret
    shown, default = Settings.model_validate(complete), Settings.model_validate(bare)
    for path in all_leaves(NAMES):
        if path in SHOWN or path[:3] == ("sources", "jobs", "signature") or path[2:] in SHOWN_OF_SINKS:
            continue
        if path[0] == "sinks" and not has(complete, path):
            continue
        # A sink's own table follows [delivery] where it says nothing.
        usual = ("delivery", path[-1]) if path[:3] == ("sinks", "drop", "delivery") else path
        assert value_at(shown, path) == value_at(default, usual), ".".join(path)


def value_at(settings, path):
    for part in path:
        settings = settings[part] if isinstance(settings, dict) else getattr(settings, part)
    return settings


def test_every_key_says_something():
    """Every key of the example has a comment, save the ones whose table says it."""
    silent = [line for line in FILE.read_text().splitlines() if re.match(r"[a-z_0-9]+ = ", line) and "#" not in line]
    assert len(silent) <= 4, silent


def test_schema_command():
    """`config schema` prints the schema as JSON."""
    result = CliRunner().invoke(config, ["schema"], catch_exceptions=False)
    assert json.loads(result.output) == json_schema()


def test_schema_takes_the_example():
    """The JSON Schema takes the example, and refuses what the model refuses."""
    schema, example = json_schema(), tomllib.loads(FILE.read_text())
    assert list(complaints(schema, schema, example)) == []
    example["server"]["bnd"] = "x"
    example["log"]["level"] = "loud"
    example["sources"]["jobs"]["ack_status"] = "202"
    example["sources"]["jobs"]["secrets"] = [{"valu": "x"}]
    found = list(complaints(schema, schema, example))
    assert len(found) == 4, found


def test_schema_writes_defaults_as_the_file_does():
    """Defaults in the schema have the units of the file, and no key offers null."""
    schema = json_schema()
    assert schema["$defs"]["SourceSettings"]["properties"]["tolerance"]["default"] == "5m"
    assert schema["$defs"]["ServerSettings"]["properties"]["max_body"]["default"] == "32MiB"
    assert '"null"}' not in json.dumps(schema)


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}


def complaints(root, node, value, path="$"):  # noqa: C901, PLR0912  (one branch a word of JSON Schema)
    """A JSON Schema validator for the few words that pydantic writes here."""
    if "$ref" in node:
        yield from complaints(root, root["$defs"][node["$ref"].rsplit("/", 1)[1]], value, path)
    if "anyOf" in node and not any(not list(complaints(root, option, value)) for option in node["anyOf"]):
        yield f"{path}: anyOf"
    if "enum" in node and value not in node["enum"]:
        yield f"{path}: enum"
    if "type" in node and not isinstance(value, TYPES[node["type"]]):
        yield f"{path}: type"
        return
    if "pattern" in node and not re.search(node["pattern"], value):
        yield f"{path}: pattern"
    if isinstance(value, list):
        for item in value:
            yield from complaints(root, node.get("items", {}), item, f"{path}[]")
    if isinstance(value, dict) and node.get("type") == "object":
        for key in node.get("required", ()):
            if key not in value:
                yield f"{path}.{key}: required"
        for key, below in value.items():
            if key in node.get("properties", {}):
                yield from complaints(root, node["properties"][key], below, f"{path}.{key}")
            elif "patternProperties" in node:
                [(pattern, below_node)] = node["patternProperties"].items()
                if re.search(pattern, key):
                    yield from complaints(root, below_node, below, f"{path}.{key}")
                else:
                    yield f"{path}.{key}: name"
            elif node.get("additionalProperties") is False:
                yield f"{path}.{key}: unknown"
            elif isinstance(node.get("additionalProperties"), dict):
                yield from complaints(root, node["additionalProperties"], below, f"{path}.{key}")


def test_what_needs_a_restart_is_listed():
    """The head of the file names every key that a reload cannot change, and no other."""
    head = FILE.read_text(encoding="utf-8").partition("\n[")[0].replace("\n#", "")
    (told,) = re.findall(r"which need a restart: (.*?)\.$", head)
    assert told.split(", ") == restart_only(), "say in config/changes.py what a reload can change"

"""The file that `stibgate init` writes: short, commented, complete enough to start."""

from collections.abc import Sequence

_TEMPLATE = """\
# stibgate configuration. It holds secrets: keep it readable by the service only (0600).
# Every key with its default and unit: config.example.toml, or `stibgate config schema` for an editor.
# Check it with `stibgate config check`; see what applies with `stibgate config show`.
# Each key can also come from the environment: STIBGATE_SERVER__BIND, or STIBGATE_SOURCES__JOBS__SECRETS_FILE
# for a file that holds the value. Relative paths are taken from the folder of this file.

[server]
bind = "127.0.0.1:8080"         # the public listener: put a TLS proxy in front
admin_bind = "127.0.0.1:9090"   # health and operation: never expose it
public_url = ""                 # what senders see, for example "https://hooks.example.com"

[storage]
url = "sqlite:///./data/stibgate.db"   # on a local disk

# Finished and failed search jobs, signed by Stibnite.
[sources.jobs]
kind = "stibnite_jobs"
auth = "signature"
# Made up by `stibgate init`, good for `stibgate trigger`. Stibnite gives you its own when you register the
# webhook: put that one first. Several are accepted at once, so that a change loses nothing.
secrets = [{secrets}]
routes = [{sinks}]

# Records that a user pushes. Their documented headers carry no signature, so the URL itself is the proof:
# the token is its last part. Treat the URL as a password.
[sources.push]
kind = "stibnite_push"
auth = "token"
tokens = ["{token}"]
routes = [{sinks}]

# One CSV file per delivery.
[sinks.drop]
kind = "csv"
dir = "./data/drops"
{more}"""

CRM = """
# HubSpot: contacts, companies and their associations. Add "crm" to the routes above; `stibgate sinks test crm`
# says what the key may not do yet.
# [sinks.crm]
# kind = "hubspot"
# token = "pat-na1-..."
"""


def template(*, secrets: Sequence[str], token: str, sinks: Sequence[str] = ("drop",), more: str = CRM) -> str:
    """Return a configuration file for one of each: jobs, pushes and a CSV drop.

    Args:
        secrets: Signing secrets of the jobs, `whsec_...`; the first one is what this side signs with.
        token: Capability token of the pushes; characters that need no quoting in a URL or in TOML.
        sinks: Where both sources lead.
        more: What comes after the drop: TOML.
    """
    return _TEMPLATE.format(secrets=_quoted(secrets), token=token, sinks=_quoted(sinks), more=more)


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)

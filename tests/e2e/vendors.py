"""`stibgate sandbox` as a process of its own."""

import json
import subprocess
import sys

from tests.e2e.gateway import environment, request, until, whole_lines

SETTINGS = """
[stibnite]
base_url = "{stibnite[url]}"
api_key = "{stibnite[api_key]}"
{more}

[thehog]
base_url = "{thehog[url]}"
access_key = "{thehog[access_key]}"
secret_key = "{thehog[secret_key]}"
"""


class Vendors:
    """The vendors' sandboxes, from entering the block to leaving it."""

    def __init__(self, folder, *words):
        self._folder, self._words = folder, words

    def __enter__(self):
        self._folder.mkdir(parents=True, exist_ok=True)
        printed = self._folder / "sandbox.json"
        with printed.open("wb") as out, (self._folder / "sandbox.err").open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stibgate", "sandbox", *self._words],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(),
            )  # fmt: skip
        self.where = json.loads(until("the sandbox is ready", lambda: "".join(whole_lines(printed))))
        return self

    def __exit__(self, *_):
        self._process.terminate()
        assert self._process.wait(60) == 0

    def settings(self, more=""):
        """Return the configuration that leads here; *more* goes into `[stibnite]`."""
        return SETTINGS.format(more=more, **self.where)

    def call(self, method, path, body=None, headers=None):
        """Return Stibnite's answer, parsed; with the account's key unless *headers* say otherwise."""
        there = self.where["stibnite"]
        answer = request(
            f"{there['url']}{path}",
            method,
            None if body is None else json.dumps(body).encode(),
            {"content-type": "application/json", **(headers or {"x-api-key": there["api_key"]})},
        )
        assert answer.status < 300, answer
        return answer.json

    def push(self, public_key, origin, records):
        """Buy and push the first *records* people of a search, as a user of the widget does."""
        user = {"partner_key": public_key, "customer_id": "acme", "user_id": "dana"}
        session = self.call("POST", "/v1/prospecting/embed-sessions", user, {"Origin": origin})
        bearer = {"Authorization": f"Bearer {session['token']}"}
        found = self.call("POST", "/v1/prospecting/sessions", {"q": "60 owners of gyms", "limit": records}, bearer)
        chosen = {"selection_mode": "selected", "prospect_ids": [one["prospect_id"] for one in found["data"]]}
        return self.call("POST", f"/v1/prospecting/sessions/{found['search_id']}/push", chosen, bearer)

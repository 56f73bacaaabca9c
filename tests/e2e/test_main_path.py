"""From `init` to the last file, with the commands that README shows."""

import base64
import csv
import io
import json
import shutil
import subprocess
import time

import pytest

from stibgate.domain.record import COLUMNS
from tests.e2e.gateway import (
    FAILED,
    PUSHED,
    SECRET,
    SUCCEEDED,
    Gateway,
    free_port,
    python_stibgate,
    stibgate,
)

pytestmark = pytest.mark.e2e

BARE = f"""
[sources.bare]
kind = "stibnite_jobs"
secrets = ["{SECRET}"]
scheme = "sha256_hex"
routes = ["drop"]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A gateway from the configuration that `init` writes, with one more source, after three pushes and two jobs."""
    folder = tmp_path_factory.mktemp("shop")
    assert stibgate("init", "--dir", folder).code == 0
    config = folder / "config.toml"
    text = config.read_text().replace(":8080", f":{free_port()}").replace(":9090", f":{free_port()}")
    config.write_text(text + BARE)
    with Gateway(config) as gateway:
        print(f"start to ready: {gateway.started_s:.2f} s")
        for event, source, *more in (
            (PUSHED, "push", "--records", "25", "--count", "3"),
            (SUCCEEDED, "jobs", "--records", "4"),
            (FAILED, "jobs"),
        ):
            ran = gateway.run("trigger", event, "--source", source, *more)
            assert ran.code == 0, ran
        gateway.settled()
        yield gateway


@pytest.fixture(scope="module")
def pushes(shop):
    return [one for one in shop.rows("deliveries", "list", "--event-type", PUSHED) if one["source"] == "push"]


def only(rows):
    """Return the one row."""
    (row,) = rows
    return row


def test_init_keeps_its_secrets_to_its_owner_and_never_overwrites(tmp_path):
    """The file is 0600, loads as it is, and a second `init` changes nothing and exits 2."""
    first = python_stibgate("init", cwd=tmp_path)
    assert first.code == 0, first
    file = tmp_path / "config.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert stibgate("config", "check", cwd=tmp_path).out == "config ok: 2 sources, 1 sink\n"
    stibgate("init", cwd=tmp_path).complaint(2)
    assert file.read_text() == text
    assert stibgate("init", "--force", cwd=tmp_path).code == 0
    assert file.read_text() != text


def test_what_was_triggered_is_stored_and_dropped(shop, pushes):
    """Three pushes of 25 and a job of 4 are 79 rows in files, and every delivery is done, the failed job too."""
    assert [one["records"] for one in pushes] == [25, 25, 25]
    ids = {one["delivery_id"] for one in pushes}
    files = [path for path in (shop.folder / "data/drops").rglob("*.csv") if path.stem.split("-")[1] in ids]
    rows = []
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            header, *body = csv.reader(file, strict=True)
        assert tuple(header) == COLUMNS
        rows += body
    assert len(rows) == len({row[1] for row in rows}) == 75
    job = only(shop.rows("deliveries", "list", "--event-type", SUCCEEDED, "--source", "jobs")[-1:])
    assert (job["state"], job["records"]) == ("done", 4)
    failed = only(shop.rows("deliveries", "list", "--event-type", FAILED))
    assert (failed["state"], failed["records"]) == ("done", 0)


@pytest.mark.parametrize(
    ("event", "bad", "statuses", "words"),
    [
        (SUCCEEDED, "signature", [401], ["Unauthorized"]),
        (SUCCEEDED, "stale", [401], ["Unauthorized"]),
        (SUCCEEDED, "json", [202], ["quarantined"]),
        (SUCCEEDED, "duplicate", [202, 202], ["accepted", "duplicate"]),
        (PUSHED, "json", [202], ["quarantined"]),
        (PUSHED, "duplicate", [202, 202], ["accepted", "duplicate"]),
    ],
)
def test_every_way_to_spoil_a_delivery_is_answered_as_documented(shop, event, bad, statuses, words):
    """A spoiled delivery gets the answer that the contract names, and `trigger` shows it."""
    source = "push" if event == PUSHED else "jobs"
    ran = shop.run("trigger", event, "--source", source, "--bad", bad, "--json")
    assert ran.code == 0, ran
    assert [one["http_status"] for one in ran.objects] == statuses
    assert [one.get("status") if one["http_status"] == 202 else one["title"] for one in ran.objects] == words
    if bad == "duplicate":
        assert len({one["delivery_id"] for one in ran.objects}) == 1
    if bad == "json":
        shown = only(shop.rows("deliveries", "show", ran.objects[0]["delivery_id"]))
        assert (shown["state"], shown["reason"]) == ("quarantined", "not_json_object")


@pytest.mark.parametrize("bad", ["signature", "stale"])
def test_a_source_that_signs_nothing_has_no_signature_to_spoil(shop, bad):
    """`trigger --bad signature` says so for a source that is proved by its token, and sends nothing."""
    before = len(shop.rows("deliveries", "list", "--source", "push"))
    shop.run("trigger", PUSHED, "--bad", bad).complaint(2)
    assert len(shop.rows("deliveries", "list", "--source", "push")) == before


def test_trigger_asks_which_source_when_several_fit(shop):
    """With two sources of a kind, `trigger` names them and exits 2; an unknown event or source is 2 as well."""
    assert "which source" in shop.run("trigger", SUCCEEDED).complaint(2)
    shop.run("trigger", "person_search.job.lost").complaint(2)
    shop.run("trigger", SUCCEEDED, "--source", "nobody").complaint(2)
    assert shop.run("trigger").lines == [SUCCEEDED, FAILED, PUSHED]


def test_deliveries_can_be_listed_filtered_and_paged(shop, pushes):
    """Lists come newest first, a cursor continues where a page ended, and filters narrow."""
    assert [one["received_at"] for one in pushes] == sorted((one["received_at"] for one in pushes), reverse=True)
    first = shop.run("deliveries", "list", "--event-type", PUSHED, "--limit", 2, "--json")
    cursor = first.err.split()[-1]
    rest = shop.rows("deliveries", "list", "--event-type", PUSHED, "--cursor", cursor)
    whole = shop.rows("deliveries", "list", "--event-type", PUSHED)
    assert [*first.objects, *rest] == whole
    one = pushes[0]
    assert shop.rows("deliveries", "list", "--search-id", one["search_id"]) == [one]
    assert one in shop.rows("deliveries", "list", "--sink", "drop", "--state", "done", "--since", one["received_at"])
    assert one not in shop.rows("deliveries", "list", "--until", one["received_at"])
    table = shop.run("deliveries", "list").lines
    assert table[0].split()[:2] == ["DELIVERY_ID", "RECEIVED_AT"]
    shop.run("deliveries", "list", "--since", "yesterday").complaint(2)


def test_ids_pair_each_delivery_with_its_bodys_digest(shop, pushes):
    """`--ids` prints the job's or search's id, a tab and the body's SHA-256, for every delivery."""
    pairs = [line.split("\t") for line in shop.run("deliveries", "list", "--ids").lines]
    for one in pushes:
        digest = only(shop.rows("deliveries", "show", one["delivery_id"]))["body_sha256"]
        assert [one["search_id"], digest] in pairs
    assert len(pairs) == len(shop.rows("deliveries", "list", "--limit", 1000))


def test_a_delivery_shows_its_tasks_records_and_raw_body(shop, pushes):
    """`show` tells what became of every record, and gives back the body byte for byte."""
    import hashlib

    one = pushes[0]["delivery_id"]
    shown = only(shop.rows("deliveries", "show", one))
    task = only(shown["tasks"])
    assert (task["state"], task["attempts"], task["outcomes"], task["refused"]) == ("delivered", 1, {"written": 25}, [])
    assert shown["duplicates_seen"] == shown["conflicts"] == []
    raw = shop.run("deliveries", "show", one, "--raw").out.encode()
    assert hashlib.sha256(raw).hexdigest() == shown["body_sha256"]
    records = shop.run("deliveries", "show", one, "--records").objects
    assert [r["person_id"] for r in records] == [r["person_id"] for r in json.loads(raw)["data"]]
    text = shop.run("deliveries", "show", one).out
    assert task["task_id"] in text
    assert "25 written" in text
    shop.run("deliveries", "show", "dlv_nothing").complaint(1)


def test_tasks_are_listed(shop, pushes):
    """Every delivery with records owes each of its sinks one task, and `tasks list` narrows by all three."""
    tasks = shop.rows("tasks", "list", "--delivery", pushes[0]["delivery_id"])
    assert [(one["sink"], one["state"]) for one in tasks] == [("drop", "delivered")]
    assert tasks[0] in shop.rows("tasks", "list", "--state", "delivered", "--sink", "drop", "--limit", 1000)


def test_explain_tells_the_story_of_a_delivery_a_task_and_a_person(shop, pushes):
    """Whatever one has in hand leads to the delivery and to what became of the record."""
    one = pushes[0]["delivery_id"]
    known = shop.run("deliveries", "show", one, "--records").objects
    ways = ("business_email", "mobile_phone", "linkedin_url")
    record = next(record for record in known if all(record.get(way) for way in ways))  # some people lack one
    task = only(shop.rows("tasks", "list", "--delivery", one))["task_id"]
    story = shop.run("explain", one).out
    assert f"{one} came from source push" in story
    assert "attempt 1: delivered, 25 written" in story
    assert f"{one} is now done" in story
    assert f"{task} is now delivered" in shop.run("explain", task).out
    for words in (
        [record["person_id"]],
        [record["prospect_id"]],
        ["--person", record["business_email"].upper()],
        ["--person", record["mobile_phone"]],
        ["--person", record["linkedin_url"]],
    ):
        ran = shop.run("explain", *words)
        assert ran.code == 0, ran
        assert f"record {record['position']} of {one}" in ran.out
        assert "attempt 1: delivered, written" in ran.out
        assert all(line.keys() == {"at", "delivery_id", "what"} for line in shop.rows("explain", *words))
    shop.run("explain", "nobody").complaint(1)
    shop.run("explain").complaint(2)
    shop.run("explain", "--person", "neither one nor the other").complaint(2)


def test_the_store_can_be_looked_after(shop):
    """`db status` counts, `db check` ends with ok, and `db migrate` leaves a running service alone (75)."""
    status = only(shop.rows("db", "status"))
    assert status["deliveries"]["done"] >= 5
    assert status["pending_migrations"] == []
    assert shop.run("db", "status").code == 0
    shop.checked()
    assert f"process {shop.process.pid} " in shop.run("db", "migrate").complaint(75)


def test_health_and_version(shop):
    """`health` says ready with 0; `version` names what runs."""
    assert shop.run("health").out == "ready\n"
    assert only(shop.rows("health"))["checks"] == dict.fromkeys(["store", "free_space", "starting", "draining"], "ok")
    versions = stibgate("version", "--json").objects[0]
    assert stibgate("--version").out.strip() == versions["stibgate"]
    assert set(versions) == {"stibgate", "python", "sqlite", "aiohttp"}


def job(serial):
    """Return a job event's body with one person."""
    import random

    from stibgate.sandbox.samples import sample

    return sample(SUCCEEDED, records=1, rng=random.Random(serial), serial=serial).body


def openssl_hex(secret, content):
    """Return the HMAC-SHA-256 that openssl makes, as hex."""
    ran = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{secret.encode().hex()}"],
        input=content,
        capture_output=True,
        check=True,
    )
    return ran.stdout.decode().split()[-1]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("preset", ["t_v1", "sha256_hex"])
def test_signatures_made_by_openssl_are_accepted(shop, preset, tmp_path):
    """Two presets, signed by a program that is not ours and posted by curl where there is one, get 202."""
    body = job(1 if preset == "t_v1" else 2)
    if preset == "t_v1":
        secret = next(line for line in shop.config.read_text().splitlines() if line.startswith("secrets")).split('"')[1]
        at = int(time.time())
        source, value = "jobs", f"t={at},v1={openssl_hex(secret, b'%d.%b' % (at, body))}"
    else:
        source, value = "bare", openssl_hex(SECRET, body)
    if shutil.which("curl") is None:
        assert shop.post(f"/hooks/{source}", body, {"stibnite-signature": value}).status == 202
        return
    file = tmp_path / "body.json"
    file.write_bytes(body)
    words = ["curl", "-sS", "--noproxy", "*", "-w", "%{http_code}", "-H", "content-type: application/json"]
    words += ["-H", f"stibnite-signature: {value}", "--data-binary", f"@{file}", f"{shop.url}/hooks/{source}"]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("202"), ran.stdout
    assert json.loads(ran.stdout[:-3])["status"] == "accepted"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_line_that_sign_prints_works_as_it_stands(shop, tmp_path):
    """`sign --curl` can be pasted into a shell: from a file, and with the body on standard input."""
    for serial, name in ((3, "body.json"), (4, "-")):
        body = job(serial)
        (tmp_path / "body.json").write_bytes(body)
        words = ["sign", "--source", "bare", "--body", name, "--curl", "--config", shop.config]
        ran = stibgate(*words, cwd=tmp_path, stdin=body.decode())
        assert ran.code == 0, ran
        sent = subprocess.run(["sh", "-c", ran.out], cwd=tmp_path, input=body, capture_output=True, check=True)
        assert json.loads(sent.stdout)["status"] == "accepted", (ran.out, sent)


def test_sign_and_verify_agree(shop, tmp_path):
    """The headers that `sign` prints are the ones that `verify` takes, for every preset the source may use."""
    file = tmp_path / "body.json"
    file.write_bytes(job(5))
    ran = shop.run("sign", "--source", "bare", "--body", file)
    headers = [word for line in ran.lines for word in ("--header", line)]
    told = shop.run("verify", "--source", "bare", "--body", file, *headers)
    assert told.code == 0, told
    assert "The signature is right" in told.out
    shop.run("sign", "--source", "push", "--body", file).complaint(2)
    shop.run("sign", "--source", "bare", "--scheme", "rot13", "--body", file).complaint(2)


BODY = json.dumps({"event": FAILED, "job_id": "j-1", "status": "failed"}, indent=1).encode()
SIGNED_AT = 1_790_000_000


def capture_of(body, value, *, received_s=SIGNED_AT, header="stibnite-signature"):
    """Return a capture as JSON text."""
    from stibgate.domain.instant import to_rfc3339

    headers = [["content-type", "application/json"]] + ([[header, value]] if value else [])
    document = {"method": "POST", "path": "/hooks/jobs", "headers": headers}
    document |= {"body_base64": base64.b64encode(body).decode(), "received_at": to_rfc3339(received_s * 1000)}
    return json.dumps(document)


def t_v1(body, key):
    """Return a `t_v1` header from the standard library's HMAC, not from our own code."""
    import hashlib
    import hmac

    return f"t={SIGNED_AT},v1={hmac.new(key, b'%d.%b' % (SIGNED_AT, body), hashlib.sha256).hexdigest()}"


KEY = SECRET.encode()
OTHER_READING = base64.b64decode(SECRET.removeprefix("whsec_"))
RIGHT = t_v1(BODY, KEY)


@pytest.mark.parametrize(
    ("capture", "code", "words"),
    [
        (capture_of(BODY, RIGHT), 0, "The signature is right: scheme t_v1"),
        (capture_of(BODY, t_v1(BODY, b"whsec_bm90IG91cnM=")), 1, "wrong or rotated secret"),
        (capture_of(BODY, t_v1(BODY, OTHER_READING)), 1, "other reading of whsec_"),
        (capture_of(BODY + b"\n", RIGHT), 1, "rewrites the body"),
        (capture_of(json.dumps(json.loads(BODY)).encode(), t_v1(BODY, KEY)), 1, ""),
        (capture_of(BODY, RIGHT, received_s=SIGNED_AT - 400), 1, "400 s ahead of the time received"),
        (capture_of(BODY, RIGHT, received_s=SIGNED_AT + 4000), 1, "4000 s before it was received"),
        (capture_of(BODY, ""), 1, "missing"),
        (capture_of(BODY, RIGHT, header="x-signature"), 1, "in the header x-signature"),
    ],
    ids=["good", "wrong_secret", "other_reading", "newline", "reserialised", "ahead", "late", "missing", "elsewhere"],
)
def test_verify_says_why_a_capture_fails(tmp_path, capture, code, words):
    """Each known way to break a signature has a verdict and a hint of its own, and neither shows the secret."""
    from tests.e2e.gateway import configure

    config = configure(tmp_path)
    file = tmp_path / "capture.json"
    file.write_text(capture)
    ran = stibgate("verify", "--explain", "--source", "jobs", "--capture", file, "--config", config)
    assert ran.code == code, ran
    assert words in ran.out, ran
    assert (code == 0) or ran.err.startswith("hint: "), ran
    assert "Traceback" not in ran.err
    assert SECRET[6:] not in ran.out + ran.err
    told = stibgate("verify", "--json", "--source", "jobs", "--capture", file, "--config", config)
    assert told.code == code
    assert only(told.objects)["match"] is (code == 0)


def test_verify_recognises_a_body_that_was_serialised_again(tmp_path):
    """A proxy that parses and writes JSON anew is named, when the bytes before it can be told."""
    from tests.e2e.gateway import configure

    compact = json.dumps(json.loads(BODY), separators=(",", ":")).encode()
    file = tmp_path / "capture.json"
    file.write_text(capture_of(json.dumps(json.loads(BODY)).encode(), t_v1(compact, KEY)))
    ran = stibgate("verify", "--source", "jobs", "--capture", file, "--config", configure(tmp_path))
    assert (ran.code, "rewrites the body" in ran.out) == (1, True), ran


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "\x00",
        '{"headers": 1, "body_base64": ""}',
        '{"headers": [["a"]], "body_base64": ""}',
        '{"headers": [], "body_base64": "?"}',
        '{"headers": [], "body_base64": "", "received_at": 5}',
    ],
)
def test_what_is_no_capture_is_refused_with_a_hint(tmp_path, text):
    """`verify --capture` of anything else exits 2 with what a capture is, never with a traceback."""
    from tests.e2e.gateway import configure

    file = tmp_path / "capture.json"
    file.write_text(text)
    stibgate("verify", "--source", "jobs", "--capture", file, "--config", configure(tmp_path)).complaint(2)


def test_verify_needs_no_configuration_with_a_secret_from_the_environment(tmp_path):
    """`--secret-env` tries every scheme with that secret alone."""
    file = tmp_path / "capture.json"
    file.write_text(capture_of(BODY, RIGHT))
    words = ["verify", "--secret-env", "THE_SECRET", "--capture", file]
    ran = stibgate(*words, env={"THE_SECRET": SECRET}, cwd=tmp_path)
    assert (ran.code, "scheme t_v1" in ran.out) == (0, True), ran
    stibgate(*words, cwd=tmp_path).complaint(2)


def test_records_are_one_json_object_a_line_whatever_they_hold(shop):
    """Text of a person that no terminal should see is escaped in `show --records`."""
    people = [{"prospect_id": "p1", "first_name": "Zoë", "odd\x9b31m": "a\u202eb\x9b2J"}]
    body = json.dumps({"event": PUSHED, "search_id": "s-odd", "data": people, "partner_customer_id": "c"}).encode()
    token = next(line for line in shop.config.read_text().splitlines() if line.startswith("tokens")).split('"')[1]
    name = shop.post(f"/hooks/push/{token}", body).json["delivery_id"]
    shop.settled()
    ran = shop.run("deliveries", "show", name, "--records")
    assert ran.code == 0, ran
    assert ran.objects[0]["first_name"] == "Zoë"
    assert all(char.isprintable() for char in ran.out.rstrip("\n")), ascii(ran.out)
    assert list(csv.reader(io.StringIO(ran.objects[0]["prospect_id"]))) == [["p1"]]

"""How refused requests are shown."""

import re
from pathlib import Path

import stibgate
from stibgate.domain.instant import to_rfc3339
from stibgate.domain.rejection import Evidence, Finding, Rejections
from stibgate.errors import AuthReason
from stibgate.stores.glance import Seen
from stibgate.views.rejections import MEANINGS, rejection_row, rejection_rows

T = 1_779_043_330_000
ROOT = Path(stibgate.__file__).parent


def group(reason="mismatch", *, source="push", finding=None):
    found = None if finding is None else Finding(T, finding, "No secret matches.", "Compare them.", ("body: 7 bytes",))
    last = Evidence("r1", 401, "192.0.2.1", "agent/1", ("stibnite-signature",), ("t_v1",), 7, "abcdef123456")
    return Rejections(0, source, reason, 3, T, T + 9_000, last, found)


def test_every_reason_has_a_meaning():
    """Each word with which the public listener refuses has a meaning and a next step, and no other word has."""
    words = {str(reason) for reason in AuthReason} | {"unknown_source"}
    for name in ("web/receiver.py", "web/rawbody.py", "web/target.py", "pipeline/intake.py"):
        text = (ROOT / name).read_text()
        words |= set(re.findall(r'DeliveryRefused\(\s*\d+, "[^"]+", "(\w+)"', text))
        words |= set(re.findall(r'not_found\("(\w+)"', text))
    assert set(MEANINGS) == words
    assert all(meaning and step for meaning, step in MEANINGS.values())


def test_a_rotated_secret():
    """A secret that stopped matching is said to be rotated, with the key and the time at which it last matched."""
    row = rejection_row(group(finding="wrong_secret"), Seen("d1", T - 120_000, "t_v1/2"))
    said = row["explanation"]
    assert said["verdict"].endswith(f"rotated: key 2 last matched at {to_rfc3339(T - 120_000)}.")
    assert said["findings"][-1] == f"the last delivery that proved itself (t_v1/2) came at {to_rfc3339(T - 120_000)}"
    assert row["next"] == "Compare them."
    never = rejection_row(group(finding="wrong_secret"))["explanation"]
    since = rejection_row(group(finding="wrong_secret"), Seen("d1", T + 1, "t_v1/2"))["explanation"]
    token = rejection_row(group(finding="wrong_secret"), Seen("d1", T - 1, "token"))["explanation"]
    assert {said["verdict"] for said in (never, since, token)} == {"No secret matches."}


def test_without_a_finding():
    """A group that nobody looked into has its meaning and its step, with the source's name in it."""
    row = rejection_row(group())
    assert (row["source"], row["count"], row["explanation"]) == ("push", 3, None)
    assert row["meaning"] == "The signature is well-formed and no secret makes it."
    assert "--source push" in row["next"]
    assert row["last"]["body_sha256"] == "abcdef123456"
    (stranger,) = rejection_rows([group("unknown_source", source="-")], {})
    assert stranger["source"] is None
    assert rejection_row(group("new_word"))["meaning"] == "Refused."

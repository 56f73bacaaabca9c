"""Deliveries that must be refused, each for its own reason."""

import base64
import hmac

import pytest

from stibgate.errors import AuthReason, SignatureRefused
from stibgate.signatures import PRESETS, Secret, Verifier, candidates, header_lookup, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1779043375
BODY = b'{"event":"person_search.job.succeeded","job_id":"psj_1"}'
SIG, STAMP = "stibnite-signature", "stibnite-timestamp"


def verifier(scheme="auto", *, secret=SECRET, **overrides):
    return Verifier(candidates(scheme, overrides=overrides), [Secret(secret, "a")])


def signed(name, body=BODY, unix_s=NOW, variant=0):
    return sign(PRESETS[name][variant], SECRET, body, unix_s=unix_s, message_id="msg_1")


def reason(checker, pairs, body=BODY, now=NOW):
    with pytest.raises(SignatureRefused) as caught:
        checker.verify(header_lookup(pairs), body, now_unix_s=now)
    return caught.value.reason


def mac(data, key=None, algorithm="sha256"):
    return hmac.new(SECRET.encode() if key is None else key, data, algorithm)


T_V1 = signed("t_v1")[0][1]
GOOD_MAC = T_V1.split("v1=")[1]
WRONG = "0" * 64

MALFORMED = {
    "empty": "",
    "blank": "   ",
    "not ASCII": f"t={NOW},v1=é{GOOD_MAC[1:]}",
    "not ASCII beside a good MAC": f"é=1,{T_V1}",
    "surrogates": f"t={NOW},v1=\udce9{GOOD_MAC[1:]}",
    "too long": T_V1 + "," * 4096,
    "two timestamps": f"t={NOW - 9999},{T_V1}",
    "two timestamps, the good one first": f"{T_V1},t={NOW - 9999}",
    "no timestamp": f"v1={GOOD_MAC}",
    "timestamp with a sign": T_V1.replace("t=", "t=+"),
    "timestamp with an underscore": T_V1.replace("t=17", "t=1_7"),
    "timestamp with a point": T_V1.replace(",v1", ".0,v1"),
    "timestamp nan": f"t=nan,v1={GOOD_MAC}",
    "timestamp in milliseconds": T_V1.replace(",v1", "000,v1"),
    "timestamp with 13 digits": f"t={NOW:013d},v1={GOOD_MAC}",
    "another version only": f"t={NOW},v0={GOOD_MAC}",
    "version in capitals": f"t={NOW},V1={GOOD_MAC}",
    "empty MAC": f"t={NOW},v1=",
    "short MAC": f"t={NOW},v1={GOOD_MAC[:62]}",
    "long MAC": f"t={NOW},v1={GOOD_MAC}00",
    "MAC with spaces inside": f"t={NOW},v1={GOOD_MAC[:60]}  {GOOD_MAC[60:62]}",
    "garbage": "I am not a signature",
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_header_is_refused(value):
    """A header that is not exactly the grammar is malformed, never an exception and never a guess."""
    assert reason(verifier("t_v1"), [(SIG, value)]) is AuthReason.MALFORMED
    assert reason(verifier(), [(SIG, value)]) is AuthReason.MALFORMED


STANDARD = {
    "id with a dot": {"webhook-id": "msg.1"},
    "id with a space": {"webhook-id": "msg 1"},
    "id too long": {"webhook-id": "m" * 257},
    "timestamp in full-width digits": {"webhook-timestamp": "".join(chr(ord(digit) + 0xFEE0) for digit in str(NOW))},
    "timestamp empty": {"webhook-timestamp": ""},
    "MAC without padding": {"webhook-signature": "v1," + base64.b64encode(b"0" * 32).decode().rstrip("=")},
    "MAC with foreign characters": {"webhook-signature": "v1,g0hM9-_*SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
    "MAC with stray low bits": {"webhook-signature": "v1," + "A" * 42 + "B="},
    "no comma": {"webhook-signature": "v1"},
    "two commas": {"webhook-signature": "v1,AAAA,AAAA"},
    "asymmetric version": {"webhook-signature": "v1a," + base64.b64encode(b"0" * 32).decode()},
    "svix before 1.17": {"webhook-signature": "v1,"},
}


@pytest.mark.parametrize("change", STANDARD.values(), ids=STANDARD.keys())
def test_malformed_standard_webhooks_is_refused(change):
    """Id, time and MAC of Standard Webhooks are taken in one strict form."""
    pairs = dict(signed("standard_webhooks", variant=1)) | change
    assert reason(verifier("standard_webhooks"), list(pairs.items())) is AuthReason.MALFORMED


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_every_header_comes_exactly_once(name):
    """A header that is missing is missing, and one that came twice is refused even when both lines agree."""
    pairs = signed("standard_webhooks", variant=1)
    checker = verifier("standard_webhooks")
    assert reason(checker, [p for p in pairs if p[0] != name]) is AuthReason.MISSING
    assert reason(checker, [*pairs, *(p for p in pairs if p[0] == name)]) is AuthReason.REPEATED
    assert reason(verifier(), [*pairs, *(p for p in pairs if p[0] == name)]) is AuthReason.REPEATED


def test_no_header_is_missing():
    """A delivery without any signature is refused as missing, whatever the candidates."""
    assert reason(verifier(), []) is AuthReason.MISSING


def test_two_signature_lines_are_refused():
    """A good signature behind a bad line is refused: layers disagree about which line counts."""
    assert reason(verifier("t_v1"), [(SIG, f"t={NOW},v1={WRONG}"), (SIG, T_V1)]) is AuthReason.REPEATED


def test_any_of_sixteen_signatures_counts_and_the_seventeenth_does_not():
    """A sender may sign with several secrets, and a flood of signatures is not compared."""
    wrong = f",v1={WRONG}"
    good = f",v1={GOOD_MAC}"
    found = verifier("t_v1").verify(header_lookup([(SIG, f"t={NOW}" + wrong * 15 + good)]), BODY, now_unix_s=NOW)
    assert found.secret_label == "a"
    assert reason(verifier("t_v1"), [(SIG, f"t={NOW}" + wrong * 16 + good)]) is AuthReason.MISMATCH


def test_junk_beside_a_good_signature_does_not_hide_it():
    """Versions and pairs that we do not know are passed over."""
    assert verifier("t_v1").verify(header_lookup([(SIG, f"x,v2=ab, {T_V1} ,v1=zz")]), BODY, now_unix_s=NOW)
    pairs = dict(signed("standard_webhooks"))
    pairs[SIG] = f"garbage  v1a,AAAA {pairs[SIG]}"
    assert verifier("standard_webhooks").verify(header_lookup(list(pairs.items())), BODY, now_unix_s=NOW)


@pytest.mark.parametrize("label", ["sha1", "sha256", "md5"])
def test_the_algorithm_is_never_taken_from_the_header(label):
    """A sha1 MAC, right under the secret, proves nothing, whatever its label says."""
    value = f"{label}={mac(BODY, algorithm='sha1').hexdigest()}"
    assert reason(verifier(), [(SIG, value)]) is AuthReason.MALFORMED
    assert reason(verifier("sha256_hex"), [(SIG, value)]) is AuthReason.MALFORMED


def test_sha1_works_only_by_opt_in():
    """A custom sha1 scheme is refused by name, and verifies once it is opted into."""
    overrides = {"content": "{body}", "algorithm": "sha1", "grammar": "prefix", "label": "sha1="}
    with pytest.raises(ValueError, match="sha1"):
        candidates("custom", overrides=overrides)
    schemes = candidates("custom", overrides=overrides, allow_sha1=True)
    pairs = [(SIG, "sha1=" + mac(BODY, algorithm="sha1").hexdigest())]
    assert Verifier(schemes, [Secret(SECRET, "a")]).verify(header_lookup(pairs), BODY, now_unix_s=NOW)


@pytest.mark.parametrize("secret", ["", "   ", "\n", "whsec_", " whsec_ ", "whsec_=", "whsec_===="])
@pytest.mark.parametrize("key", [b"", b"whsec_", b" ", b"\n"])
def test_no_key_no_delivery(secret, key):
    """A secret without key material verifies nothing, above all not what was forged with the empty key."""
    checker = verifier(secret=secret)
    stamp = str(NOW).encode()
    forged = [
        [(SIG, mac(BODY, key).hexdigest())],
        [(SIG, f"t={NOW},v1={mac(stamp + b'.' + BODY, key).hexdigest()}")],
        [
            ("webhook-id", "m"),
            ("webhook-timestamp", str(NOW)),
            (
                "webhook-signature",
                "v1," + base64.b64encode(mac(b"m." + stamp + b"." + BODY, key).digest()).decode(),
            ),
        ],
    ]
    for pairs in forged:
        assert reason(checker, pairs) in {AuthReason.MISMATCH, AuthReason.MALFORMED}


def test_a_bad_mac_is_a_mismatch_at_any_time():
    """Time is only looked at once the MAC is right: a forger learns nothing from it."""
    for now in (0, NOW - 10**6, NOW, NOW + 10**6):
        assert reason(verifier("t_v1"), [(SIG, f"t={NOW},v1={WRONG}")], now=now) is AuthReason.MISMATCH


def test_an_old_signature_is_stale_and_a_future_one_refused():
    """A right MAC that is too old is handed to the caller as stale; from the future it is refused."""
    pairs = signed("v0_timestamp")
    assert verifier().verify(header_lookup(pairs), BODY, now_unix_s=NOW + 301).stale
    assert reason(verifier(), pairs, now=NOW - 61) is AuthReason.FUTURE


def test_a_clock_that_is_not_a_number_refuses():
    """A broken clock fails closed."""
    assert reason(verifier(), signed("t_v1"), now=float("nan")) is AuthReason.FUTURE


def test_a_live_secret_wins_over_an_expired_copy():
    """The same secret under two labels counts as long as one of them is live."""
    secrets = [Secret(SECRET, "old", NOW - 1), Secret(SECRET, "new", NOW + 1)]
    found = Verifier(candidates("t_v1"), secrets).verify(header_lookup(signed("t_v1")), BODY, now_unix_s=NOW)
    assert found.secret_label == "new"


REPLAYS = {
    "t_v1": ("t_v1", 0, f"{NOW}.".encode()),
    "v0": ("v0_timestamp", 0, f"v0:{NOW}:".encode()),
    "standard webhooks": ("standard_webhooks", 0, f"msg_1.{NOW}.".encode()),
}


@pytest.mark.parametrize(("name", "variant", "prefix"), REPLAYS.values(), ids=REPLAYS.keys())
def test_a_timed_mac_is_no_body_only_mac(name, variant, prefix):
    """A captured MAC over time and body is not accepted over the body alone with the prefix put in front."""
    value = signed(name)[-1][1]
    raw = base64.b64decode(value[3:]) if value.startswith("v1,") else bytes.fromhex(value[-64:])
    overrides = {"key": "base64"} if name == "standard_webhooks" else {}
    bodies_only = [
        [(SIG, raw.hex())],
        [(SIG, f"sha256={raw.hex()}")],
        [(SIG, base64.b64encode(raw).decode())],
        [(SIG, f"v0={raw.hex()}")],
    ]
    for pairs in bodies_only:
        assert reason(verifier(**overrides), pairs, prefix + BODY) is AuthReason.MISMATCH
        assert reason(verifier(), pairs, prefix + BODY) is AuthReason.MISMATCH


def test_an_outpost_delivery_cannot_be_made_from_a_slack_one():
    """Under `v0_timestamp` alone, taking the timestamp header away does not reach the variant without one."""
    pairs = signed("v0_timestamp")
    checker = verifier("v0_timestamp")
    without = [pair for pair in pairs if pair[0] != STAMP]
    assert reason(checker, without, f"v0:{NOW}:".encode() + BODY) is AuthReason.MISMATCH
    assert reason(checker, without) is AuthReason.MISMATCH


def test_the_variant_without_time_needs_the_header_absent():
    """`v0=` over the body alone counts only while no timestamp header came at all, not even an empty one."""
    pairs = signed("v0_timestamp", variant=1)
    assert not verifier("v0_timestamp").verify(header_lookup(pairs), BODY, now_unix_s=NOW).stale
    for value in ("", str(NOW), "nonsense"):
        assert reason(verifier("v0_timestamp"), [*pairs, (STAMP, value)]) in {
            AuthReason.MISMATCH,
            AuthReason.MALFORMED,
        }


def test_fields_do_not_shift_between_time_and_id():
    """A MAC over `id.time.body` with an id of digits is no MAC over `time.body`."""
    pairs = dict(sign(PRESETS["standard_webhooks"][0], SECRET, BODY, unix_s=NOW, message_id=str(NOW)))
    raw = base64.b64decode(pairs[SIG][3:])
    shifted = [(SIG, f"t={NOW},v1={raw.hex()}")]
    assert reason(verifier(key="base64"), shifted, f"{NOW}.".encode() + BODY) is AuthReason.MISMATCH


def test_a_match_of_a_later_candidate_is_not_hidden():
    """A repeated or malformed header of one scheme does not keep another scheme from matching."""
    good = signed("standard_webhooks", variant=2)
    noise = [(SIG, "t=1,v1=2"), (SIG, "x"), ("webhook-signature", "v1,é")]
    found = verifier().verify(header_lookup([*noise, *good]), BODY, now_unix_s=NOW)
    assert found.scheme.header == "svix-signature"


def test_the_fresh_match_wins_over_the_stale_one():
    """When two header sets prove the delivery, the fresher proof counts."""
    pairs = signed("standard_webhooks", unix_s=NOW - 900, variant=1) + signed("standard_webhooks", variant=2)
    assert not verifier().verify(header_lookup(pairs), BODY, now_unix_s=NOW).stale


def test_a_pinned_scheme_accepts_only_itself():
    """After pinning, what another preset signs with the right secret is refused."""
    pinned = verifier().verify(header_lookup(signed("t_v1")), BODY, now_unix_s=NOW).scheme
    checker = Verifier([pinned], [Secret(SECRET, "a")])
    assert checker.verify(header_lookup(signed("t_v1")), BODY, now_unix_s=NOW)
    for name in PRESETS:
        if name != "t_v1":
            assert reason(checker, signed(name)) in {AuthReason.MALFORMED, AuthReason.MISMATCH}


def test_a_large_body_gives_the_same_mac():
    """Above the size up to which the body is copied, the MAC is the same as below it."""
    body = b'{"x":"' + b"a" * (1 << 19) + b'"}'
    value = mac(f"{NOW}.".encode() + body).hexdigest()
    assert verifier("t_v1").verify(header_lookup([(SIG, f"t={NOW},v1={value}")]), body, now_unix_s=NOW)
    content = {"content": "{body}:{t}", "timestamp": "header:stibnite-timestamp"}
    value = mac(body + f":{NOW}".encode()).hexdigest()
    pairs = [(STAMP, str(NOW)), (SIG, value)]
    assert verifier("custom", **content).verify(header_lookup(pairs), body, now_unix_s=NOW)


def test_the_refusal_says_nothing_that_was_sent():
    """Neither header values nor secrets stand in the message of a refusal."""
    with pytest.raises(SignatureRefused) as caught:
        verifier().verify(header_lookup([(SIG, f"t={NOW},v1={WRONG}")]), BODY, now_unix_s=NOW)
    text = f"{caught.value!r} {caught.value.hint}"
    assert WRONG not in text
    assert SECRET not in text
    assert SECRET not in repr(Secret(SECRET, "a"))

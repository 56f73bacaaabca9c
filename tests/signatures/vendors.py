"""Captures shaped as vendors sign, made with nothing but the standard library: no code of ours signs here."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PLAIN = "a-shared-secret-of-32-characters"
HEX = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
WRONG = "whsec_" + "Q" * 32
T = "1779043375"
T_MS = "1779043375123"
ISO = "2026-05-17T18:42:55.284979602Z"
RECEIVED_UNIX_S = 1779043380.0
PERSON = "Zoë Quill"
EVENT = {"event": "person_search.job.succeeded", "job_id": "psj_1", "data": [{"first_name": PERSON}]}
BODY = json.dumps(EVENT, ensure_ascii=False).encode()
PATH = "/hooks/jobs?from=sender"
HOST = "hooks.example.com"
URL = f"https://{HOST}{PATH}"


@dataclass(frozen=True)
class Vendor:
    """One way to sign, and what the doctor must say about it."""

    name: str
    headers: list
    content: str
    secret: str = WHSEC
    preset: str | None = None
    key: str = "utf8"
    algorithm: str = "sha256"
    encoding: str = "hex"
    timestamp: str = "none"
    expressible: bool = True
    body: bytes = BODY
    overrides: dict = field(default_factory=dict)


def mac(text, secret=WHSEC, algorithm="sha256"):
    key = secret if isinstance(secret, bytes) else secret.encode()
    data = text if isinstance(text, bytes) else text.encode()
    return hmac.new(key, data, getattr(hashlib, algorithm)).digest()


def b64(digest):
    return base64.b64encode(digest).decode()


def url64(digest):
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


DECODED = base64.b64decode(WHSEC.removeprefix("whsec_"))
STRIPE = mac(f"{T}.".encode() + BODY)
STANDARD = b64(mac(f"msg_1.{T}.".encode() + BODY, DECODED))
OLD = mac(f"{T}.".encode() + BODY, "the-secret-before-the-rotation").hex()
SLACK = mac(f"v0:{T}:".encode() + BODY)
TAZA = json.dumps({"id": "evt_1", "created_at": ISO, "data": {"job_id": "psj_1"}}).encode()


def standard(family):
    return [
        (f"{family}-id", "msg_1"),
        (f"{family}-timestamp", T),
        (f"{family}-signature", f"v1,{b64(b'x' * 32)} v1,{STANDARD}"),
    ]


VENDORS = [
    Vendor("Stripe", [("Stripe-Signature", f"t={T},v1={STRIPE.hex()},v0={'0' * 64}")], "{t}.{body}",
           preset="t_v1", timestamp="pair:t"),
    Vendor("Stripe, two secrets", [("Stripe-Signature", f"t={T},v1={OLD},v1={STRIPE.hex()}")], "{t}.{body}",
           preset="t_v1", timestamp="pair:t"),
    Vendor("Stibnite as Stripe", [("stibnite-signature", f"t={T},v1={STRIPE.hex()}")], "{t}.{body}",
           preset="t_v1", timestamp="pair:t"),
    Vendor("GitHub", [("X-GitHub-Delivery", "72d3162e-cc78"), ("X-Hub-Signature-256", f"sha256={mac(BODY, PLAIN).hex()}")],
           "{body}", secret=PLAIN, preset="sha256_hex"),
    Vendor("GitHub, with its sha1", [
        ("X-Hub-Signature", f"sha1={mac(BODY, PLAIN, 'sha1').hex()}"),
        ("X-Hub-Signature-256", f"sha256={mac(BODY, PLAIN).hex()}")],
        "{body}", secret=PLAIN, preset="sha256_hex"),
    Vendor("bare hex", [("stibnite-signature", mac(BODY).hex())], "{body}", preset="sha256_hex"),
    Vendor("upper-case hex", [("x-signature", mac(BODY).hex().upper())], "{body}", preset="sha256_hex"),
    Vendor("Shopify", [("X-Shopify-Hmac-Sha256", b64(mac(BODY, PLAIN)))], "{body}", secret=PLAIN,
           preset="sha256_base64", encoding="base64"),
    Vendor("base64url", [("x-signature", url64(mac(BODY, PLAIN)))], "{body}", secret=PLAIN, encoding="base64url"),
    Vendor("Greenhouse", [("Greenhouse-Event-ID", "4521"), ("Signature", f"sha256 {mac(BODY, PLAIN).hex()}")], "{body}",
           secret=PLAIN),
    Vendor("Slack", [("X-Slack-Request-Timestamp", T), ("X-Slack-Signature", f"v0={SLACK.hex()}")], "v0:{t}:{body}",
           preset="v0_timestamp", timestamp="header:x-slack-request-timestamp"),
    Vendor("Outpost", [("x-outpost-signature", f"v0={OLD},{mac(BODY).hex()}")], "{body}", preset="v0_timestamp"),
    Vendor("SIE", [("x-sie-timestamp", T), ("x-sie-signature", STRIPE.hex())], "{t}.{body}",
           timestamp="header:x-sie-timestamp"),
    Vendor("Standard Webhooks", standard("webhook"), "{id}.{t}.{body}", preset="standard_webhooks", key="base64",
           encoding="base64", timestamp="header:webhook-timestamp"),
    Vendor("Svix", standard("svix"), "{id}.{t}.{body}", preset="standard_webhooks", key="base64",
           encoding="base64", timestamp="header:svix-timestamp"),
    Vendor("Persona", [("Persona-Signature", f"t={T},v1={STRIPE.hex()}")], "{t}.{body}", preset="t_v1", timestamp="pair:t"),
    Vendor("Persona, rotating", [("Persona-Signature", f"t={T},v1={STRIPE.hex()} t={T},v1={OLD}")], "{t}.{body}",
           timestamp="pair:t", expressible=False),
    Vendor("WorkOS", [("WorkOS-Signature", f"t={T_MS}, v1={mac(f'{T_MS}.'.encode() + BODY, PLAIN).hex()}")],
           "{t}.{body}", secret=PLAIN, preset="t_v1", timestamp="pair:t"),
    Vendor("HubSpot v3", [("Host", HOST), ("X-HubSpot-Request-Timestamp", T_MS),
                          ("X-HubSpot-Signature-v3", b64(mac(f"POST{URL}".encode() + BODY + T_MS.encode(), PLAIN)))],
           "{method}{url}{body}{t}", secret=PLAIN, encoding="base64", timestamp="header:x-hubspot-request-timestamp",
           expressible=False),
    Vendor("Square", [("Host", "10.0.0.7:8080"), ("X-Forwarded-Host", HOST),
                      ("X-Square-HmacSha256-Signature", b64(mac(URL.encode() + BODY, PLAIN)))],
           "{url}{body}", secret=PLAIN, encoding="base64", expressible=False),
    Vendor("FullEnrich", [("X-Fullenrich-Signature", mac(BODY, PLAIN, "sha1").hex())], "{body}", secret=PLAIN,
           algorithm="sha1"),
    Vendor("Worldpay", [("Event-Signature", f"1/SHA256/{mac(BODY, PLAIN).hex()},2/SHA256/{OLD}")], "{body}", secret=PLAIN),
    Vendor("Qonto", [("X-Qonto-Signature", f"t={T},v1={mac(f'{T}.'.encode() + BODY, PLAIN).hex()}")], "{t}.{body}",
           secret=PLAIN, preset="t_v1", timestamp="pair:t"),
    Vendor("TabaPay", [("Idempotency-Key", "k-1"), ("TabaPay-Signature", f"t={T},v1={STRIPE.hex()},v2={OLD}")],
           "{t}.{body}", preset="t_v1", timestamp="pair:t"),
    Vendor("TabaPay, the old secret", [("TabaPay-Signature", f"t={T},v1={OLD},v2={STRIPE.hex()}")],
           "{t}.{body}", timestamp="pair:t"),
    Vendor("pyannote", [("X-Request-Timestamp", T), ("X-Signature", b64(SLACK))], "v0:{t}:{body}", encoding="base64",
           timestamp="header:x-request-timestamp"),
    Vendor("Prospektr", [("X-Prospektr-Signature", f"sha256={mac(BODY).hex()}")], "{body}", preset="sha256_hex"),
    Vendor("Surfe", [("x-surfe-signature", f"t={T_MS},v0={mac(f'{T_MS}.'.encode() + BODY, PLAIN).hex()}")], "{t}.{body}",
           secret=PLAIN, timestamp="pair:t"),
    Vendor("sha512 hex", [("x-signature", mac(BODY, algorithm="sha512").hex())], "{body}", algorithm="sha512"),
    Vendor("sha384 base64", [("x-signature", b64(mac(BODY, algorithm="sha384")))], "{body}", algorithm="sha384",
           encoding="base64", expressible=False),
    Vendor("Zendesk", [("X-Zendesk-Webhook-Signature-Timestamp", "2026-05-17T18:42:55Z"),
                       ("X-Zendesk-Webhook-Signature", b64(mac(b"2026-05-17T18:42:55Z" + BODY, PLAIN)))],
           "{t}{body}", secret=PLAIN, encoding="base64", timestamp="header:x-zendesk-webhook-signature-timestamp",
           expressible=False),
    Vendor("Tazapay", [("signature", b64(mac(b"evt_1" + TAZA + ISO.encode(), PLAIN)))], "{id}{body}{t}", secret=PLAIN,
           encoding="base64", timestamp="body:created_at", expressible=False, body=TAZA),
    Vendor("Teams", [("Authorization", f"HMAC {b64(mac(BODY, DECODED))}")], "{body}", key="base64", encoding="base64"),
    Vendor("timestamp behind the body", [("x-time", T), ("x-hmac", mac(BODY + b"." + T.encode(), PLAIN).hex())],
           "{body}.{t}", secret=PLAIN, timestamp="header:x-time"),
    Vendor("prefix cut", [("stibnite-signature", f"t={T},v1={mac(f'{T}.'.encode() + BODY, WHSEC[6:]).hex()}")],
           "{t}.{body}", preset="t_v1", key="strip_prefix", timestamp="pair:t"),
    Vendor("key in hex", [("stibnite-signature", mac(BODY, bytes.fromhex(HEX)).hex())], "{body}", secret=HEX, key="hex",
           preset="sha256_hex"),
]  # fmt: skip

"""`stibgate wallet` and `stibgate usage` say what Stibnite says, readably."""

import pytest

from stibgate.cli.usage import usage
from stibgate.cli.wallet import wallet
from tests.cli.stibnite_account import account, answering, raw

__all__ = ["account"]

ORIGIN = "https://partner.example"


async def customer(account, **asked):
    """Return the id of a new customer with a wallet of this policy."""
    from aiohttp import ClientSession

    key = await account.call("POST", "/v1/prospecting/embed-keys", {"allowed_origins": [ORIGIN], **asked})
    body = {"partner_key": key["public_key"], "customer_id": "acme"}
    url = f"{account.url}/v1/prospecting/embed-sessions"
    async with ClientSession() as session, session.post(url, json=body, headers={"Origin": ORIGIN}) as got:
        return (await got.json())["partner_customer_id"]


async def test_usage(account):
    """Requests and billed records, as lines and as one object."""
    await account.endpoints()
    assert (await account.run(usage, "--json")).objects == [{"requests": 1, "billable_records": 0}]
    ran = await account.run(usage)
    assert ran.out.split() == ["requests", "2", "billable_records", "0"]


async def test_no_finite_wallet(account):
    """A wallet without grants is said to be none, not to be empty."""
    name = await customer(account)
    ran = await account.run(wallet, name)
    assert ran.code == 0
    assert "no finite wallet" in ran.out
    assert "stop nobody" in ran.out
    (document,) = (await account.run(wallet, name, "--json")).objects
    assert document["wallet"]["available_credit_units"] is None


async def test_limits_and_reasons(account):
    """Limits stand beside what was used, and what is blocked has its reason."""
    limits = {"monthly_record_reveals": 5}
    name = await customer(account, credit_enforcement_mode="enforced", limits=limits)
    grant = f"/v1/partner-customers/{name}/wallet/credits"
    await account.call("POST", grant, {"credit_units": 1, "expires_at": "2999-01-01T00:00:00Z"})
    ran = await account.run(wallet, name)
    lines = {line.split("  ")[0].strip(): line.split()[1:] for line in ran.out.splitlines() if line}
    assert lines["available"] == ["1"]
    assert lines["monthly_record_reveals"] == ["0", "5"]
    assert lines["lifetime_credit_units"] == ["0", "none"]
    assert "can search           yes" in ran.out


async def test_blocked(account):
    """Why a customer may not go on is printed as the vendor says it, and does nothing to a terminal."""
    state = {
        "can_search": False,
        "can_reveal": False,
        "search_block_reason": "spent\x07\x9b",
        "reveal_block_reason": None,
    }
    document = {"partner_customer_id": "c1", "wallet": {"available_credit_units": 0, "limit_state": state}}
    async with answering(lambda *_: raw(200, document)) as url:
        ran = await account.configure(url=url).run(wallet, "c1")
    assert ran.out.replace("\n", "").isprintable()
    assert "no: spent" in ran.out
    assert "no: no reason given" in ran.out
    assert "available            0" in ran.out


@pytest.mark.parametrize(("name", "code"), [("customer_of_another", 1), ("..", 2)])
async def test_unknown_customer(account, name, code):
    """A customer that is not ours is an error with a hint."""
    assert (await account.run(wallet, name)).code == code


async def test_wrong_key(account):
    """A wrong key is 77 for both."""
    account.configure(key="stib_live_wrong")
    assert [(await account.run(usage)).code, (await account.run(wallet, "c1")).code] == [77, 77]

"""Wallets: grants, periods, limits, and who is stopped."""

import pytest

SEARCHES = "/v1/prospecting/sessions"
ENFORCED = {"credit_enforcement_mode": "enforced"}
DAY_S = 86_400


class Customer:
    """One customer of a world, with its token and its wallet."""

    def __init__(self, world, token):
        self.world = world
        self.token = {"authorization": token}

    @classmethod
    async def of(cls, world, key, url=None):
        return cls(world, await world.embed(url, key=key))

    async def wallet(self):
        return (await self.world.call("GET", "/v1/prospecting/wallet", **self.token))["wallet"]

    async def path(self):
        summary = await self.world.call("GET", "/v1/prospecting/wallet", **self.token)
        return f"/v1/partner-customers/{summary['partner_customer_id']}/wallet"

    async def grant(self, status=200, **body):
        return await self.world.call("POST", f"{await self.path()}/credits", body, status=status)

    async def search(self, status=200, **body):
        return await self.world.call("POST", SEARCHES, {"q": "CMOs", **body}, status=status, **self.token)

    async def push(self, search, status=200):
        path = f"{SEARCHES}/{search['search_id']}/push"
        return await self.world.call("POST", path, {"selection_mode": "page"}, status=status, **self.token)


async def test_metered_is_not_stopped(world, receiver):
    """A metered wallet reports its use, beyond its grants and limits too, and stops nobody."""
    customer = await Customer.of(world, {"limits": {"monthly_search_sessions": 1}}, receiver.url)
    assert (await customer.wallet())["available_credit_units"] is None
    await customer.grant(credit_units=3)
    for _ in range(2):
        await customer.push(await customer.search(limit=10))
    wallet = await customer.wallet()
    assert (wallet["granted_credit_units"], wallet["applied_credit_units"]) == (3, 12)
    assert wallet["available_credit_units"] == 0
    assert wallet["limit_state"] == {
        "can_search": True,
        "can_reveal": True,
        "search_block_reason": None,
        "reveal_block_reason": None,
    }


@pytest.mark.parametrize("action", ["push", "export"])
async def test_enforced_stops_at_the_balance(world, receiver, action):
    """Beyond the balance an enforced wallet refuses the whole purchase with 402: nothing is bought, billed or sent."""
    customer = await Customer.of(world, ENFORCED | {"csv_export_enabled": True}, receiver.url)
    await customer.grant(credit_units=10)
    search = await customer.search(limit=10)
    path = f"{SEARCHES}/{search['search_id']}/{action}"
    answer = await world.call("POST", path, {"selection_mode": "page"}, status=402, **customer.token)
    assert list(answer) == ["message"]
    assert receiver.got == []
    assert (await world.call("GET", "/v1/usage"))["billable_records"] == 0
    ids = [preview["prospect_id"] for preview in search["data"]]
    chosen = {"selection_mode": "selected", "prospect_ids": ids[:9]}
    async with world.client.post(path, json=chosen, headers=customer.token) as response:
        assert response.status == 200
    wallet = await customer.wallet()
    assert (wallet["available_credit_units"], wallet["limit_state"]["can_reveal"]) == (0, False)
    assert wallet["limit_state"]["reveal_block_reason"] == "wallet_credit_units_exhausted"
    assert "wallet_credit_units_exhausted" in (await customer.search(status=402))["message"]
    # What is owned already costs nothing, and is not stopped.
    async with world.client.post(path, json=chosen, headers=customer.token) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("limit", "search", "reveal"),
    [
        ("search_sessions", True, False),
        ("record_reveals", False, True),
        ("credit_units", True, True),
    ],
)
@pytest.mark.parametrize("period", ["monthly", "lifetime"])
async def test_limits_stop(world, receiver, clock, period, limit, search, reveal):
    """Each limit stops what it limits; a monthly one until the next month, a lifetime one for good."""
    customer = await Customer.of(world, ENFORCED | {"limits": {f"{period}_{limit}": 2}}, receiver.url)
    await customer.push(await customer.search(limit=1))
    if limit != "credit_units":
        await customer.push(await customer.search(q="owners", limit=1))
    state = (await customer.wallet())["limit_state"]
    reason = f"{period}_{limit}_limit_reached"
    assert state == {
        "can_search": not search,
        "can_reveal": not reveal,
        "search_block_reason": reason if search else None,
        "reveal_block_reason": reason if reveal else None,
    }
    await customer.search(status=402 if search else 200)
    clock.now_s += 20 * DAY_S
    customer.token = {"authorization": await world.embed(receiver.url)}
    assert (await customer.wallet())["limit_state"]["can_search"] is (period == "monthly" or not search)


@pytest.mark.parametrize(("policy", "available"), [("monthly_reset", 10), ("rollover", 4)])
async def test_a_month_ends(world, receiver, clock, policy, available):
    """monthly_reset renews the balance with each UTC month; rollover carries on what is left."""
    customer = await Customer.of(world, ENFORCED | {"credit_reset_policy": policy}, receiver.url)
    await customer.grant(credit_units=10)
    await customer.push(await customer.search(limit=5))
    assert (await customer.wallet())["available_credit_units"] == 4
    clock.now_s += 14.22 * DAY_S  # 2026-05-31T23:59Z
    customer.token = {"authorization": await world.embed(receiver.url)}
    assert (await customer.wallet())["available_credit_units"] == 4
    clock.now_s += 600
    wallet = await customer.wallet()
    assert (wallet["available_credit_units"], wallet["applied_credit_units"]) == (available, 10 - available)
    assert (wallet["monthly_credit_units_used"], wallet["lifetime_credit_units_used"]) == (0, 6)
    assert (wallet["usage"]["monthly_record_reveals"], wallet["usage"]["lifetime_record_reveals"]) == (0, 5)


async def test_grants_have_a_window(world, clock):
    """A grant counts from its start until before its end; a wallet whose grants are over is empty, not endless."""
    customer = await Customer.of(world, ENFORCED)
    await customer.grant(credit_units=7, starts_at="2026-05-17T18:43:10Z", expires_at="2026-05-17T20:44:10.000+02:00")
    seen = []
    for step_s in (0, 59, 1, 59, 1):
        clock.now_s += step_s
        wallet = await customer.wallet()
        seen.append((wallet["available_credit_units"], wallet["active_credit_grants"]))
    assert seen == [(0, 0), (0, 0), (7, 1), (7, 1), (0, 0)]
    await customer.search(status=402)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "credit_units is required"),
        ({"credit_units": 0}, "credit_units: "),
        ({"credit_units": -5}, "credit_units: "),
        ({"credit_units": 1.5}, "credit_units: "),
        ({"credit_units": "5"}, "credit_units: "),
        ({"credit_units": True}, "credit_units: "),
        ({"credit_units": 10**13}, "credit_units: "),
        ({"credit_units": 5, "starts_at": "soon"}, "starts_at: must be an ISO timestamp"),
        ({"credit_units": 5, "starts_at": "2026-05-17"}, "starts_at: "),
        ({"credit_units": 5, "expires_at": "0001-01-01T00:00:00+23:59"}, "expires_at: "),
        ({"credit_units": 5, "expires_at": "2026-05-17T18:42:10Z"}, "expires_at: must be after starts_at"),
    ],
)
async def test_grant_refused(world, body, named):
    """A wrong grant is a 400 that names the field, and grants nothing."""
    customer = await Customer.of(world, ENFORCED)
    assert (await customer.grant(status=400, **body))["message"].startswith(named)
    assert (await customer.wallet())["available_credit_units"] is None


async def test_whole_floats_are_numbers(world):
    """JSON has one kind of number: 50.0 is 50."""
    customer = await Customer.of(world, ENFORCED)
    assert (await customer.grant(credit_units=50.0))["credit_grant"]["credit_units_granted"] == 50


async def test_whose_wallet(world):
    """Another's customer id is a 404, and a wallet takes its own kind of key only."""
    customer = await Customer.of(world, {})
    await world.call("GET", "/v1/partner-customers/customer_0/wallet", status=404)
    await world.call("POST", "/v1/partner-customers/customer_0/wallet/credits", {"credit_units": 1}, status=404)
    await world.call("GET", await customer.path(), status=401, x_api_key="")
    await world.call("GET", "/v1/prospecting/wallet", status=401)


async def test_actions(world, receiver):
    """The wallet names what the widget may do, and what its buttons say."""
    nothing = await Customer.of(world, {})
    summary = await world.call("GET", await nothing.path())
    assert (summary["allowed_result_actions"], summary["result_action_labels"]) == ([], {})
    pushing = await Customer.of(world, {"result_delivery_cta": "Send"}, receiver.url)
    summary = await world.call("GET", await pushing.path())
    assert summary["result_action_labels"] == summary["wallet"]["result_action_labels"] == {"push_endpoint": "Send"}


@pytest.mark.parametrize("limits", [{"monthly_credit_units": 0}, {"lifetime_record_reveals": "5"}, 7])
async def test_wrong_limits(world, limits):
    """A limit that is not a number above 0 is a 400."""
    body = {"allowed_origins": ["https://partner.example"], "limits": limits}
    answer = await world.call("POST", "/v1/prospecting/embed-keys", body, status=400)
    assert answer["message"].startswith("limits")

"""An operator's morning in a real browser, over a real service: see what failed, look closer, send it again."""

import asyncio
import json

import pytest

from tests.e2e.browser import PICTURED, visitor
from tests.e2e.busy_hour import count_an_hour
from tests.e2e.gateway import Gateway, configure, people_of, push_body

pytestmark = pytest.mark.e2e

SINKS = """
[sinks.drop]
kind = "csv"
dir = "./drops"

[sinks.crm]
kind = "csv"
dir = "./blocked/drops"

[delivery]
schedule = ["0s"]

[delivery.circuit]
failures = 1000
"""
OPERATOR = "an-operators-token-0123456789abcdefghijklmnop"
CONSOLE = f"""
[console]
environment = "example"
tokens = ["olga:operator:{OPERATOR}"]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A running gateway with deliveries whose records reached `drop`, and not `crm`."""
    folder = tmp_path_factory.mktemp("console")
    (folder / "blocked").write_text("a file where a folder should be")
    with Gateway(configure(folder, sinks=SINKS, routes=("drop", "crm"), extra=CONSOLE)) as gateway:
        if PICTURED:
            gateway.stop()
            count_an_hour(folder / "data/stibgate.db")
            gateway.start()
        for serial in range(4):
            assert gateway.push(push_body(3, serial=serial)).status == 202
        assert gateway.push(b"[]").status == 202
        assert gateway.post("/hooks/push/wrong", b"{}").status == 404
        yield gateway
        assert gateway.stop() == 0
    assert not gateway.events("unhandled")
    assert OPERATOR not in gateway.log.read_text()


async def test_an_operators_morning(shop):
    """Log in, see, filter, open, reveal with an audit line, replay; and the browser has nothing to complain about."""
    async with visitor(shop.admin) as olga:
        page = olga.page
        await asyncio.to_thread(shop.settled)
        await page.goto(f"{shop.admin}/deliveries?state=done")
        await olga.look()
        await page.fill("input[name=token]", OPERATOR)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/deliveries?state=done")
        await _overview(olga)
        await _find_and_reveal(olga, shop)
        await _replay(olga, shop)
        await page.click("text=Log out")
        await page.wait_for_url("**/login")
        assert olga.complaints == []


async def _overview(olga):
    await olga.page.goto(f"{olga.base}/")
    await olga.page.locator("canvas").nth(2).wait_for()
    await olga.look("overview")
    words = await olga.words()
    assert "4 tasks of crm will not be tried again." in words
    assert await olga.page.locator("canvas").count() == 3


async def _find_and_reveal(olga, shop):
    """With the keyboard: to the list, to its third delivery; then by a person's address to the same one."""
    page = olga.page
    await page.goto(f"{olga.base}/deliveries")
    await page.select_option("select[name=sink]", "crm")
    await page.click("button:text-is('Filter')")
    await page.wait_for_url("**sink=crm**")
    await olga.look("deliveries")
    for key in ("j", "j", "j", "k", "Enter"):
        await page.keyboard.press(key)
    await page.wait_for_url("**/deliveries/dlv_*")
    await olga.look("delivery")
    body = push_body(3, serial=2)
    address = json.loads(body)["data"][0]["business_email"]
    assert address not in await olga.words()
    await page.click("text=Reveal these")
    await page.wait_for_selector("text=Mask them")
    await olga.look()
    assert address in await olga.words()
    (line,) = shop.events("audit.pii_revealed")
    assert (line["actor"], line["target"]) == ("olga", page.url.partition("/deliveries/")[2].partition("/")[0])
    assert address not in shop.log.read_text()
    await olga.go(f"/records?person_id={people_of(body)[0]}")
    assert "crm dead" in await olga.words()
    await page.goto(f"{olga.base}/deliveries")
    await page.keyboard.press("/")
    await page.keyboard.type(address)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**person=h**")
    assert await page.locator("[data-rows] > tr").count() == 1


async def _replay(olga, shop):
    """The sink is mended; its dead letters are sent again after a count, and arrive."""
    page = olga.page
    (shop.folder / "blocked").unlink()
    await page.goto(f"{olga.base}/dead")
    await olga.look("dead-letters")
    await page.click("[data-replay]")
    await page.wait_for_selector("text=What repeats mean")
    await olga.look()
    assert "12 records would be sent again: 12 to crm." in await olga.words()
    tail = await olga.beside("/live?sink=crm")
    await tail.locator("#live-state.state-ok").wait_for()
    await page.click("button.primary")
    await page.wait_for_url("**/replays/rpl_*")
    await page.wait_for_selector(".state-done")
    await olga.look()
    assert "4 tasks sent again, 12 records." in await olga.words()
    await tail.locator(".state-delivered").nth(3).wait_for()
    await olga.go("/dead")
    assert "No dead letters." in await olga.words()
    await olga.go("/replays")

"""What an admin sees in a real browser, in the dark: the live tail as it happens, and every page that explains."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.e2e.browser import visitor
from tests.e2e.gateway import Gateway, configure, push_body

pytestmark = pytest.mark.e2e

ADMIN = "an-admins-token-0123456789abcdefghijklmnopqr"
EXTRA = f"""
[budgets.trial]
unit = "stibnite.credit_unit"
limit = 100
period = "total"

[console]
tokens = ["ada:admin:{ADMIN}"]
"""
ROOMS = {
    "/rejected": "The path names no configured source",
    "/sinks": "drop csv ok",
    "/sinks/drop": "It takes records.",
    "/sources": "push stibnite push token",
    "/sources/jobs": "stibgate register --source jobs",
    "/jobs": "trial 0 %",
    "/jobs/bills": "Billed are records",
    "/config": "environment STIBGATE_LOG__LEVEL",
    "/config?show=all": "drain_timeout",
    "/audit": "ada admin login",
    "/help": "First steps",
}
PICTURES = {"/rejected": "rejected", "/config": "config"}


@pytest.fixture
def shop(tmp_path):
    """A running gateway to which a stranger came."""
    with Gateway(configure(tmp_path, extra=EXTRA), {"STIBGATE_LOG__LEVEL": "info"}) as gateway:
        assert gateway.post("/hooks/nothing", b"{}").status == 404
        yield gateway


async def test_an_admins_evening(shop):
    """Lines arrive while one looks on, wait while one reads, and every page is sound; the end of the service is said."""
    async with visitor(shop.admin, dark=True) as ada:
        page = ada.page
        await page.goto(f"{shop.admin}/login?next=/live")
        await page.fill("input[name=token]", ADMIN)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/live")
        await _live(ada, shop)
        async with asyncio.timeout(60):  # what is refused is in the store within 5 s
            while ROOMS["/rejected"] not in await ada.words():
                await page.goto(f"{ada.base}/rejected")
        for path, words in ROOMS.items():
            await ada.go(path, PICTURES.get(path))
            assert words in await ada.words(), path
        await _pause_and_resume(ada)
        assert ada.complaints == []
        await page.goto(f"{ada.base}/live?event=task.*")
        await page.wait_for_selector("#live-state:text-is('connected')")
        assert await asyncio.to_thread(shop.stop) == 0
        await page.wait_for_selector("#live-state:has-text('not connected')")


async def _live(ada, shop):
    """A delivery's lines come by themselves, newest first; held back while paused or scrolled, and none is lost."""
    page, lines = ada.page, ada.page.locator("#live-lines > tr")
    await page.wait_for_selector("#live-state:text-is('connected')")
    assert (await asyncio.to_thread(shop.push, push_body(3, serial=1))).status == 202
    await page.wait_for_selector("#live-lines .state-delivered")
    assert "3 written" in await lines.first.inner_text()
    await ada.look("live")
    await page.click("#live-pause")
    before = await lines.count()
    assert (await asyncio.to_thread(shop.push, push_body(3, serial=2))).status == 202
    await page.wait_for_selector("#live-new:has-text('3 new')")
    assert await lines.count() == before
    await page.click("#live-pause")
    await expect(lines).to_have_count(before + 3)
    await page.set_viewport_size({"width": 1280, "height": 200})
    await page.evaluate("window.scrollTo(0, 300)")
    assert (await asyncio.to_thread(shop.push, push_body(3, serial=3))).status == 202
    await page.wait_for_selector("#live-new:has-text('3 new')")
    await page.click("#live-new")
    await expect(page.locator("#live-new")).to_be_hidden()
    await expect(lines).to_have_count(before + 6)
    assert await page.evaluate("window.scrollY") == 0


async def _pause_and_resume(ada):
    """An operator's acts on a sink, from its page and back."""
    page = ada.page
    await page.goto(f"{ada.base}/sinks/drop")
    await page.click("text=Test it")
    await page.wait_for_selector("text=What the test saw")
    await ada.look()
    await page.select_option("select[name=reason]", "looking into it")
    await page.click("button:text-is('Pause')")
    await page.wait_for_selector("text=By ada (looking into it)")
    await ada.look("sink")
    await page.click("button:text-is('Resume')")
    await page.wait_for_selector("text=It takes records.")

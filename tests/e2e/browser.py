"""A real Chromium for the console: what it complains about is kept, and every page is looked at by axe-core.

`STIBGATE_SCREENSHOTS=1` writes README's pictures into `deploy/screenshots/`.
"""

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, async_playwright, expect

CHROMIUM = Path("/usr/bin/chromium")
PICTURED = bool(os.environ.get("STIBGATE_SCREENSHOTS"))
PICTURES = Path(__file__).parents[2] / "deploy/screenshots"
PATIENCE_MS = 60_000.0
FRAME = {"x": 0, "y": 0, "width": 1280, "height": 640}
NARROW, WIDE = {"width": 360, "height": 780}, {"width": 1280, "height": 800}
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
TOLD = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective + " " + event.blockedURI));
"""

CUT = """
[...document.querySelectorAll("nav, .wide:not([tabindex])")].filter((one) => one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.textContent.trim().slice(0, 60))
"""
"""What one can see of only by scrolling sideways, and nothing says so; a region that takes the focus may."""


@dataclass
class Visitor:
    """Somebody with a browser, and what their browser complained about.

    Attributes:
        complaints: Errors of the console, of scripts, of the policy, and of axe-core; empty when all is well.
    """

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.page.on("console", lambda said: said.type in {"error", "warning"} and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def go(self, path, picture=None):
        """Open a page and look at it."""
        answer = await self.page.goto(self.base + path)
        assert answer.status == 200, f"{path}: {answer.status}"
        await self.look(picture)

    async def look(self, picture=None):
        """Note what is wrong with the page that is open: policy, accessibility, width; take its picture if asked."""
        where = self.page.url.removeprefix(self.base)
        self.complaints += [f"{where}: {each}" for each in await self.page.evaluate("window.violations")]
        found = await Axe().run(self.page, options={"resultTypes": ["violations"]})
        self.complaints += [
            f"{where}: {one['id']}: {one['nodes'][0]['html']}"
            for one in found.response["violations"]
            if one["impact"] in {"serious", "critical"}
        ]
        await self.page.set_viewport_size(NARROW)
        over = await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        self.complaints += [f"{where}: {over} px too wide at 360"] if over > 0 else []
        self.complaints += [f"{where}: cut at 360: {each}" for each in await self.page.evaluate(CUT)]
        await self.page.set_viewport_size(WIDE)
        if picture and PICTURED:
            PICTURES.mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=PICTURES / f"{picture}.png", clip=FRAME)

    async def beside(self, path):
        """Return a second page of the same person."""
        page = await self.page.context.new_page()
        page.on("console", lambda said: said.type in {"error", "warning"} and self.complaints.append(said.text))
        await page.goto(self.base + path)
        return page

    async def words(self):
        """What is to be read on the page."""
        return " ".join((await self.page.locator("main").inner_text()).split())


@asynccontextmanager
async def visitor(base, *, dark=False):
    """Give a browser of its own on *base*; skip where there is no Chromium."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), timeout=PATIENCE_MS)
        try:
            context = await browser.new_context(viewport=WIDE, color_scheme="dark" if dark else "light")
            context.set_default_timeout(PATIENCE_MS)
            expect.set_options(timeout=PATIENCE_MS)
            await context.add_init_script(TOLD)
            yield Visitor(await context.new_page(), base)
        finally:
            await browser.close()

"""What every answer carries, and what no form may do."""

import asyncio

import pytest

from stibgate.domain.access import Role
from stibgate.web.console.security import CSP
from tests.web.console.office import COOKIE, TOKENS


async def test_every_answer_has_the_headers(office):
    """Pages, files, refusals and redirects alike; and nothing in the policy is unsafe."""
    browser = await office.login()
    for path, status in (("/", 200), ("/login", 200), ("/static/console.css", 200), ("/nothing", 404), ("/?x=1", 400)):
        page = await browser.open(path)
        assert page.status == status
        assert page.headers["Content-Security-Policy"] == CSP
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert page.headers["Server"] == "stibgate"
        assert page.headers["Cache-Control"] == (
            "no-store" if "css" not in path else "public, max-age=31536000, immutable"
        )
    assert "unsafe" not in CSP
    assert {part.split()[0]: part.split()[1:] for part in CSP.split("; ")}["default-src"] == ["'none'"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
    ids=str,
)
async def test_no_other_site_sends_forms(office, headers):
    """Without a word that it comes from a page of ours, a POST is refused, whatever token it carries."""
    browser = await office.login()
    assert (await browser.send("/logout", headers=headers)).status == 403
    assert (await browser.open("/")).status == 200
    page = await office.send("/login", {"token": TOKENS[Role.ADMIN]}, headers=headers)
    assert (page.status, "Set-Cookie" in page.headers) == (403, False)


async def test_an_older_browser_says_where_it_is(office):
    """`Origin` counts where `Sec-Fetch-Site` is not sent."""
    origin = {"Origin": f"http://{office.client.host}:{office.client.port}"}
    assert (await office.send("/login", {"token": TOKENS[Role.ADMIN]}, headers=origin)).status == 303


@pytest.mark.parametrize("csrf", ["", "x", "t\u00f6ken", None])
async def test_a_form_needs_its_sessions_token(office, csrf):
    """Without the token of its own session a form does nothing; another session's token is none."""
    browser, other = await office.login(), await office.login(Role.VIEWER)
    given = await other.csrf() if csrf is None else csrf
    assert (await browser.send("/logout", {"csrf": given})).status == 403
    assert (await browser.open("/")).status == 200


@pytest.mark.parametrize("path", ["/login", "/logout", "/deliveries/find"])
async def test_a_form_that_does_not_arrive(office, monkeypatch, lines, path):
    """Whoever begins a form and says nothing more is answered in time; whoever goes away leaves no trace of a bug."""
    cookie = (await office.login()).cookies[COOKIE]
    monkeypatch.setattr("stibgate.web.refused.BODY_S", 0.05)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nCookie: {COOKIE}={cookie}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ntoken="
    )
    for stays in (True, False):
        reader, writer = await asyncio.open_connection(office.client.host, office.client.port)
        writer.write(head.encode())
        if stays:
            async with asyncio.timeout(60):
                assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()
    assert (await office.open("/login")).status == 200
    assert not lines.of("unhandled")


async def test_a_bug_is_told_as_one(office, monkeypatch, lines):
    """What nobody expected is a page that says where to look, with our headers, and one line of the log."""
    browser = await office.login()

    def broken(*_args, **_more):
        raise RuntimeError("dana@example.com")

    monkeypatch.setattr(office.store, "deliveries", broken)
    page = await browser.open("/deliveries")
    assert (page.status, page.headers["Content-Security-Policy"]) == (500, CSP)
    assert "The log has a line" in page.words
    assert "dana" not in page.text
    assert len(lines.of("unhandled")) == 1


async def test_an_unknown_filter_is_an_error(office):
    """A list that could not be filtered is never the whole list."""
    page = await (await office.login()).open("/?stat=dead")
    assert page.status == 400
    assert "this page has no filter 'stat'" in page.words

"""Who comes in, how long they stay, and where they go from there."""

import pytest

from stibgate.domain.access import Role, grant
from stibgate.web.console.security import local_path
from stibgate.web.console.session import EACH_MAX, Sessions
from stibgate.web.throttle import FAILURES_MAX
from tests.web.console.office import COOKIE, SAME_ORIGIN, TOKENS


async def test_a_token_opens_every_page_until_logout(office):
    """The login leads to the overview; the logout ends the session at the server, not only in the browser."""
    browser = await office.login(Role.VIEWER)
    page = await browser.open("/")
    assert page.status == 200
    assert "viewer-person (viewer)" in page.words
    assert "test-eu" in page.words
    left = await browser.send("/logout")
    assert [line.entry.action for line in office.audit()] == ["logout", "login"]
    assert (left.status, left.headers["Location"]) == (303, "/login")
    assert (await browser.open("/")).status == 303


@pytest.mark.parametrize("token", ["", "wrong", TOKENS[Role.ADMIN][:-1], TOKENS[Role.ADMIN] + "x", "t\u00f6ken"])
async def test_no_other_token_does(office, token):
    """A wrong token is told so, and gets no cookie; it is in no log line."""
    page = await office.send("/login", {"token": token})
    assert (page.status, "Set-Cookie" in page.headers) == (403, False)
    assert "That is no token" in page.words


async def test_the_cookie_is_out_of_reach(office):
    """Scripts cannot read it, other sites cannot send it; on plain loopback http it has no prefix, elsewhere it has."""
    page = await office.send("/login", {"token": TOKENS[Role.ADMIN]})
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(page.headers["Set-Cookie"].split("; "))
    assert "Secure" not in page.headers["Set-Cookie"]
    page = await office.send(
        "/login", {"token": TOKENS[Role.ADMIN]}, headers={**SAME_ORIGIN, "Host": "gate.example.com"}
    )
    assert page.headers["Set-Cookie"].startswith("__Host-stibgate_session=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Secure"} <= set(page.headers["Set-Cookie"].split("; "))
    assert "Domain" not in page.headers["Set-Cookie"]


async def test_a_session_ends_and_leads_back(office):
    """After its time the next page is the login, with a note, and from there back to the page that was asked for."""
    browser = await office.login()
    office.clock.advance(3600)
    page = await browser.open("/")
    assert (page.status, page.headers["Location"]) == (303, "/login?ended=1")
    asked = await browser.open("/login?ended=1&next=/deliveries?state=done")
    assert "Your session has ended" in asked.words
    assert 'name="next" value="/deliveries?state=done"' in asked.text
    back = await office.send("/login", {"token": TOKENS[Role.ADMIN], "next": "/deliveries?state=done"})
    assert back.headers["Location"] == "/deliveries?state=done"


async def test_a_fragment_of_an_ended_session_leads_to_the_login(office):
    """Htmx is told to leave the page; it must not put the login where the fragment was."""
    page = await office.open("/", **{"HX-Request": "true"})
    assert (page.status, page.headers["HX-Redirect"]) == (401, "/login")


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "", None,
        "deliveries", "/a\r\nSet-Cookie: x=y", "/\tx", "///evil.example", "/login?next=/login", "/logout", "/ \u202e",
    ],
)  # fmt: skip
async def test_nobody_is_sent_elsewhere(office, path):
    """Only a path of this console is gone to after the login."""
    assert local_path(path) == "/"
    fields = {"token": TOKENS[Role.ADMIN], **({} if path is None else {"next": path})}
    assert (await office.send("/login", fields)).headers["Location"] == "/"


async def test_a_token_that_is_taken_back_ends_its_sessions(office):
    """A reload that drops a token, or gives it another role, ends what it began."""
    browser = await office.login()
    assert (await browser.open("/")).status == 200
    office.grants.clear()
    assert (await browser.open("/")).status == 303


async def test_guessing_is_slowed_down(office, lines):
    """After so many wrong tokens the next one waits, and only for that long; the right one never does."""
    for _ in range(FAILURES_MAX):
        assert (await office.send("/login", {"token": "wrong"})).status == 403
    page = await office.send("/login", {"token": "wrong"})
    assert (page.status, page.headers["Retry-After"]) == (429, "60")
    assert len(lines.of("audit.token_refused")) == FAILURES_MAX
    assert (await office.send("/login", {"token": TOKENS[Role.ADMIN]})).status == 303
    assert TOKENS[Role.ADMIN] not in lines.text
    office.clock.advance(60)
    assert (await office.send("/login", {"token": "wrong"})).status == 403


def test_sessions_are_bounded(office):
    """However often somebody logs in, memory does not grow: their oldest session ends, and nobody else's."""
    sessions = Sessions(lambda: office.grants, lifetime_s=lambda: 60, now_ms=lambda: 0)
    other = sessions.begin(TOKENS[Role.VIEWER])[0]
    begun = [sessions.begin(TOKENS[Role.ADMIN])[0] for _ in range(EACH_MAX + 1)]
    assert len(set(begun)) == EACH_MAX + 1
    assert sessions.find(begun[0]) is None
    assert sessions.find(begun[1]) is not None
    assert sessions.find(other) is not None


def test_sessions_of_many_are_bounded(monkeypatch):
    """However many tokens there are, memory does not grow: the oldest session of all ends."""
    monkeypatch.setattr("stibgate.web.console.session.SESSIONS_MAX", 5)
    grants = [grant(f"n{number}", Role.VIEWER, f"token-{number}") for number in range(6)]
    sessions = Sessions(lambda: grants, lifetime_s=lambda: 60, now_ms=lambda: 0)
    begun = [sessions.begin(f"token-{number}")[0] for number in range(6)]
    assert [sessions.find(begun[number]) is None for number in (0, 1, 5)] == [True, False, False]


@pytest.mark.parametrize("name", ["token", "access_token", "key"])
async def test_a_token_in_the_url_is_refused(office, name):
    """What stands in a URL stands in histories: it opens nothing, and the page says what to do."""
    for path in ("/", "/login"):
        page = await office.open(f"{path}?{name}={TOKENS[Role.ADMIN]}")
        assert page.status == 400
        assert "replace that token" in page.words
        assert TOKENS[Role.ADMIN] not in page.text


async def test_a_made_up_session_is_none(office):
    """Only ids that were given out open anything."""
    for cookie in ("", "x", "\u00e4", "a" * 43):
        assert (await office.open("/", cookies={COOKIE: cookie})).status == 303

"""Who may do what: a viewer writes nothing, whatever they send; the role is looked at before what was sent."""

import pytest

from stibgate.domain.access import Role
from stibgate.web.console.console import ROOMS
from tests.web.console.office import make_parts

PAGES = [page for room in ROOMS for page in room(make_parts()).pages()]
ABOVE = [(role, page) for page in PAGES for role in Role if not role.may(page.role)]
WRITING = [page for page in PAGES if page.method != "GET"]


@pytest.mark.parametrize("role_and_page", ABOVE, ids=lambda one: f"{one[0]} {one[1].method} {one[1].path}")
async def test_a_page_above_ones_role_is_refused(office, role_and_page):
    """403 before anything is read: a body that is no form, with no token in it, changes nothing about that."""
    role, page = role_and_page
    browser = await office.login(role)
    path = page.path.replace("{id}", office.deliveries[0]).replace("{name}", "drop")
    if page.method == "GET":
        answer = await browser.open(path)
    else:
        answer = await office.send(path, {"of": "tasks"}, cookies=browser.cookies, headers={})
    assert answer.status == 403
    assert f"this needs the role {page.role}" in answer.words
    assert office.states() == ["dead", "delivered"]


def test_everything_that_writes_needs_an_operator():
    """Only the search, which writes nothing, is a POST of viewers."""
    assert {page.path for page in WRITING if page.role is Role.VIEWER} == {"/deliveries/find"}
    assert len(WRITING) >= 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.method} {page.path}")
async def test_nobody_comes_in_without_a_session(office, page):
    """Every page leads to the login, and tells nothing."""
    path = page.path.replace("{id}", office.deliveries[0]).replace("{name}", "drop")
    answer = await (office.open(path) if page.method == "GET" else office.send(path, {}))
    assert (answer.status, answer.text) == (303, "")
    assert answer.headers["Location"].startswith("/login")


@pytest.mark.parametrize("page", WRITING, ids=lambda page: page.path)
async def test_no_form_without_its_proofs(office, page):
    """Each POST is refused from another site, and without its session's token."""
    browser = await office.login()
    path = page.path.replace("{id}", office.deliveries[0]).replace("{name}", "drop")
    assert (await browser.send(path, headers={"Sec-Fetch-Site": "cross-site"})).status == 403
    assert (await browser.send(path, {"csrf": "wrong"})).status == 403
    assert office.states() == ["dead", "delivered"]


async def test_a_viewer_is_offered_nothing_that_writes(office):
    """Pages of a viewer have no button that would be refused."""
    browser = await office.login(Role.VIEWER)
    for path in ("/deliveries", f"/deliveries/{office.deliveries[0]}", "/dead"):
        page = await browser.open(path)
        assert "Replay" not in page.words, path
        assert "Reveal" not in page.words, path

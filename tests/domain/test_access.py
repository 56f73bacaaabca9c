"""Roles and tokens."""

import pytest

from stibgate.domain.access import Principal, Role, grant, principal_of


@pytest.mark.parametrize(
    ("has", "may"),
    [
        (Role.VIEWER, {Role.VIEWER}),
        (Role.OPERATOR, {Role.VIEWER, Role.OPERATOR}),
        (Role.ADMIN, {Role.VIEWER, Role.OPERATOR, Role.ADMIN}),
    ],
)
def test_each_role_includes_the_one_before(has, may):
    """A role may do what the roles before it may, and nothing more."""
    assert {role for role in Role if has.may(role)} == may


def test_a_token_names_its_holder_and_nothing_else_does():
    """Only a whole token proves who somebody is."""
    grants = [grant("dana", Role.OPERATOR, "a" * 40), grant("kim", Role.ADMIN, "b" * 40)]
    assert principal_of(grants, "b" * 40) == Principal("kim", Role.ADMIN)
    for wrong in ("", "a", "a" * 39, "a" * 41, "A" * 40, "\udcff"):
        assert principal_of(grants, wrong) is None
    assert principal_of([], "a" * 40) is None

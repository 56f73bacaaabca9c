"""What may be written over what is there."""

import pytest

from stibgate.sinks.hubspot.policy import Policy, Want, digest, fills, for_existing, for_new


def wanted(policy, value="new"):
    return {"field": Want(value, policy)}


@pytest.mark.parametrize(
    "policy, there, sent",
    [
        (Policy.OVERWRITE, "old", True),
        (Policy.OVERWRITE, "new", False),
        (Policy.OVERWRITE, None, True),
        (Policy.FILL_BLANK, "old", False),
        (Policy.FILL_BLANK, None, True),
        (Policy.FILL_BLANK, "", True),
        (Policy.CREATE_ONLY, None, False),
        (Policy.CREATE_ONLY, "old", False),
    ],
)
def test_a_policy_decides_over_what_is_there(policy, there, sent):
    """Overwrite writes what differs, fill_blank only blanks (null and empty), create_only nothing."""
    assert for_existing(wanted(policy), {"field": there}) == ({"field": "new"} if sent else {})


def test_unread_blanks_are_not_filled():
    """Without having read what is there, only what may be overwritten is sent."""
    assert for_existing(wanted(Policy.FILL_BLANK), None) == {}
    assert for_existing(wanted(Policy.OVERWRITE), None) == {"field": "new"}


def test_a_new_object_gets_everything():
    """Nothing is kept back from an object that is not there yet."""
    assert for_new({**wanted(Policy.CREATE_ONLY), "other": Want("x", Policy.FILL_BLANK)}) == {
        "field": "new",
        "other": "x",
    }


def test_a_fingerprint_changes_with_value_and_policy():
    """What would be sent otherwise has another fingerprint; order does not matter."""
    one, two = Want("1", Policy.OVERWRITE), Want("2", Policy.OVERWRITE)
    assert digest({"a": one, "b": two}) == digest({"b": two, "a": one})
    assert len({digest(wants) for wants in ({"a": one}, {"a": two}, {"b": one}, wanted(Policy.FILL_BLANK), {})}) == 5
    assert fills({"a": one, **wanted(Policy.FILL_BLANK)}) == wanted(Policy.FILL_BLANK)

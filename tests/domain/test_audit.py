"""The audit's chain: whatever is changed in any line is found."""

from dataclasses import replace

import pytest

from stibgate.domain.access import Role
from stibgate.domain.audit import BEGINNING, Action, AuditEntry, AuditLine, broken_in, chained

ENTRY = AuditEntry(1_779_043_330_000, "dana", Role.ADMIN, Action.PAUSE, "crm", {"changed": True}, "127.0.0.1")


def lines():
    before, made = BEGINNING, []
    for number in (1, 2, 3):
        before = chained(number, replace(ENTRY, at_ms=ENTRY.at_ms + number), before)
        made.append(AuditLine(number, replace(ENTRY, at_ms=ENTRY.at_ms + number), before))
    return made


def test_sound():
    """What was written as it should be has no broken line; nor has nothing."""
    assert broken_in(lines()) is None
    assert broken_in([]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"at_ms": 0}, {"actor": "bob"}, {"role": Role.VIEWER}, {"action": Action.RESUME}, {"target": None},
        {"detail": {}}, {"detail": {"changed": 1}}, {"client_ip": "::1"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_field_is_sealed(number, change):
    """A changed field breaks its line, whichever it is; so does sealing the line anew for the next one."""
    changed = lines()
    line = changed[number - 1]
    entry = replace(line.entry, **change)
    changed[number - 1] = replace(line, entry=entry)
    assert broken_in(changed) == number
    before = BEGINNING if number == 1 else changed[number - 2].chain
    changed[number - 1] = AuditLine(number, entry, chained(number, entry, before))
    assert broken_in(changed) == (number + 1 if number < 3 else None)


def test_order_and_gaps():
    """A line that is missing or out of order breaks the chain there."""
    first, second, third = lines()
    assert broken_in([second, third]) == 1
    assert broken_in([first, third]) == 2
    assert broken_in([first, third, second]) == 2

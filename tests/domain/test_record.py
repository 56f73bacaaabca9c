import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stibgate.domain.record import COLUMNS, FIELDS, Issue, IssueReason, Record, lookup_hash

KEY = bytes(range(32))
NUMBERS = {"company_revenue", "company_employee_count"}
TEXTS = [name for name in (*COLUMNS, "company_id", "reveal_state") if name not in NUMBERS]
RECORDS = st.builds(
    Record,
    **{name: st.none() | st.text(max_size=5) for name in TEXTS},
    **{name: st.none() | st.integers(0, 2**63 - 1) for name in NUMBERS},
    position=st.integers(0, 10_000),
    issues=st.lists(
        st.builds(Issue, st.sampled_from(COLUMNS), st.sampled_from(IssueReason), st.text(max_size=5)), max_size=3
    ).map(tuple),
    extra=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
)


@settings(deadline=None)
@given(RECORDS)
def test_document_round_trip(record: Record):
    """A record survives its document, also through JSON text."""
    assert Record.from_document(json.loads(json.dumps(record.to_document()))) == record


def test_document_has_no_empty_fields():
    """A document holds what is there and the position, nothing else."""
    assert Record(person_id="person_123", position=3).to_document() == {"person_id": "person_123", "position": 3}


def test_document_of_an_issue():
    """An issue is written with plain words."""
    record = Record(issues=(Issue("mobile_phone", IssueReason.INVALID, "none"),))
    assert record.to_document()["issues"] == [{"field": "mobile_phone", "reason": "invalid", "original": "none"}]


def test_columns_are_the_vendors():
    """The columns are those of Stibnite's CSV export, in its order, and the fields begin with them."""
    assert ",".join(COLUMNS) == (
        "prospect_id,person_id,first_name,last_name,job_title,business_email,mobile_phone,linkedin_url,company_name,"
        "company_domain,company_phone,company_linkedin_url,company_revenue,company_employee_count,company_industry,"
        "company_sic,company_naics,company_city,company_state"
    )
    assert FIELDS[: len(COLUMNS)] == COLUMNS


LADDER = [
    ("person_id", "person_id", "person_123"),
    ("prospect_id", "prospect_id", "5x5-person-123"),
    ("linkedin", "linkedin_url", "https://linkedin.com/in/janedoe"),
    ("email", "business_email", "jane@example.com"),
    ("phone", "mobile_phone", "+12085550123"),
]


@pytest.mark.parametrize("rung", range(len(LADDER)))
def test_person_key(rung: int):
    """The person key is the highest rung of the ladder that is there."""
    record = Record(**{field: value for _, field, value in LADDER[rung:]})
    kind, _, value = LADDER[rung]
    assert record.person_key() == f"{kind}:{value}"
    assert list(record.identifiers()) == [(kind, value) for kind, _, value in LADDER[rung:]]


def test_nobody():
    """A record that names nobody has no person key."""
    assert Record(first_name="Jane", company_name="Example Inc").person_key() is None


@pytest.mark.parametrize(
    ("kind", "one", "other", "same"),
    [
        ("email", "Jane@example.com", "jane@example.com", True),
        ("linkedin", "https://linkedin.com/in/JaneDoe", "https://linkedin.com/in/janedoe", True),
        ("person_id", "Person_1", "person_1", False),
        ("phone", "+12085550123", "+12085550124", False),
    ],
)
def test_lookup_hash(kind: str, one: str, other: str, same):
    """Two spellings of one mailbox or profile hash alike; ids are compared as they are."""
    assert (lookup_hash(KEY, kind, one) == lookup_hash(KEY, kind, other)) is same


def test_lookup_hash_is_keyed_and_kinded():
    """Another key or another kind is another hash, of 16 bytes."""
    hashes = {lookup_hash(key, kind, "x") for key in (KEY, bytes(32)) for kind in ("person_id", "prospect_id")}
    assert len(hashes) == 4
    assert {len(value) for value in hashes} == {16}

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stibgate.domain.record import COLUMNS, Issue, IssueReason, Record
from stibgate.normalise import Rules, normalise

NULL = Rules()
KEEP = Rules(invalid_field="keep")
PUSH = Path(__file__).parents[1] / "events" / "samples" / "documented_push.json"

SCALAR_NAMES = (*COLUMNS, "company_id", "reveal_state")
INNER_NAMES = tuple(name.removeprefix("company_") for name in COLUMNS if name.startswith("company_"))

WILD_TEXT = st.text(st.characters(exclude_categories=()))
LIKELY = st.sampled_from(
    [
        "", " ", "n/a", "jane@example.com", "Jane@EXAMPLE.com ", "jane@", "+12085550123", "(208) 555-0123 x5", "555",
        "208-555-0123 /x 208-555-0199", "www.linkedin.com/in/janedoe/", "https://linkedin.com/", "https://www.example.com/x",
        "Texas", "$1,000", "1.0", "10M", "x" * 600, "x" * 2001, "\ud800", "a.com\ud800!!", "\u200b", "https://linkedin.com/in/" + "\u00e9" * 900,
    ]
)  # fmt: skip
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63, 2**64, True])
LEAVES = st.none() | NUMBERS | WILD_TEXT | LIKELY
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WILD_TEXT, inner, max_size=3))
COMPANIES = VALUES | st.dictionaries(st.sampled_from((*INNER_NAMES, "company_id", "id", "logo")), LEAVES | VALUES)
ISSUES = st.lists(
    st.fixed_dictionaries(
        {
            "field": st.sampled_from((*SCALAR_NAMES, "company", "nonsense")),
            "reason": st.sampled_from([*IssueReason, "nonsense"]),
            "original": WILD_TEXT | LIKELY,
        }
    ),
    max_size=3,
)
RAW = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    st.dictionaries(st.sampled_from(SCALAR_NAMES), LEAVES | VALUES),
    st.dictionaries(st.just("company"), COMPANIES),
    st.dictionaries(WILD_TEXT | st.sampled_from(["extra", "issues", "position"]), VALUES, max_size=3),
    st.dictionaries(st.just("issues"), ISSUES),
    st.dictionaries(st.just("position"), st.integers(0, 2)),
)
RULES = st.sampled_from([NULL, KEEP, Rules(default_region="GB"), Rules(default_region="DE", invalid_field="keep")])


def read(raw: dict[str, Any], rules: Rules = NULL) -> Record:
    return normalise(raw, position=0, rules=rules)


def test_documented_push():
    """The record of Stibnite's own document loses nothing and changes nothing."""
    raw = json.loads(PUSH.read_bytes())["data"][0]
    assert read(raw) == Record(
        prospect_id="5x5-person-123",
        person_id="person_123",
        first_name="Jane",
        last_name="Doe",
        job_title="VP Sales",
        business_email="jane@example.com",
        mobile_phone="+12085550123",
        linkedin_url="https://linkedin.com/in/janedoe",
        company_name="Example Inc",
        company_domain="example.com",
        company_phone="+12085550100",
        company_linkedin_url="https://linkedin.com/company/example",
        company_revenue=10_000_000,
        company_employee_count=42,
        company_industry="Software",
        company_sic="7372",
        company_naics="541511",
        company_city="Austin",
        company_state="TX",
        company_id="company_123",
        reveal_state="purchased",
    )


def test_csv_row():
    """A row of Stibnite's own CSV export, flat and all text, is the same record as the push."""
    raw = json.loads(PUSH.read_bytes())["data"][0]
    row = (
        "5x5-person-123,person_123,Jane,Doe,VP Sales,jane@example.com,+12085550123,https://linkedin.com/in/janedoe,"
        "Example Inc,example.com,+12085550100,https://linkedin.com/company/example,10000000,42,Software,7372,541511,"
        "Austin,TX"
    )
    from_csv = read(dict(zip(COLUMNS, row.split(","), strict=True)))
    assert {name: getattr(from_csv, name) for name in COLUMNS} == {name: getattr(read(raw), name) for name in COLUMNS}


INVALID = [
    ("business_email", "jane@", "jane@"),
    ("mobile_phone", " 555 ", " 555 "),
    ("linkedin_url", "https://example.com/in/janedoe", "https://example.com/in/janedoe"),
    ("company_domain", "n/a", "n/a"),
    ("company_revenue", "10M", "10M"),
    ("company_revenue", -5, "-5"),
    ("company_revenue", True, "true"),
    ("company_employee_count", math.nan, "NaN"),
]


@pytest.mark.parametrize(("name", "value", "original"), INVALID)
def test_invalid(name: str, value: object, original: str):
    """An invalid value is flagged with its original; `null` empties the field, `keep` leaves a text as sent."""
    issues = (Issue(name, IssueReason.INVALID, original),)
    assert read({name: value}) == Record(issues=issues)
    kept = {name: value} if isinstance(value, str) else {}
    assert read({name: value}, KEEP) == Record(**kept, issues=issues)


@pytest.mark.parametrize("rules", [NULL, KEEP])
@pytest.mark.parametrize(
    ("name", "value", "original"),
    [
        ("first_name", 7, "7"),
        ("person_id", True, "true"),
        ("person_id", 1.0, "1.0"),
        ("mobile_phone", 12085550123, "12085550123"),
        ("company_sic", ["7372"], '["7372"]'),
        ("company_revenue", {"usd": 1}, '{"usd": 1}'),
        ("company_name", {"name": "Ex\u00e9"}, '{"name": "Ex\u00e9"}'),
    ],
)
def test_wrong_type(name: str, value: object, original: str, rules: Rules):
    """A value of the wrong type is flagged with its JSON text, and the field is empty."""
    assert read({name: value}, rules) == Record(issues=(Issue(name, IssueReason.WRONG_TYPE, original),))


@pytest.mark.parametrize("rules", [NULL, KEEP])
@pytest.mark.parametrize(("name", "length"), [("job_title", 2000), ("person_id", 512), ("company_id", 512)])
def test_too_long(name: str, length: int, rules: Rules):
    """A value beyond its bound is in the issue whole and not in the field; at the bound it is in the field."""
    assert getattr(read({name: "x" * length}, rules), name) == "x" * length
    long = "x" * (length + 1)
    assert read({name: long}, rules) == Record(issues=(Issue(name, IssueReason.TRUNCATED, long),))


@pytest.mark.parametrize("rules", [NULL, KEEP])
def test_extension(rules: Rules):
    """A number with an extension is taken, and the extension is not lost."""
    record = read({"company": {"phone": "(208) 555-0123 x5"}}, rules)
    assert record.company_phone == "+12085550123"
    assert record.issues == (Issue("company_phone", IssueReason.TRUNCATED, "(208) 555-0123 x5"),)


def test_codes_and_ids_as_numbers():
    """Whole numbers are taken as text where a text names something; no zero is added and none is lost."""
    record = read({"person_id": 123, "company": {"sic": "0111", "naics": 111, "company_id": 0}})
    assert (record.person_id, record.company_sic, record.company_naics, record.company_id) == (
        "123",
        "0111",
        "111",
        "0",
    )
    assert record.issues == ()


@pytest.mark.parametrize("value", [None, "", "  ", "\u200b"])
@pytest.mark.parametrize("name", SCALAR_NAMES)
def test_nothing_is_nothing(name: str, value: object):
    """A missing or blank value is an empty field and no issue."""
    assert read({name: value}) == Record()
    assert read({name: value}, KEEP) == Record()


@pytest.mark.parametrize("company", ["Example Inc", ["Example Inc"], 7])
def test_company_is_not_an_object(company: object):
    """A company that is not an object is flagged and kept; nothing is read out of it."""
    record = read({"company": company, "company_city": "Austin"})
    assert record.extra == {"company": company}
    assert record.company_name is None
    assert record.company_city == "Austin"
    assert [issue.field for issue in record.issues] == ["company"]


def test_unknown_fields():
    """Unknown fields are kept as sent, those of the company under `company`, also ones with our own names."""
    raw = {
        "seniority": " VP ",
        "position": "CEO",
        "issues": 3,
        "extra": {"a": 1},
        "company": {"name": "X", "size": [1]},
    }
    record = read(raw)
    assert record.extra == {
        "seniority": " VP ",
        "position": "CEO",
        "issues": 3,
        "extra": {"a": 1},
        "company": {"size": [1]},
    }
    assert record.company_name == "X"


def test_nested_company_comes_first():
    """The nested company is the documented one; a flat value that differs is kept beside it, a blank one gives way."""
    record = read({"company_name": "Flat", "company_city": "Austin", "company": {"name": "Nested", "city": " "}})
    assert (record.company_name, record.company_city, record.extra) == ("Nested", "Austin", {"company_name": "Flat"})


def test_extra_is_clean_json():
    """What no JSON encoder takes is kept as text."""
    record = read({"a": math.nan, "b": [math.inf, 2**64, 10**5000], "\ud800": "\ud800", "c": {"d": 1.5}})
    assert record.extra == {
        "a": "NaN",
        "b": ["Infinity", str(2**64), hex(10**5000)],
        "\\ud800": "\\ud800",
        "c": {"d": 1.5},
    }


def test_endless_nesting():
    """A record nested far beyond every bound is read without an exception."""
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    record = read({"a": value, "first_name": value, "company": value})
    assert {issue.field for issue in record.issues} == {"company", "first_name"}
    json.dumps(record.to_document())


@settings(max_examples=150, deadline=None)
@given(RAW, RULES)
@example({"business_email": "a.com\ud800!!", "company_domain": "a.com\ud800!!"}, KEEP)
def test_idempotent(raw: dict[str, Any], rules: Rules):
    """A record that went through its document and is read again is the same in every field, issues and extra too."""
    record = normalise(raw, position=1, rules=rules)
    again = normalise(record.to_document(), position=1, rules=rules)
    assert again == record
    through_json = json.loads(json.dumps(record.to_document()))
    assert normalise(through_json, position=1, rules=rules) == record


@settings(max_examples=150, deadline=None)
@given(RAW, RULES)
def test_never_invents(raw: dict[str, Any], rules: Rules):
    """A field holds something only if the input held something under its flat or its nested name."""
    record = normalise(raw, position=1, rules=rules)
    company = raw.get("company") if isinstance(raw.get("company"), dict) else {}
    for name in SCALAR_NAMES:
        if getattr(record, name) is not None:
            inner = "company_id" if name == "company_id" else name.removeprefix("company_")
            nested = company.get(inner) if name.startswith("company_") else None
            assert raw.get(name) is not None or nested is not None


@settings(max_examples=150, deadline=None)
@given(RAW, RULES)
def test_never_loses(raw: dict[str, Any], rules: Rules):
    """A value that is not blank ends in its field or in an issue, and an unknown field in `extra`."""
    record = normalise(raw, position=9, rules=rules)
    flagged = {issue.field for issue in record.issues}
    for name, value in raw.items():
        if name in SCALAR_NAMES:
            blank = value is None or (isinstance(value, str) and not any(map(str.isprintable, value.replace(" ", ""))))
            assert blank or getattr(record, name) is not None or name in flagged
        elif name != "company":
            assert name.encode("utf-8", "backslashreplace").decode() in record.extra


@settings(max_examples=150, deadline=None)
@given(RAW, RULES)
def test_output_is_utf8_json(raw: dict[str, Any], rules: Rules):
    """A record's document is JSON without NaN, in UTF-8, whatever came in."""
    document = normalise(raw, position=1, rules=rules).to_document()
    text = json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert json.loads(text) == document


def test_libraries_load_late():
    """Importing the room loads none of its libraries, so that commands which do not normalise stay fast."""
    code = "import sys, stibgate.normalise; print(sorted({'phonenumbers', 'email_validator', 'publicsuffixlist', 'yarl'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

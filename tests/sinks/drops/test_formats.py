"""Bytes of a drop: the guard, CSV and NDJSON."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stibgate.domain.record import COLUMNS, FIELDS, Issue, IssueReason, Provenance, Record
from stibgate.sinks import Batch
from stibgate.sinks.drops.formats import CsvFormat, Encoder, NdjsonFormat
from stibgate.sinks.drops.guard import guarded, is_dangerous
from stibgate.testing import RECEIVED_AT_MS, make_batch

HEADER = (
    "prospect_id,person_id,first_name,last_name,job_title,business_email,mobile_phone,linkedin_url,company_name,"
    "company_domain,company_phone,company_linkedin_url,company_revenue,company_employee_count,company_industry,"
    "company_sic,company_naics,company_city,company_state"
)


@pytest.mark.parametrize(
    "value",
    [
        "=1+1", " =1", "\t=1", "\rx", "\tx", "\uff1d1", "-1+1", "@SUM(1,1)", "+1-208-555-0123", "+1 208 555 0123", "-5",
        "\u00a0=1", "\u200b=1", "\ufeff=1", "\u2060 \u3000=1", "﹢1", "\uff0b12085550123", "\uff20x", "\uff0d1", "+1+1", "\n=1", "\x00=1",
        "+0123456789", "+123456", "+1234567890123456", "+12085550123\n", " +12085550123", "+\uff11\uff12\uff10\uff18\uff15\uff15\uff15\uff10\uff11\uff12\uff13",
        '=HYPERLINK("http://x")', "+cmd|' /C calc'!A0", "'=1", "''@x", "-", "=",
    ],
)  # fmt: skip
def test_guarded(value):
    """What a spreadsheet might compute gets exactly one apostrophe in front."""
    assert guarded(value) == "'" + value


@pytest.mark.parametrize(
    "value",
    [
        "", "+12085550123", "+1234567", "+123456789012345", "12", "0012", "Zoë", "a=1", "1-1", "O'Brien", "'quoted'",
        "'+12085550123", '"=1', "#1", "/x", "~", "东京", "(=1)", " x", "x\t=1", '{"a":"=1"}', "   ", "\u200b",
    ],
)  # fmt: skip
def test_left_alone(value):
    """What cannot be computed stays byte for byte."""
    assert guarded(value) == value


def unguarded(value: str) -> str:
    """Undo the guard as its docstring tells a reader to."""
    return value[1:] if value.startswith("'") and is_dangerous(value.lstrip("'")) else value


awkward = st.text(
    alphabet=st.one_of(st.sampled_from("=+-@\t\r\n '\",;\x00\ufeff\u200b\uff1d1a"), st.characters(codec="utf-8"))
)
texts = st.one_of(st.none(), awkward, st.text(), st.just("+12085550123"))
TEXT_COLUMNS = [name for name in COLUMNS if name not in {"company_revenue", "company_employee_count"}]


@st.composite
def batches(draw) -> Batch:
    provenance = Provenance(
        "dlv_1", draw(st.text()), "prospecting.records.pushed", "2026-05-17T18:42:10.004Z", draw(texts)
    )
    records = []
    for position in range(draw(st.integers(1, 3))):
        values = {name: draw(texts) for name in draw(st.sets(st.sampled_from(TEXT_COLUMNS), max_size=5))}
        revenue = draw(st.one_of(st.none(), st.integers()))
        issues = tuple(
            Issue("mobile_phone", IssueReason.INVALID, draw(awkward)) for _ in range(draw(st.integers(0, 2)))
        )
        extra = draw(st.dictionaries(awkward, st.one_of(st.none(), st.integers(), awkward), max_size=2))
        records.append(Record(**values, company_revenue=revenue, position=position, issues=issues, extra=extra))
    return Batch("t1", 1, RECEIVED_AT_MS, provenance, records)


def read(data: bytes) -> list[dict[str, str]]:
    header, *rows = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


def expected(batch: Batch, record: Record, name: str) -> object:
    if name == "issues":
        return [{"field": i.field, "reason": i.reason.value, "original": i.original} for i in record.issues]
    if name == "extra":
        return dict(record.extra)
    return getattr(record, name) if hasattr(record, name) else getattr(batch.provenance, name)


def as_cell(value: object) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else ""
    return "" if value is None else str(value)


@given(batches(), st.permutations(FIELDS), st.integers(1, len(FIELDS)), st.booleans())
def test_csv_round_trip(batch, fields, count, guard):
    """What was written reads back equal, without the one documented apostrophe, for any choice of columns."""
    columns = fields[:count]
    encoder = Encoder(CsvFormat(columns, formula_guard=guard, bom=False), gzip=False)
    rows = read(encoder.encode(batch, first=True))
    undo = unguarded if guard else str
    for record, row in zip(batch.records, rows, strict=True):
        assert list(row) == list(columns)
        assert {name: undo(cell) for name, cell in row.items()} == {
            name: as_cell(expected(batch, record, name)) for name in columns
        }


@given(batches())
def test_no_cell_is_a_formula(batch):
    """No text cell of a guarded CSV begins a formula; integers are digits and nothing else."""
    data = Encoder(CsvFormat(FIELDS, formula_guard=True, bom=False), gzip=False).encode(batch, first=True)
    for row in read(data):
        assert row["company_revenue"] == "" or int(row.pop("company_revenue")) is not None
        assert not [cell for name, cell in row.items() if name != "company_revenue" and is_dangerous(cell)]


@given(batches(), st.permutations(FIELDS), st.integers(1, len(FIELDS)))
def test_ndjson_round_trip(batch, fields, count):
    """Every line is one object with every chosen column, in order, and the values of the record."""
    columns = fields[:count]
    data = Encoder(NdjsonFormat(columns), gzip=False).encode(batch, first=True)
    lines = data.decode().split("\n")
    assert lines.pop() == ""
    for record, line in zip(batch.records, lines, strict=True):
        document = json.loads(line)
        assert list(document) == list(columns)
        assert document == {name: expected(batch, record, name) for name in columns}


def test_the_header_is_stibnites_own():
    """By default a CSV begins with exactly the 19 columns of Stibnite's export, ends lines with CRLF, and has no BOM."""
    data = Encoder(CsvFormat(COLUMNS, formula_guard=True, bom=False), gzip=False).encode(
        make_batch("t1", [0]), first=True
    )
    header, row, rest = data.decode().split("\r\n")
    assert header == HEADER
    assert row == "prs_0,person_0,Zoë,,,p0@example.com,+12085550123,,,,,,4200000,,,,005112,,"
    assert rest == ""


def test_quotes_only_where_needed():
    """A line break, a comma and a quote stay inside quotes, as RFC 4180 has it; nothing else is quoted."""
    batch = make_batch("t1", [0], first_name='a"b', last_name="c\nd", job_title="e,f", company_city="g h")
    data = Encoder(
        CsvFormat(["first_name", "last_name", "job_title", "company_city"], formula_guard=True, bom=False), gzip=False
    )
    assert data.encode(batch, first=False) == b'"a""b","c\nd","e,f",g h\r\n'


def test_bom_and_gzip():
    """The BOM stands once, at the front; a gzip member has no time in it, so a retry's bytes are the same."""
    encoder = Encoder(CsvFormat(["person_id"], formula_guard=True, bom=True), gzip=True)
    one, two = encoder.encode(make_batch("t1", [0]), first=True), encoder.encode(make_batch("t2", [1]), first=False)
    assert gzip.decompress(one + two) == b"\xef\xbb\xbfperson_id\r\nperson_0\r\nperson_1\r\n"
    assert one[4:8] == bytes(4)
    assert encoder.suffix == ".csv.gz"


def test_what_utf8_and_json_cannot_say():
    """A lone surrogate becomes U+FFFD and infinity null: the line stays readable, the batch is not lost."""
    batch = make_batch("t1", [0], first_name="a\ud800b", extra={"x": [float("inf"), 1.5], "y": {"z": float("nan")}})
    (line,) = Encoder(NdjsonFormat(["first_name", "extra"]), gzip=False).encode(batch, first=True).decode().splitlines()
    assert json.loads(line) == {"first_name": "a\ufffdb", "extra": {"x": [None, 1.5], "y": {"z": None}}}

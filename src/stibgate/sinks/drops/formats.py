"""Records to bytes: CSV (RFC 4180) and NDJSON, plain or gzip. The same batch always gives the same bytes.

CSV: UTF-8, CRLF, a header line, quotes only where needed; a missing value is an empty cell; `issues` and `extra` are
compact JSON, empty when there are none. NDJSON: one compact object a line, LF, every chosen column present,
`null` where a value is missing, `issues` an array and `extra` an object.
"""

import csv
import gzip
import io
import json
import math
import operator
import re
import zlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stibgate.domain.record import PROVENANCE_COLUMNS, Issue, Record
from stibgate.sinks import Batch
from stibgate.sinks.drops.guard import SAFE_FIRST, guarded

_GZIP_LEVEL = 6  # a third of the time of 9, for a few percent
_SURROGATE = re.compile("[\ud800-\udfff]")
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Format(Protocol):
    """Turns batches into the lines of a file."""

    suffix: str
    fingerprint: str
    """Changes whenever lines of the two kinds must not share a file."""

    preamble: str
    """What a file begins with, before any record."""

    content_type: str
    """What a file is, uncompressed."""

    def lines(self, batch: Batch) -> str:
        """Return one line for each record of *batch*, each with its line end."""
        ...

    def rows(self, text: str) -> list[Hashable]:
        """Return the rows of a file, to compare them with those of another one.

        Raises:
            ValueError: It was not written in this format.
        """
        ...


class CsvFormat:
    """RFC 4180, for importers and, thanks to the guard, for spreadsheets.

    Args:
        columns: Names from `domain.record.FIELDS`, in the order of the file.
        formula_guard: Whether to put an apostrophe before what a spreadsheet would compute.
        bom: Whether a file begins with a byte order mark, as Excel likes it.
    """

    suffix = ".csv"
    content_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: Sequence[str], *, formula_guard: bool, bom: bool) -> None:
        self._cells = _Cells(columns)
        self._guard = formula_guard
        self._json = [index for index, name in enumerate(columns) if name in {"issues", "extra"}]
        self.preamble = ("\ufeff" if bom else "") + ",".join(columns) + "\r\n"
        self.fingerprint = f"csv guard={formula_guard:d} bom={bom:d} {','.join(columns)}"

    def lines(self, batch: Batch) -> str:
        """Return the records of *batch* as CSV lines."""
        buffer = io.StringIO(newline="")
        csv.writer(buffer, lineterminator="\r\n").writerows(self._rows(batch))
        return buffer.getvalue()

    def rows(self, text: str) -> list[Hashable]:
        """Return the lines of a CSV file, the header too, each as its cells."""
        try:
            return [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True)]
        except csv.Error as error:
            raise ValueError(str(error)) from error

    def _rows(self, batch: Batch) -> Iterator[list[Any]]:
        for row in self._cells.of(batch):
            for index in self._json:
                row[index] = _to_json(row[index]) if row[index] else None
            if not self._guard:
                yield row
                continue
            yield [
                cell if cell.__class__ is not str or cell[:1] in SAFE_FIRST else guarded(cell)
                for cell in row
            ]  # fmt: skip


class NdjsonFormat:
    """One JSON object a line, for machines.

    Args:
        columns: Names from `domain.record.FIELDS`, in the order of the objects' keys.
    """

    suffix = ".ndjson"
    content_type = "application/x-ndjson"
    preamble = ""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._cells = _Cells(columns)
        self.fingerprint = f"ndjson {','.join(columns)}"

    def lines(self, batch: Batch) -> str:
        """Return the records of *batch* as JSON lines."""
        return "".join(
            _to_json(dict(zip(self._columns, row, strict=True))) + "\n" for row in self._cells.of(batch)
        )  # fmt: skip

    def rows(self, text: str) -> list[Hashable]:
        """Return the lines of an NDJSON file."""
        return list(text.split("\n"))


@dataclass(frozen=True, slots=True)
class Encoder:
    """A format and what is wrapped around it.

    Attributes:
        gzip: Whether every part becomes one gzip member; members concatenate to one valid gzip file.
    """

    format: Format
    gzip: bool

    @property
    def suffix(self) -> str:
        """How the names of the files end."""
        return self.format.suffix + (".gz" if self.gzip else "")

    @property
    def content_type(self) -> str:
        """What a file is; a compressed one is no text, and nobody must uncompress it on the way (RFC 6713)."""
        return "application/gzip" if self.gzip else self.format.content_type

    @property
    def fingerprint(self) -> str:
        """What a file's parts must have in common."""
        return f"{self.format.fingerprint} gzip={self.gzip:d}"

    def encode(self, batch: Batch, *, first: bool) -> bytes:
        """Return the bytes of *batch*, behind the preamble when they are the *first* of a file."""
        text = self.format.lines(batch)
        if first:
            text = self.format.preamble + text
        try:
            data = text.encode()
        except UnicodeEncodeError:  # a lone surrogate has no UTF-8; JSON can smuggle one in
            data = _SURROGATE.sub("\ufffd", text).encode()
        # A time in the member would make a retry's bytes differ.
        return gzip.compress(data, _GZIP_LEVEL, mtime=0) if self.gzip else data

    def rows(self, data: bytes) -> list[Hashable] | None:
        """Return the rows in the bytes of a whole file, its preamble too; None when it is none of ours."""
        try:
            return self.format.rows((gzip.decompress(data) if self.gzip else data).decode())
        except (ValueError, EOFError, OSError, zlib.error):
            return None


class _Cells:
    """The values of the chosen columns, one list a record; the look-ups are worked out once."""

    def __init__(self, columns: Sequence[str]) -> None:
        own = [name for name in columns if name not in PROVENANCE_COLUMNS or name == "position"]
        self._get = _getter(own)
        self._issues = own.index("issues") if "issues" in own else None
        self._extra = own.index("extra") if "extra" in own else None
        self._shared = [(index, name) for index, name in enumerate(columns) if name not in own]

    def of(self, batch: Batch) -> Iterator[list[Any]]:
        shared = [(index, getattr(batch.provenance, name)) for index, name in self._shared]
        for record in batch.records:
            row = list(self._get(record))
            if self._issues is not None:
                row[self._issues] = [_issue(issue) for issue in record.issues]
            if self._extra is not None:
                row[self._extra] = dict(record.extra)
            for index, value in shared:  # ascending, so that each lands in its own column
                row.insert(index, value)
            yield row


def _getter(names: Sequence[str]) -> Callable[[Record], tuple[Any, ...]]:
    """Return what takes *names* from a record; `attrgetter` alone has no tuple for fewer than two."""
    if not names:
        return lambda _: ()
    if len(names) == 1:
        name = names[0]
        return lambda record: (getattr(record, name),)
    return operator.attrgetter(*names)


def _issue(issue: Issue) -> dict[str, str]:
    return {"field": issue.field, "reason": str(issue.reason), "original": issue.original}


def _to_json(value: object) -> str:
    try:
        return _compact(value)
    except ValueError:  # `1e999` is JSON and reads as infinity, which JSON cannot say
        return _compact(_finite(value))


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""A CSV export: the bytes as they came, and what their headers say.

Source: Stibnite Person Data API, "Export prospecting results as CSV".
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from stibgate.errors import VendorMisbehaved
from stibgate.vendors.http import Answer, Call

EXPORT_MAX_BYTES = 128 * 1024 * 1024

_FILENAME = re.compile(r'filename="?([A-Za-z0-9][A-Za-z0-9_.-]{0,100})"?\s*(?:;|$)', re.ASCII)
_COUNT = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Export:
    """One export; it is bought and billed.

    Attributes:
        csv: The file, byte for byte.
        filename: What the vendor calls it, a plain name without folders; "" when that is not usable.
        exported_records: How many the vendor says it holds.
        net_new_billable_records: How many of them were bought now.
        already_purchased_records: How many were owned before.
    """

    csv: bytes = field(repr=False)
    filename: str = ""
    exported_records: int | None = None
    net_new_billable_records: int | None = None
    already_purchased_records: int | None = None

    def rows(self) -> list[dict[str, str]]:
        """Return the records by column; values are text as they stand in the file.

        Raises:
            VendorMisbehaved: It is not UTF-8, or no CSV.
        """
        try:
            reader = csv.DictReader(io.StringIO(self.csv.decode("utf-8-sig"), newline=""), restkey="", strict=True)
            return [{name: value or "" for name, value in row.items() if name} for row in reader]
        except (UnicodeDecodeError, csv.Error):
            pass
        raise VendorMisbehaved("the export is not CSV in UTF-8", hint="The bytes are whole: look at them.")


def read_export(call: Call, answer: Answer) -> Export:
    """Return the export that *answer* is.

    Raises:
        VendorMisbehaved: It is not CSV.
    """
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/csv":
        raise VendorMisbehaved(
            f"{call.name}: {answer.status}, but not text/csv",
            hint="Something between here and the vendor answered in its place, or the vendor changed its API.",
            maybe_done=call.maybe_done,
        )
    name = _FILENAME.search(answer.headers.get("content-disposition", ""))
    return Export(
        answer.body,
        name[1] if name else "",
        _count(answer.headers, "x-exported-records"),
        _count(answer.headers, "x-net-new-billable-records"),
        _count(answer.headers, "x-already-purchased-records"),
    )


def _count(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "").strip()
    return int(text) if _COUNT.fullmatch(text) else None

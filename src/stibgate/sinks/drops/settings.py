"""The keys of a drop sink."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from stibgate.domain.record import COLUMNS, FIELDS
from stibgate.sinks import Sink
from stibgate.sinks.drops.disk import Disk
from stibgate.sinks.drops.formats import CsvFormat, Encoder, NdjsonFormat
from stibgate.sinks.drops.per_delivery import PerDelivery
from stibgate.sinks.drops.rolling import Rolling
from stibgate.sinks.drops.sink import DropSink, Layout
from stibgate.sinks.settings import Duration, SinkSettings


class DropSettings(SinkSettings):
    """Records as files in a folder.

    Attributes:
        kind: The format.
        dir: The folder; made when it is not there. A rolling sink needs one of its own.
        layout: One whole file a delivery, or one file that grows and is then completed by a `.sha256`.
        columns: Which fields, in which order.
        formula_guard: CSV only: an apostrophe before what a spreadsheet would compute.
        bom: CSV only: begin a file with a byte order mark.
        gzip: Compress; `.gz` is added to the names.
        rotate_rows: Rolling only: rows after which a file is complete.
        rotate_after: Rolling only: seconds after its first row when a file is complete.
    """

    kind: Literal["csv", "ndjson"]
    dir: Path
    layout: Literal["per_delivery", "rolling"] = "per_delivery"
    columns: tuple[str, ...] = COLUMNS
    formula_guard: bool = True
    bom: bool = False
    gzip: bool = False
    rotate_rows: int = Field(default=10_000, ge=1)
    rotate_after: Annotated[Duration, Field(gt=0)] = 900.0

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in columns if name not in FIELDS]
        if unknown:
            raise ValueError(f"unknown {', '.join(map(repr, unknown))}; allowed are {', '.join(FIELDS)}")
        if not columns or len(set(columns)) != len(columns):
            raise ValueError("expected at least one column, and none twice")
        return columns

    @model_validator(mode="after")
    def _bom_is_for_csv(self) -> Self:
        if self.bom and self.kind != "csv":
            raise ValueError('bom is for kind = "csv"; JSON must not begin with one (RFC 8259)')
        return self

    def build(self, name: str, *, now_ms: Callable[[], int]) -> Sink:
        """Return the sink *name*; nothing is touched before its `open`.

        Args:
            name: Its key in the configuration.
            now_ms: The clock, milliseconds since the epoch.
        """
        return DropSink(self.arrange(Disk(), now_ms=now_ms), self.dir, name=name)

    def arrange(self, disk: Disk, *, now_ms: Callable[[], int]) -> Layout:
        """Return the layout on *disk*."""
        columns = self.columns
        lines = (
            CsvFormat(columns, formula_guard=self.formula_guard, bom=self.bom)
            if self.kind == "csv"
            else NdjsonFormat(columns)
        )
        encoder = Encoder(lines, gzip=self.gzip)
        if self.layout == "per_delivery":
            return PerDelivery(disk, self.dir, encoder)
        return Rolling(
            disk,
            self.dir,
            encoder,
            now_ms=now_ms,
            rotate_rows=self.rotate_rows,
            rotate_after_ms=round(self.rotate_after * 1000),
        )

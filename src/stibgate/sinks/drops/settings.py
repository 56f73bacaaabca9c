"""The keys of a drop sink."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from stibgate.domain.record import COLUMNS, FIELDS
from stibgate.sinks import Sink, SinkContext
from stibgate.sinks.drops.disk import Disk
from stibgate.sinks.drops.formats import CsvFormat, Encoder, NdjsonFormat
from stibgate.sinks.drops.objects import ObjectSink
from stibgate.sinks.drops.per_delivery import PerDelivery
from stibgate.sinks.drops.rolling import Rolling
from stibgate.sinks.drops.sink import DropSink, Layout
from stibgate.sinks.drops.storage import ObjectStoreSettings
from stibgate.sinks.settings import Duration, SinkSettings


class DropSettings(SinkSettings):
    """Records as files in a folder, or as objects in a bucket.

    Attributes:
        kind: The format.
        url: Where the objects go: `s3://`, `gs://` or `az://` with the extra `s3`; `file:///FOLDER` is the same as
            `dir`, synced to the disk like it.
        dir: The folder, where there is no `url`; made when it is not there. A rolling sink needs one of its own.
        storage: Options of the object store.
        layout: One whole file a delivery, or one file that grows and is then completed by a `.sha256`.
        columns: Which fields, in which order.
        formula_guard: CSV only: an apostrophe before what a spreadsheet would compute.
        bom: CSV only: begin a file with a byte order mark.
        gzip: Compress; `.gz` is added to the names.
        rotate_rows: Rolling only: rows after which a file is complete.
        rotate_after: Rolling only: seconds after its first row when a file is complete.
    """

    kind: Literal["csv", "ndjson"]
    url: str | None = None
    dir: Annotated[Path | None, Field(validate_default=True)] = None
    storage: ObjectStoreSettings = ObjectStoreSettings()
    layout: Literal["per_delivery", "rolling"] = "per_delivery"
    columns: tuple[str, ...] = COLUMNS
    formula_guard: bool = True
    bom: bool = False
    gzip: bool = False
    rotate_rows: int = Field(default=10_000, ge=1)
    rotate_after: Annotated[Duration, Field(gt=0)] = 900.0

    @field_validator("url")
    @classmethod
    def _folder_of_url(cls, url: str | None) -> str | None:
        if url is None or not url.startswith("file:"):
            return url
        parts = urlsplit(url)
        if parts.netloc or parts.query or parts.fragment or not url.startswith("file:///") or parts.path == "/":
            raise ValueError("must be file:///FOLDER with the whole path, for example file:///srv/drops")
        return url

    @field_validator("dir")
    @classmethod
    def _one_place(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        if "url" not in info.data:  # wrong itself, and told so
            return folder
        if folder is None and info.data["url"] is None:
            raise PydanticCustomError("missing", "set `dir`, or `url`")
        if folder is not None and info.data["url"] is not None:
            raise ValueError("set either `dir` or `url`, not both")
        return folder

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
    def _fits_together(self) -> Self:
        if self.bom and self.kind != "csv":
            raise ValueError('bom is for kind = "csv"; JSON must not begin with one (RFC 8259)')
        if self.folder is not None and self.storage.model_fields_set:
            raise ValueError("storage is for objects: it needs a `url` that is not file://")
        if self.folder is None and self.url is not None:
            if self.layout == "rolling":
                raise ValueError('an object cannot grow: with `url`, layout must be "per_delivery"')
            self.storage.check_for(self.url)
        return self

    @property
    def folder(self) -> Path | None:
        """The folder, None when objects are written."""
        if self.url is not None and self.url.startswith("file:"):
            return Path(unquote(urlsplit(self.url).path))
        return self.dir

    def build(self, context: SinkContext) -> Sink:
        """Return the sink; nothing is touched before its `open`."""
        folder = self.folder
        if folder is not None:
            return DropSink(self.arrange(Disk(), folder, now_ms=context.now_ms), folder, name=context.name)
        url = str(self.url)
        return ObjectSink(self.storage.connect(url), self.encoder(), url=url, timeout_s=self.storage.timeout)

    def encoder(self) -> Encoder:
        """Return what makes bytes of batches."""
        lines = (
            CsvFormat(self.columns, formula_guard=self.formula_guard, bom=self.bom)
            if self.kind == "csv"
            else NdjsonFormat(self.columns)
        )
        return Encoder(lines, gzip=self.gzip)

    def arrange(self, disk: Disk, folder: Path, *, now_ms: Callable[[], int]) -> Layout:
        """Return the layout in *folder* on *disk*."""
        if self.layout == "per_delivery":
            return PerDelivery(disk, folder, self.encoder())
        return Rolling(
            disk,
            folder,
            self.encoder(),
            now_ms=now_ms,
            rotate_rows=self.rotate_rows,
            rotate_after_ms=round(self.rotate_after * 1000),
        )

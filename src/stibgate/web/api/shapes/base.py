"""What the shapes of answers are made of."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

Counts = dict[str, Annotated[int, Field(ge=0)]]
Moment = Annotated[datetime | None, Field(description="RFC 3339 UTC")]
Amount = int | float | None


class Shape(BaseModel):
    """An object with exactly these members."""

    model_config = ConfigDict(extra="forbid")


def listed(name: str, row: type[BaseModel]) -> type[BaseModel]:
    """Return the shape of a list of *row*."""
    fields: dict[str, Any] = {"data": (list[row], ...), "next_cursor": (str | None, ...)}  # type: ignore[valid-type]
    return create_model(name, __base__=Shape, **fields)


class Problem(Shape):
    """What is wrong, the id to quote and what to do (RFC 9457)."""

    type: str
    title: str
    status: int
    hint: str
    request_id: str
    exit_code: int | None = None


class Document(BaseModel):
    """A JSON object."""

    model_config = ConfigDict(extra="allow")

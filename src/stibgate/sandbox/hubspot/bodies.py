"""Request bodies: the members that there are, and nothing else.

The published documents accept unknown members; a misspelt `idproperty` would go unnoticed, so here it is refused.

Source: the public API's schemas, by name and member; sizes as documented in the guides.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stibgate.sandbox.hubspot.refusals import Refused

BATCH_MAX = 100
ASSOCIATION_READ_MAX = 1_000

Text = Annotated[str, Field(min_length=1)]
Value = str | int | float | None
Item = TypeVar("Item")
# For the description only: `read_batch` holds these bounds, in HubSpot's words.
Inputs = Annotated[list[Item], Field(json_schema_extra={"minItems": 1, "maxItems": BATCH_MAX})]


class Body(BaseModel):
    """JSON types as they are; unknown members are refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Id(Body):
    """A reference to one record."""

    id: Text


class WriteInput(Body):
    """One record to upsert or update."""

    id: Text
    properties: dict[str, Value]
    idProperty: Text | None = None  # noqa: N815
    objectWriteTraceId: Text | None = None  # noqa: N815


class Writes(Body):
    """A batch of upserts or updates."""

    inputs: Inputs[WriteInput]


class Spec(Body):
    """An association's type."""

    associationCategory: Literal["HUBSPOT_DEFINED", "USER_DEFINED", "INTEGRATOR_DEFINED"]  # noqa: N815
    associationTypeId: int  # noqa: N815


class Link(Body):
    """An association of a record that is being created."""

    to: Id
    types: Annotated[list[Spec], Field(min_length=1)]


class CreateInput(Body):
    """One record to create."""

    properties: dict[str, Value]
    associations: list[Link] = Field(default_factory=list)
    objectWriteTraceId: Text | None = None  # noqa: N815


class Creates(Body):
    """A batch of new records."""

    inputs: Inputs[CreateInput]


class Reads(Body):
    """A batch to read."""

    inputs: Inputs[Id]
    properties: list[str] = Field(default_factory=list)
    propertiesWithHistory: list[str] = Field(default_factory=list)  # noqa: N815
    idProperty: Text | None = None  # noqa: N815


class Pair(Body):
    """Two records to associate."""

    from_: Annotated[Id, Field(alias="from")]
    to: Id


class Pairs(Body):
    """A batch of associations."""

    inputs: Inputs[Pair]


class AssociationId(Body):
    """A record whose associations are read."""

    id: Text
    after: str | None = None


class AssociationReads(Body):
    """A batch of association reads."""

    inputs: Annotated[list[AssociationId], Field(json_schema_extra={"minItems": 1, "maxItems": ASSOCIATION_READ_MAX})]


class Merge(Body):
    """Two records to merge."""

    primaryObjectId: Text  # noqa: N815
    objectIdToMerge: Text  # noqa: N815


AnyBody = TypeVar("AnyBody", bound=Body)


def read(body: Any, model: type[AnyBody]) -> AnyBody:
    """Return *body* as *model*.

    Raises:
        Refused: 400, naming every member that is wrong.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        wrong = sorted({f"{_where(problem['loc'])}: {problem['msg']}" for problem in error.errors()})
        raise Refused(400, f"Invalid input JSON on line 1, column 1: {'; '.join(wrong)}") from error


def read_batch(body: Any, model: type[AnyBody], most: int = BATCH_MAX) -> AnyBody:
    """Return *body* as *model*, whose `inputs` are between one and *most*.

    Raises:
        Refused: 400.
    """
    inputs = body.get("inputs") if isinstance(body, dict) else None
    if isinstance(inputs, list) and len(inputs) > most:
        raise Refused(400, f"The maximum number of inputs supported in a batch request is {most}, got {len(inputs)}")
    if inputs == []:
        raise Refused(400, "Some required fields were not set: [inputs]")
    return read(body, model)


def refuse_duplicates(ids: list[str]) -> None:
    """Refuse a batch that names one record twice; trace ids do not help.

    Raises:
        Refused: 400 with `context.ids`.
    """
    if len(set(ids)) < len(ids):
        twice = sorted({record_id for record_id in ids if ids.count(record_id) > 1})
        message = f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique"
        raise Refused(400, message, context={"ids": twice})


def _where(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc)) or "body"

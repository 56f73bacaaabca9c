"""What the admin API's calls are told: JSON objects, and nothing that is not known."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from stibgate.errors import UsageError

TOLD_MAX = 500


class JsonBody(BaseModel):
    """A JSON object; unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """Return what the JSON object *text* asks for.

        Raises:
            UsageError: It is not one, or not as the fields say.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            told = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {said(p)}" for p in error.errors())
            raise UsageError(told[:TOLD_MAX], hint="The body is a JSON object; unknown members are refused.") from error


def said(error: ErrorDetails, unknown: str = "there is no such member") -> str:
    """Return what is wrong with a value in our words; *unknown* where nothing has its name."""
    if error["type"] == "extra_forbidden":
        return unknown
    return error["msg"].replace("Input should be", "must be").replace("Value error, ", "")

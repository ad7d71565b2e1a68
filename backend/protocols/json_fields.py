"""Reading a vendor's JSON into a pydantic model, with the core's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from backend.errors import BadJson, BadMessage, BinaryMessage

M = TypeVar("M", bound=BaseModel)

_LONGEST = 1 << 18  # characters: 20,000 of text fit, all escaped, and it is read within a turn


class Fields(BaseModel):
    """What is read of a vendor's object: fields that are not listed are ignored, null is as good as
    left out.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}


def read_message(model: type[M], message: str | bytes) -> M:
    """A WebSocket message. Raises `BinaryMessage`, `BadJson`, `BadMessage`."""
    if isinstance(message, bytes):
        raise BinaryMessage("clients send JSON text messages; audio goes only the other way")
    return read_json(model, message)


def read_json(model: type[M], body: str | bytes) -> M:
    """The body of a request, or a message. Raises `BadJson`, `BadMessage`."""
    if len(body) > _LONGEST:
        raise BadMessage(f"this may have {_LONGEST} characters, not {len(body)}; send it in parts")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _explained(error) from error


def read_query(model: type[M], query: Mapping[str, Any]) -> M:
    """The parameters of a URL. Raises `BadMessage`."""
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        raise _explained(error) from error


def _explained(error: ValidationError) -> BadJson | BadMessage:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return BadJson(first["msg"])
    where = ".".join(str(part) for part in first["loc"]) or "message"
    return BadMessage(f"{where}: {first['msg']}")

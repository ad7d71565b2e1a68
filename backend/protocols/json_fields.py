"""Parse a vendor's JSON into a pydantic model, raising the core's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from backend.errors import BadJson, BadMessage, BinaryMessage

M = TypeVar("M", bound=BaseModel)

_MAX_LENGTH = 1 << 18  # characters: fits 20,000 of text, all escaped; parsed within one loop turn


class LenientModel(BaseModel):
    """A vendor's object: unlisted fields are ignored, null counts as absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: field for name, field in value.items() if field is not None}


def read_message(model: type[M], message: str | bytes) -> M:
    """Parse a WebSocket message. Raises `BinaryMessage`, `BadJson`, `BadMessage`."""
    if isinstance(message, bytes):
        raise BinaryMessage("binary messages are not accepted; send JSON text messages")
    return read_json(model, message)


def read_json(model: type[M], body: str | bytes) -> M:
    """Parse a request body or a message. Raises `BadJson`, `BadMessage`."""
    if len(body) > _MAX_LENGTH:
        raise BadMessage(
            f"{len(body)} characters exceed the limit of {_MAX_LENGTH}; send the text in parts"
        )
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _to_client_error(error) from error


def read_query(model: type[M], query: Mapping[str, Any]) -> M:
    """Parse the query parameters of a URL. Raises `BadMessage`."""
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        raise _to_client_error(error) from error


def _to_client_error(error: ValidationError) -> BadJson | BadMessage:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return BadJson(first["msg"])
    where = ".".join(str(part) for part in first["loc"]) or "message"
    return BadMessage(f"{where}: {first['msg']}")

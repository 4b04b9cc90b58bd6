"""The wire of change sets."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.configs.levels import EnvironmentName, ServiceName
from app.core.schemas import MAX_ID, Message, Strict
from app.keys.schemas import IsEncrypted, KeyName, KeyRead

MAX_CHANGES = 10_000


class KeyChange(Strict):
    """One change of one key; `service` left out: every service."""

    service: ServiceName | None = None
    environment: EnvironmentName | None = None
    key: KeyName
    op: Literal["set", "delete", "unset"]
    value: Any = None
    is_encrypted: IsEncrypted | None = None
    expected_version: Annotated[int, Field(strict=True, ge=0, le=MAX_ID)] | None = None

    @model_validator(mode="after")
    def check_value(self) -> Self:
        """Demand a value where one is set, and none elsewhere."""
        if (self.op == "set") != ("value" in self.model_fields_set):
            raise ValueError("value belongs to op set, and only to it")
        if self.op != "set" and self.is_encrypted is not None:
            raise ValueError("is_encrypted belongs to op set")
        return self


class ChangeSet(Strict):
    """Changes of keys that are made together, or not at all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "changes": [
                        {"service": "billing", "key": "timeout", "op": "set", "value": 60},
                        {
                            "service": "shop",
                            "environment": "production",
                            "key": "banner",
                            "op": "delete",
                        },
                    ],
                    "message": "winter sale",
                }
            ]
        }
    )

    changes: Annotated[list[KeyChange], Field(min_length=1, max_length=MAX_CHANGES)]
    message: Message | None = None


class ChangeSetRead(BaseModel):
    """The revision, and the keys in the order of the changes; deleted ones without a value."""

    revision: int
    changes: list[KeyRead]

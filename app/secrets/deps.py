"""Asking for secrets."""

from typing import Annotated

from fastapi import Query

Reveal = Annotated[
    bool,
    Query(description="With `read_secrets`: secrets in the place of the bullets, in the audit"),
]

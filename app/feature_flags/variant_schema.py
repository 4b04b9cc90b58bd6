"""The JSON Schema (2020-12) that a flag's variants must fit, checked within bounds."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import jsonschema_rs

from app.flags.errors import InvalidSchema, SchemaMismatch
from app.formats.json import dumps
from app.rules.definitions import variants_of
from app.rules.errors import Code, RuleError

MAX_TEXT = 65_536  # characters of a schema
MAX_PARTS = 100_000  # of a schema and characters in it, every reference followed
MAX_WORK = 200_000_000  # parts times characters of the values: well below a second
REGEX_BYTES = 1 << 16  # compiled; the engine is linear and knows no look-around
DRAFT = "https://json-schema.org/draft/2020-12/schema"
# What makes names mean something else, or references that only evaluation finds.
REFUSED = ("$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$vocabulary")

Schema = dict[str, Any]


def check_schema(definition: Mapping[str, Any], about: str) -> None:
    """Raise InvalidSchema, or SchemaMismatch for the first variant that does not fit.

    Raise RuleError for variants that are not of the flag's type.
    """
    stored = definition.get("variant_schema")
    if stored is None:
        return
    text = dumps(stored)
    if len(text) > MAX_TEXT:
        _refuse(about, f"must have at most {MAX_TEXT:,} characters")
    schema = json.loads(text)  # numbers without a memory of how they were written
    parts = _Parts(schema, about).count(schema)
    validator = _compiled(schema, about)
    values = {name: dumps(value) for name, value in variants_of(definition).items()}
    if parts * sum(map(len, values.values())) > MAX_WORK:
        _refuse(about, "asks for too much work on values of this size")
    for name, value in values.items():
        _check(validator, name, json.loads(value), about)


def _refuse(about: str, message: str, *path: str | int) -> NoReturn:
    error = RuleError(Code.INVALID_FLAG, ("variant_schema", *path), message)
    raise InvalidSchema(error, about=about)


def _compiled(schema: Schema, about: str) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,
            validate_formats=True,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=REGEX_BYTES),
            offline=True,
        )
    except jsonschema_rs.ValidationError as error:
        _refuse(about, "is not a valid JSON Schema there", *error.instance_path)
    except ValueError:  # a reference that leads nowhere, nesting beyond what it can follow
        _refuse(about, "is not a JSON Schema that can be used")


def _check(validator: Any, name: str, value: Any, about: str) -> None:
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        path = ("variants", name, *error.instance_path)
        message = f"does not fit the schema ({error.kind.name})"
        raise SchemaMismatch(RuleError(Code.INVALID_FLAG, path, message), about=about) from None


class _Parts:
    """Counts the parts of a schema with its references followed, which may not go in circles."""

    def __init__(self, schema: Schema, about: str) -> None:
        self.defined = schema.get("$defs")
        self.about = about
        self.known: dict[str, int] = {}
        self.open: set[str] = set()

    def count(self, part: Any) -> int:
        """Return how many parts there are; raise InvalidSchema."""
        if isinstance(part, list):
            return self.bounded(1 + sum(map(self.count, part)))
        if not isinstance(part, dict):
            return 1 + len(part) if isinstance(part, str) else 1
        if part.get("$schema", DRAFT) != DRAFT:
            _refuse(self.about, f"is read as {DRAFT}", "$schema")
        for name in REFUSED:
            if name in part:
                _refuse(self.about, f"{name} cannot be used here")
        referred = self.referred(part["$ref"]) if "$ref" in part else 0
        return self.bounded(1 + referred + sum(map(self.count, part.values())))

    def referred(self, reference: Any) -> int:
        """Count what a reference leads to."""
        text = reference if isinstance(reference, str) else ""
        name = text.removeprefix("#/$defs/")
        known = self.defined if isinstance(self.defined, dict) else {}
        if name == text or name not in known or {*name} & {*"/~%"}:
            _refuse(self.about, "$ref must be #/$defs/ and a name that is there")
        if name in self.open:
            _refuse(self.about, "$ref leads in a circle")
        if name not in self.known:
            self.open.add(name)
            self.known[name] = self.count(known[name])
            self.open.remove(name)
        return self.known[name]

    def bounded(self, count: int) -> int:
        """Return the count; raise InvalidSchema where it is too large."""
        if count > MAX_PARTS:
            _refuse(self.about, f"must have at most {MAX_PARTS:,} parts, references followed")
        return count

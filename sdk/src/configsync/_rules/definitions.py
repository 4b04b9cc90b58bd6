"""What a definition says, and what it leaves to be understood."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from .errors import Code, RuleError
from .limits import MAX_VARIANTS
from .reading import a_text, an_object, is_number

Variants = Mapping[str, Any]

BOOLEAN: Final = "boolean"
IS_OF: Final[dict[str, Callable[[Any], bool]]] = {
    BOOLEAN: lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "object": lambda value: isinstance(value, dict | list),
}
DEFAULT_VARIANTS: Final = {"on": True, "off": False}
TARGET_USERS: Final = "target_users"  # ids of the two rules that are also told as members
ROLLOUT: Final = "rollout"


def type_of(definition: Mapping[str, Any]) -> str:
    """Return the type of a flag's values: boolean, string, number or object."""
    found = definition.get("type", BOOLEAN)
    if not isinstance(found, str) or found not in IS_OF:
        message = f"must be one of {', '.join(IS_OF)}"
        raise RuleError(Code.INVALID_FLAG, ("type",), message)
    return found


def variants_of(definition: Mapping[str, Any]) -> Variants:
    """Return the variants, each value checked; a boolean flag has `on` and `off` by itself."""
    kind, variants = type_of(definition), definition.get("variants")
    if variants is None and kind == BOOLEAN:
        return DEFAULT_VARIANTS
    path = ("variants",)
    variants = an_object(variants, path, Code.INVALID_FLAG)
    if not 0 < len(variants) <= MAX_VARIANTS:
        message = f"must have 1 to {MAX_VARIANTS:,} members"
        raise RuleError(Code.INVALID_FLAG, path, message)
    for name, value in variants.items():
        a_text(name, (*path, name), Code.INVALID_FLAG)
        if not IS_OF[kind](value):
            raise RuleError(Code.WRONG_TYPE, (*path, name), f"must be of the type {kind}")
    return variants


def off_variant_of(definition: Mapping[str, Any]) -> str:
    """Return the off variant: by default that which is false, named `off`, or the last."""
    variants = variants_of(definition)
    named = _named(definition, "off_variant", variants)
    return named or _likely(variants, value=False, name="off") or list(variants)[-1]


def on_variant_of(definition: Mapping[str, Any]) -> str:
    """Return the variant for those who are in.

    That is the default variant if it is not the off variant; else the one that is true, is
    named `on` or is the first that is not the off variant.
    """
    off = off_variant_of(definition)
    variants = variants_of(definition)
    named = _named(definition, "default_variant", variants)
    if named is not None and named != off:
        return named
    others = {name: value for name, value in variants.items() if name != off}
    return _likely(others, value=True, name="on") or next(iter(others), off)


def default_variant_of(definition: Mapping[str, Any], rules: list[Mapping[str, Any]]) -> str:
    """Return what is served when no rule matched.

    Without a `default_variant` it is the off variant if the flag has rules of its own, and the
    on variant if it has none but those that are told as `target_users` and
    `rollout_percentage`.
    """
    named = _named(definition, "default_variant", variants_of(definition))
    if named is not None:
        return named
    is_plain = all(rule.get("id") in {TARGET_USERS, ROLLOUT} for rule in rules)
    return on_variant_of(definition) if is_plain else off_variant_of(definition)


def _named(definition: Mapping[str, Any], member: str, variants: Variants) -> str | None:
    name = definition.get(member)
    return None if name is None else known_variant(name, variants, (member,))


def known_variant(name: Any, variants: Variants, path: tuple[str | int, ...]) -> str:
    """Return the name of a variant that the flag has."""
    if not isinstance(name, str) or name not in variants:
        raise RuleError(Code.UNKNOWN_VARIANT, path, "the flag has no such variant")
    return name


def _likely(variants: Variants, *, value: bool, name: str) -> str | None:
    """Return the first variant with the value, or that with the name."""
    matching = (known for known, stored in variants.items() if stored is value)
    return next(matching, name if name in variants else None)

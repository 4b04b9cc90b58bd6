"""The flags that OpenFeature's behaviour suite names."""

from typing import Any

TEMPLATE = {"showImages": True, "title": "Check out these pics!", "imagesPerPage": 100}
KINDS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "boolean": ("boolean", {"on": True, "off": False}, "on", "off"),
    "string": ("string", {"greeting": "hi", "parting": "bye"}, "greeting", "parting"),
    "integer": ("number", {"ten": 10, "one": 1}, "ten", "one"),
    "float": ("number", {"half": 0.5, "tenth": 0.1}, "half", "tenth"),
    "object": ("object", {"template": TEMPLATE, "empty": {}, "off": {"a": 1}}, "template", "off"),
}
ZEROS: dict[str, tuple[Any, Any]] = {
    "boolean": (False, True),
    "string": ("", "str"),
    "integer": (0, 1),
    "float": (0.0, 1.0),
    "object": ({}, TEMPLATE),
}


def equal(attribute: str, value: Any) -> dict[str, Any]:
    return {"attribute": attribute, "op": "equals", "value": value}


def served(variant: str, *conditions: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": variant, "when": {"all": [*conditions]}, "serve": {"variant": variant}}]


BALLMER = equal("email", "ballmer@macrosoft.com")
OLD = {"attribute": "age", "op": "gt", "value": 10}
NAMES = [equal("fn", "Sulisław"), equal("ln", "Świętopełk"), equal("age", 29)]


def flags() -> dict[str, dict[str, Any]]:
    """Return the members of each flag."""
    made: dict[str, dict[str, Any]] = {}
    for name, (kind, variants, default, off) in KINDS.items():
        flag = {"type": kind, "variants": variants, "default_variant": default, "off_variant": off}
        made[f"{name}-flag"] = flag
        made[f"{name}-disabled-flag"] = {**flag, "is_enabled": False}
        zero, other = ZEROS[name]
        flag = {"type": kind, "variants": {"zero": zero, "non-zero": other}}
        flag |= {"default_variant": "zero", "off_variant": "non-zero"}
        made[f"{name}-zero-flag"] = flag
        made[f"{name}-targeted-zero-flag"] = {**flag, "rules": served("zero", BALLMER)}
    internal = {"internal": "INTERNAL", "external": "EXTERNAL"}
    aware = {"type": "string", "variants": internal, "default_variant": "external"}
    customer = equal("customer", True)
    made["context-aware"] = aware | {"rules": served("internal", *NAMES, equal("customer", False))}
    made["complex-targeted"] = aware | {
        "rules": served("internal", BALLMER, OLD, {"not": customer})
    }
    uno = {"one": "uno", "two": "dos"}
    made["wrong-flag"] = {"type": "string", "variants": uno, "default_variant": "one"}
    made["metadata-flag"] = {}
    return made

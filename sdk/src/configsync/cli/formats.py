"""Configs in the formats of other programs."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from configsync.cli import files, output
from configsync.cli.failures import Failure

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_UNQUOTED = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
_XML_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def leaves(value: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (address, value) of everything that is not an object with members."""
    for name, one in value.items():
        address = f"{above}.{name}" if above else name
        if isinstance(one, dict) and one:
            yield from leaves(one, address)
        else:
            yield address, one


def variable(address: str, prefix: str = "") -> str:
    """Return the name of the environment variable for an address.

    Upper case; what is not A-Z, a-z, 0-9 becomes `_`; before a leading digit comes `_`.
    """
    name = re.sub(r"[^A-Za-z0-9]", "_", prefix + address).upper()
    return f"_{name}" if name[:1].isdigit() else name


def variables(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a config as environment variables; null is left out, arrays are JSON.

    Two addresses of one name are refused, unless their values are equal.
    """
    found: dict[str, tuple[str, str]] = {}
    for address, value in leaves(config):
        if value is None:
            continue
        name, text = variable(address, prefix), output.bare(value)
        other, before = found.setdefault(name, (address, text))
        if before != text:
            raise Failure(f"{other!r} and {address!r} would both be {name}. Rename one of them.")
    return {name: text for name, (_, text) in found.items()}


def render(config: dict[str, Any], form: str) -> str:
    """Return a config in a format, with a line end."""
    return RENDERERS[form](config).rstrip("\n") + "\n"


def _json(config: dict[str, Any]) -> str:
    return output.dumps(config, indent=2)


def _yaml(config: dict[str, Any]) -> str:
    yaml = files.yaml_or_failure()
    plain = json.loads(output.dumps(config))  # of no types but Python's own
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def _env(config: dict[str, Any]) -> str:
    return "\n".join(f"{name}={_quoted(text)}" for name, text in variables(config).items())


def _quoted(text: str) -> str:
    """Quote as both a shell and dotenv files understand it, where they agree."""
    if _UNQUOTED.fullmatch(text):
        return text
    if not set("'\\") & set(text):
        return f"'{text}'"
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'


def _properties(config: dict[str, Any]) -> str:
    lines = []
    for address, value in leaves(config):
        if value is not None:
            name = re.sub(r"([\\:=#! ])", r"\\\1", address)
            text = re.sub(r"^ |\\", r"\\\g<0>", output.bare(value))
            lines.append(f"{_escaped(name)}={_escaped(text)}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    units = text.encode("utf-16-be")
    plain = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    codes = (int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))
    return "".join(
        plain.get(chr(code)) or (chr(code) if 0x20 <= code < 0x7F else f"\\u{code:04x}")  # noqa: PLR2004  (what ASCII prints)
        for code in codes
    )


def _xml(config: dict[str, Any]) -> str:
    root = ET.Element("config")
    _element(root, config)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _element(element: ET.Element, value: Any) -> None:
    """Fill an element; whatever is not text says its type."""
    if isinstance(value, dict):
        for name, one in value.items():
            fits = _XML_NAME.fullmatch(name) and not name.lower().startswith("xml")
            child = ET.SubElement(
                element, name if fits else "entry", {} if fits else {"name": name}
            )
            _element(child, one)
    elif isinstance(value, list):
        element.set("type", "array")
        for one in value:
            _element(ET.SubElement(element, "item"), one)
    elif isinstance(value, str):
        if _NO_XML.search(value):
            raise Failure("XML cannot hold the control characters of a value. Use another format.")
        element.text = value
    else:
        kind = "null" if value is None else "boolean" if isinstance(value, bool) else "number"
        element.set("type", kind)
        element.text = "" if value is None else output.dumps(value)


def _toml(config: dict[str, Any]) -> str:
    return "\n".join(_toml_table(config, ()))


def _toml_table(table: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    values = {name: one for name, one in table.items() if not isinstance(one, dict)}
    for name, one in values.items():
        if one is None:
            output.say(f"TOML has no null: {'.'.join((*path, name))} is left out.")
        else:
            yield f"{_toml_name(name)} = {_toml_value(one)}"
    for name, one in table.items():
        if isinstance(one, dict):
            inner = (*path, name)
            yield f"\n[{'.'.join(map(_toml_name, inner))}]"
            yield from _toml_table(one, inner)


def _toml_name(name: str) -> str:
    return name if _BARE.fullmatch(name) else _toml_text(name)


def _toml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_value(value: Any) -> str:
    if value is None:
        raise Failure("TOML has no null, which stands in an array. Use another format.")
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, dict):
        members = (f"{_toml_name(name)} = {_toml_value(one)}" for name, one in value.items())
        return f"{{ {', '.join(members)} }}"
    return json.dumps(value)


RENDERERS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "json": _json,
    "yaml": _yaml,
    "toml": _toml,
    "xml": _xml,
    "env": _env,
    "properties": _properties,
}

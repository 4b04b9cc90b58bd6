"""Files that people write: JSON or YAML."""

import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configsync.cli import keys, output
from configsync.cli.failures import Code, Failure

BOOLEAN = "tag:yaml.org,2002:bool"
KINDS = {str: "text", bool: "true or false", int: "a whole number", list: "a list"}


def read(name: str) -> str:
    """Return the text of a file; `-` is standard input."""
    if name == "-":
        return output.typed(sys.stdin.read).removeprefix("\ufeff")
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Failure(f"Cannot read {name}: {error.strerror}.", Code.USAGE) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{name} is not UTF-8.", Code.USAGE) from error


def parse(text: str, name: str) -> Any:
    """Return what JSON says, else what YAML says."""
    try:
        return keys.parsed(text)
    except keys.TooDeepError as error:
        raise Failure(f"{name} cannot be used: {error}.", Code.USAGE) from error
    except ValueError as error:
        if name.endswith(".json") or text.lstrip().startswith(("{", "[")):
            raise Failure(f"{name} is not JSON: {error}.", Code.USAGE) from error
    try:
        return _checked(keys.shallow(_yaml(text, name)), name)
    except (keys.TooDeepError, RecursionError):
        raise Failure(f"{name} cannot be used: {keys.TooDeepError()}.", Code.USAGE) from None


def _yaml(text: str, name: str) -> Any:
    yaml = yaml_or_failure()

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """One that refuses a member that stands twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            names = [one.value for one, _ in node.value if isinstance(one.value, str)]
            if len(names) > len(set(names)):
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"a member stands twice in the object of line {line}")
            return super().construct_mapping(node, deep)

    # As YAML 1.2 has it: on, off, yes and no are texts, names of variants and countries.
    Loader.yaml_implicit_resolvers = {
        first: [one for one in resolvers if one[0] != BOOLEAN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(
        BOOLEAN, re.compile(r"(true|True|TRUE|false|False|FALSE)$"), "tTfF"
    )
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise Failure(f"{name} is not YAML: {' '.join(str(error).split())}.", Code.USAGE) from error


def yaml_or_failure() -> Any:
    """Return the package for YAML, or raise Failure."""
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415  (only where YAML is used)
    except ModuleNotFoundError:
        raise Failure("YAML needs one more package: pip install pyyaml. JSON does not.") from None
    return yaml


def _checked(value: Any, name: str) -> Any:
    """Return a value that JSON can hold, or raise Failure; YAML has dates and more."""
    if isinstance(value, dict):
        odd = next((one for one in value if not isinstance(one, str)), None)
        if odd is not None:
            raise Failure(f"{name}: the name {odd!r} must be in quotes.", Code.USAGE)
        return {key: _checked(one, name) for key, one in value.items()}
    if isinstance(value, list):
        return [_checked(one, name) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise Failure(f"{name}: {value} must be in quotes, JSON has no such number.")
    if value is None or isinstance(value, str | int | float):
        return value
    raise Failure(f"{name}: {value} must be in quotes, JSON has no such type.", Code.USAGE)


def check_members(found: Mapping[str, Any], members: Mapping[str, type], where: str) -> None:
    """Raise Failure for a member that is none of those, or of another type; null always fits."""
    for name, value in found.items():
        if name not in members:
            known = ", ".join(members)
            raise Failure(f"{where} has a member {name!r}, which is none of {known}.")
        kind = members[name]
        is_bool = isinstance(value, bool) and kind not in {bool, object}
        if value is not None and (is_bool or not isinstance(value, kind)):
            raise Failure(f"{where}: {name} must be {KINDS[kind]}.")

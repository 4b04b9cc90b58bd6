"""The two tables of docs/flags-evaluation.md, read as what they say."""

import json
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).parents[2] / "docs" / "flags-evaluation.md"
TYPES = ("missing, null", "text", "number", "boolean", "list", "object")


class Example(NamedTuple):
    """One line of the second table."""

    operator: str
    operand: dict[str, Any]
    attribute: Any
    outcome: bool

    @property
    def kind(self) -> str:
        return kind_of(self.attribute)

    def condition(self, attribute: str = "a", **more: Any) -> dict[str, Any]:
        return {"attribute": attribute, "op": self.operator, **self.operand, **more}


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "text", int: "number", float: "number", list: "list", dict: "object"}
    return names[type(value)]


def rows(heading: str) -> list[dict[str, str]]:
    """Return the lines of the first table under a heading, by the names of its columns."""
    text = PAGE.read_text().split(f"### {heading}\n", 1)[1].split("\n|", 1)[1].split("\n\n", 1)[0]
    first, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
    ]
    return [dict(zip(first, line, strict=True)) for line in lines]


def outcomes() -> dict[str, dict[str, str]]:
    """Return the first table: by operator and type of the attribute."""
    return {
        row["operator"].strip("`"): {kind: row[kind] for kind in TYPES} for row in rows("Operators")
    }


def examples() -> list[Example]:
    """Return the second table, and an operand for the operator that has none."""
    found = [
        Example(
            row["operator"].strip("`"),
            json.loads("{" + row["operand"].strip("`") + "}"),
            json.loads(row["attribute"].strip("`")),
            row["outcome"] == "true",
        )
        for row in rows("What comes out")
    ]
    return found + [Example("exists", {}, value, True) for value in ("", 0, False, [], {})]

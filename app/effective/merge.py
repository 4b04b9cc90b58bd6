"""Merging the documents of several levels into what a service sees (no SQL, no HTTP).

Later levels win. Objects merge member by member; arrays and scalars replace; null is a value;
`{"$unset": true}` takes away what was inherited. A value's address is its path with dots, however
a document spells it: `{"a.b": 1}` and `{"a": {"b": 1}}` give the same address `a.b`, and what a
narrower level says of an address holds, however a wider one spelled it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.configs.values import is_unset

Spelling = tuple[str, ...]

MAX_STEPS = 100
"""Dots of a name that lead somewhere; what follows is taken literally."""


@dataclass(slots=True)
class Node:
    """What the levels say of one address: a value, or an object with members below.

    `spelling` is the path in the narrowest document that has it, `level` that document's place
    in the list, `nested` the path of a wider document that spells it member by member. `hidden`
    are the values that narrower levels replaced, widest first, as (level, value).
    """

    spelling: Spelling
    level: int
    value: Any = None
    members: dict[str, "Node"] | None = None
    nested: Spelling | None = None
    hidden: list[tuple[int, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value at an address comes from, and what it hides, widest first."""

    address: str
    value: Any
    level: int
    hidden: Sequence[tuple[int, Any]]


def merge(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge documents, widest level first; the result shares no object with them."""
    if any(map(has_dotted_names, documents)):
        return render(combine(documents))
    merged: dict[str, Any] = {}
    for document in documents:
        _merge_plain(merged, document)
    return merged


def has_dotted_names(value: Any) -> bool:
    """Say whether any object in a value has a member whose name contains a dot."""
    if isinstance(value, dict):
        return any("." in name or has_dotted_names(item) for name, item in value.items())
    return False


def _merge_plain(into: dict[str, Any], document: Mapping[str, Any]) -> None:
    for name, value in document.items():
        if is_unset(value):
            into.pop(name, None)
        elif isinstance(value, dict):
            below = into.get(name)
            if not isinstance(below, dict):
                below = into[name] = {}
            _merge_plain(below, value)
        else:
            into[name] = value


def combine(documents: Sequence[Mapping[str, Any]]) -> Node:
    """Return the tree of addresses of all documents, widest level first."""
    root = Node((), 0, members={})
    for level, document in enumerate(documents):
        _combine(root, document, (), level)
    return root


def _combine(node: Node, document: Mapping[str, Any], path: Spelling, level: int) -> None:
    """Put the members of an object below a node; literal spellings come last and win."""
    for name in sorted(document, key=lambda name: "." in name):
        steps = name.split(".", MAX_STEPS)
        spelling = (*path, name)
        _put(_descend(node, steps[:-1], level), steps[-1], document[name], spelling, level)


def _descend(node: Node, steps: Sequence[str], level: int) -> Node:
    """Go down by the steps of a dotted name, making objects on the way."""
    for step in steps:
        assert node.members is not None
        below = node.members.get(step)
        if below is None or below.members is None:
            below = Node((), level, members={}, hidden=_hidden(below, level))
            node.members[step] = below
        node = below
    return node


def _put(parent: Node, step: str, value: Any, spelling: Spelling, level: int) -> None:
    assert parent.members is not None
    old = parent.members.get(step)
    if is_unset(value):
        parent.members.pop(step, None)
        return
    if isinstance(value, dict):
        if old is None or old.members is None:
            old = Node(spelling, level, members={}, hidden=_hidden(old, level))
            parent.members[step] = old
        old.spelling, old.level = spelling, level
        _combine(old, value, spelling, level)
        return
    nested = None
    if old is not None and old.members is None:
        nested = old.nested or (old.spelling if _is_nested(old.spelling) else None)
    parent.members[step] = Node(
        spelling,
        level,
        value=value,
        nested=nested if nested != spelling else None,
        hidden=_hidden(old, level),
    )


def _hidden(old: Node | None, level: int) -> list[tuple[int, Any]]:
    if old is None:
        return []
    if old.level == level:  # the same document spells the address twice
        return old.hidden
    return [*old.hidden, (old.level, _plain(old))]


def _plain(node: Node) -> Any:
    """Return what stands at a node, addresses written as nested objects."""
    if node.members is None:
        return node.value
    whole: dict[str, Any] = {}
    todo: list[tuple[dict[str, Any], Node]] = [(whole, node)]
    while todo:
        into, above = todo.pop()
        for step, below in (above.members or {}).items():
            if below.members is None:
                into[step] = below.value
            else:
                into[step] = {}
                todo.append((into[step], below))
    return whole


def _is_nested(spelling: Spelling) -> bool:
    return len(spelling) > 1 and not any("." in name for name in spelling)


def render(root: Node) -> dict[str, Any]:
    """Write a tree as an object, each value where its narrowest level spells it.

    Where that is a dotted name and a wider level has it nested, it stands in both places, so
    that a service finds it whichever way it looks.
    """
    document: dict[str, Any] = {}
    for _, below in _leaves(root):
        value = {} if below.members is not None else below.value
        _place(document, below.spelling, value)
        if below.nested is not None:
            _place(document, below.nested, value)
    return document


def _leaves(root: Node) -> Iterator[tuple[Spelling, Node]]:
    """Yield, with their addresses, the nodes that have a value, or are an empty object.

    Without recursion: a dotted name may lead deeper than the stack goes.
    """
    todo: list[tuple[Spelling, Node]] = [((), root)]
    while todo:
        address, node = todo.pop()
        if node.members:
            todo += [((*address, step), node.members[step]) for step in reversed(node.members)]
        elif node.members is None or node.spelling:
            yield address, node


def _place(document: dict[str, Any], path: Spelling, value: Any) -> None:
    for name in path[:-1]:
        below = document.get(name)
        if not isinstance(below, dict):
            below = document[name] = {}
        document = below
    if isinstance(value, dict) and isinstance(document.get(path[-1]), dict):
        return
    document[path[-1]] = value


def origins(documents: Sequence[Mapping[str, Any]]) -> list[Origin]:
    """Return, for every value of the merged document, its address and where it comes from."""
    return [
        Origin(
            ".".join(address),
            {} if node.members is not None else node.value,
            node.level,
            node.hidden,
        )
        for address, node in _leaves(combine(documents))
    ]


def spelled_twice(document: Mapping[str, Any]) -> list[str]:
    """Return the addresses that one document spells more than one way."""
    seen: dict[str, Spelling] = {}
    twice: dict[str, None] = {}
    for address, spelling in _spellings(document, ()):
        if seen.setdefault(address, spelling) != spelling:
            twice[address] = None
    return list(twice)


def _spellings(document: Mapping[str, Any], path: Spelling) -> Iterator[tuple[str, Spelling]]:
    for name, value in document.items():
        spelling = (*path, name)
        if isinstance(value, dict) and value and not is_unset(value):
            yield from _spellings(value, spelling)
        else:
            yield ".".join(spelling), spelling


MISSING: Any = object()


def look_up(document: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key, literally or as a dotted path, or MISSING."""
    if key in document:
        return document[key]
    head, dot, rest = key.partition(".")
    while dot:
        below = document.get(head)
        if isinstance(below, dict) and (found := look_up(below, rest)) is not MISSING:
            return found
        step, dot, rest = rest.partition(".")
        head = f"{head}.{step}"
    return MISSING

"""Merging the documents of several levels into what a service sees (no SQL, no HTTP).

Later levels win. Objects merge member by member; arrays and scalars replace; null is a value;
`{"$unset": true}` takes away what was inherited. A value's address is its path with dots, however
a document spells it: `{"a.b": 1}` and `{"a": {"b": 1}}` give the same address `a.b`, and what a
narrower level says of an address holds, however a wider one spelled it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.formats.values import is_unset
from app.secrets.markers import is_object

Path = tuple[str, ...]

MAX_STEPS = 100
"""Dots of a name that lead somewhere; what follows is taken literally."""


MISSING: Any = object()


@dataclass(slots=True)
class Node:
    """What the levels say of one address: a value, objects, and what lies below it.

    `places` are the paths under which documents have the value, the narrowest first; `objects`
    those under which they have an object. What lies below may belong to such an object, or be
    spelled by a dotted name; `log` and `log.file` may both have a value. `level` is the
    narrowest document's place in the list. `hidden` are the values that narrower levels
    replaced, widest first, as (level, value).
    """

    level: int = 0
    value: Any = MISSING
    places: list[Path] = field(default_factory=list)
    objects: list[Path] = field(default_factory=list)
    members: dict[str, "Node"] = field(default_factory=dict)
    hidden: list[tuple[int, Any]] = field(default_factory=list)

    def hide(self, level: int) -> None:
        """Remember what a narrower level is about to replace."""
        if self.level == level:  # the same document spells the address twice
            return
        if self.value is not MISSING:
            self.hidden.append((self.level, self.value))
        elif self.objects:
            self.hidden.append((self.level, _plain(self)))

    def clear(self) -> None:
        """Take away the value, and the objects with all that belongs to them."""
        self.value, self.places = MISSING, []
        objects, self.objects = self.objects, []
        if objects:
            _drop(self, tuple(objects))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value at an address comes from, and what it hides, widest first."""

    address: str
    value: Any
    level: int
    hidden: Sequence[tuple[int, Any]]


def merge(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge documents, widest level first; they are left as they are."""
    if any(map(has_dotted_names, documents)):
        return render(combine(documents))
    merged: dict[str, Any] = {}
    for document in documents:
        _merge_plain(merged, document)
    return merged


def has_dotted_names(value: Any) -> bool:
    """Say whether any object in a value has a member whose name contains a dot."""
    if is_object(value):
        return any("." in name or has_dotted_names(item) for name, item in value.items())
    return False


def _merge_plain(into: dict[str, Any], document: Mapping[str, Any]) -> None:
    for name, value in document.items():
        if is_unset(value):
            into.pop(name, None)
        elif is_object(value):
            below = into.get(name)
            if not is_object(below):
                below = into[name] = {}
            _merge_plain(below, value)
        else:
            into[name] = value


def combine(documents: Sequence[Mapping[str, Any]]) -> Node:
    """Return the tree of addresses of all documents, widest level first."""
    root = Node()
    for level, document in enumerate(documents):
        _combine(root, document, (), level)
    return root


def _combine(node: Node, document: Mapping[str, Any], path: Path, level: int) -> None:
    """Put the members of an object below a node; literal spellings come last and win."""
    for name in sorted(document, key=lambda name: "." in name):
        steps = name.split(".", MAX_STEPS)
        if is_unset(document[name]):
            _unset(node, steps)
            continue
        at = node
        for step in steps:
            at = at.members.setdefault(step, Node(level))
        _put(at, document[name], (*path, name), level)


def _unset(node: Node, steps: Sequence[str]) -> None:
    """Take away what is inherited at an address; nothing comes into being by it."""
    *above, last = steps
    for step in above:
        if step not in node.members:
            return
        node = node.members[step]
    node.members.pop(last, None)


def _put(node: Node, value: Any, path: Path, level: int) -> None:
    if is_object(value):
        if node.value is not MISSING:
            node.hide(level)
            node.value, node.places = MISSING, []
        node.objects = [path, *(place for place in node.objects if place != path)]
        node.level = level
        _combine(node, value, path, level)
        return
    node.hide(level)
    wider = [place for place in node.places if place != path and "." not in place[-1]]
    node.clear()
    node.value, node.places, node.level = value, [path, *wider], level


def _drop(root: Node, objects: tuple[Path, ...]) -> None:
    """Take away what belongs to objects, below a node; dotted names beside them stay."""
    order = [root]
    for node in order:
        order.extend(node.members.values())
    for node in reversed(order):
        node.members = {step: below for step, below in node.members.items() if _is_said(below)}
        if node is not root:
            node.places = [one for one in node.places if not _within(one, objects)]
            node.objects = [one for one in node.objects if not _within(one, objects)]
            if not node.places:
                node.value = MISSING


def _within(path: Path, objects: tuple[Path, ...]) -> bool:
    return any(path[: len(one)] == one for one in objects)


def _is_said(node: Node) -> bool:
    return node.value is not MISSING or bool(node.objects) or bool(node.members)


def _plain(root: Node) -> dict[str, Any]:
    """Return what lies below a node, addresses written as nested objects."""
    whole: dict[str, Any] = {}
    todo = [(whole, root)]
    while todo:
        into, above = todo.pop()
        for step, below in above.members.items():
            if below.value is not MISSING:
                into[step] = below.value
            else:
                into[step] = {}
                todo.append((into[step], below))
    return whole


def render(root: Node) -> dict[str, Any]:
    """Write a tree as an object, each value where its narrowest level has it.

    Where that is a dotted name and a wider level has it in an object, or an object is spelled
    both ways, it stands in both places, so that a service finds it whichever way it looks.
    """
    document: dict[str, Any] = {}
    for found in _walk(root):
        for path in found.node.objects if not found.node.members else ():
            _place(document, path, {})
        for path in found.paths():
            _place(document, path, found.node.value)
    return document


@dataclass(frozen=True, slots=True)
class _Found:
    """A node, its address, and the objects around it that are spelled more than one way."""

    node: Node
    address: Path
    around: tuple[Node, ...]

    def paths(self) -> dict[Path, None]:
        """Return all paths under which the value stands: its own, and through objects around."""
        found = dict.fromkeys(self.node.places)
        for path in self.node.places:
            for node in self.around:
                own = next((one for one in node.objects if path[: len(one)] == one), None)
                if own is not None:
                    found |= {(*place, *path[len(own) :]): None for place in node.objects}
        return found


def _walk(root: Node) -> Iterator[_Found]:
    """Yield the nodes that say something, outer ones first.

    Without recursion: a dotted name may lead deeper than the stack goes.
    """
    todo = [_Found(root, (), ())]
    while todo:
        found = todo.pop()
        node = found.node
        if node.value is not MISSING or node.objects:
            yield found
        around = (*found.around, node) if len(node.objects) > 1 else found.around
        todo += [
            _Found(node.members[step], (*found.address, step), around)
            for step in reversed(node.members)
        ]


def _place(document: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        below = document.get(name)
        if not is_object(below):
            below = document[name] = {}
        document = below
    if value == {} and is_object(document.get(path[-1])):
        return
    document[path[-1]] = value


def origins(documents: Sequence[Mapping[str, Any]]) -> list[Origin]:
    """Return, for every value of the merged document, its address and where it comes from."""
    return [
        Origin(
            ".".join(found.address),
            {} if found.node.value is MISSING else found.node.value,
            found.node.level,
            found.node.hidden,
        )
        for found in _walk(combine(documents))
        if found.node.value is not MISSING or not found.node.members
    ]


def spelled_twice(document: Mapping[str, Any]) -> list[str]:
    """Return the addresses that one document spells more than one way."""
    seen: dict[str, Path] = {}
    twice: dict[str, None] = {}
    for address, spelling in _spellings(document, ()):
        if seen.setdefault(address, spelling) != spelling:
            twice[address] = None
    return list(twice)


def _spellings(document: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Path]]:
    for name, value in document.items():
        spelling = (*path, name)
        if is_object(value) and value and not is_unset(value):
            yield from _spellings(value, spelling)
        else:
            yield ".".join(spelling), spelling


def find(document: Mapping[str, Any], key: str) -> tuple[str, Any]:
    """Return the member that a key leads into, and its value: literally, or as a dotted path.

    The value is MISSING when there is none.
    """
    if key in document:
        return key, document[key]
    head, dot, rest = key.partition(".")
    while dot:
        below = document.get(head)
        if is_object(below) and (found := find(below, rest)[1]) is not MISSING:
            return head, found
        step, dot, rest = rest.partition(".")
        head = f"{head}.{step}"
    return key, MISSING


def look_up(document: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key, literally or as a dotted path, or MISSING."""
    return find(document, key)[1]

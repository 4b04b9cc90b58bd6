"""Hearing of changes: the server's stream, opened again whenever it breaks."""

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from configsync._errors import ConfigSyncError, Gone, ServerUnreachable, TryAgain
from configsync.cli import output
from configsync.cli.api import Api, NotUnderstood, Query, expect, understood

LONGEST_WAIT_S = 30.0


@dataclass(frozen=True)
class Event:
    """Something that came: `hello` and `change` of the server, `gap` where something was missed."""

    kind: str
    data: Any


@dataclass
class _Place:
    """Where the stream goes on, and how often it has failed since something came."""

    cursor: str | None = None
    failures: int = 0
    has_begun: bool = False


def follow(api: Api, query: Query, *, has_begun: bool = False) -> Iterator[Event]:
    """Yield what happens, for ever; raise what cannot get better by waiting.

    Before it `has_begun`, a server that cannot be reached is taken for a wrong address.
    """
    place = _Place(has_begun=has_begun)
    while True:
        try:
            yield from _listen(api, query, place)
            _pause(place, "The stream ended", None)
        except Gone:
            output.say("configsync: changes may have been missed; going on from now.")
            place.cursor = None
            yield Event("gap", {})
        except (ServerUnreachable, TryAgain) as error:
            if not place.has_begun:
                raise
            _pause(place, str(error), error)


def _listen(api: Api, query: Query, place: _Place) -> Iterator[Event]:
    with api.stream(query, place.cursor) as lines:
        for frame in frames(lines):
            place.cursor = frame.get("id", place.cursor)
            kind = frame.get("event", "")
            if kind == "end":
                return
            if kind:
                place.has_begun, place.failures = True, 0
                yield Event(kind, _data(frame))


def _data(frame: dict[str, str]) -> Any:
    try:
        found = understood(frame.get("data", ""))
    except ValueError:
        raise NotUnderstood("an event is no JSON") from None
    expect(found)
    return found


def frames(lines: Iterable[bytes]) -> Iterator[dict[str, str]]:
    """Yield the members of each frame; comments have none and are left out."""
    members: dict[str, str] = {}
    for line in lines:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text and members:
            yield members
            members = {}
        elif text and not text.startswith(":"):
            name, _, value = text.partition(":")
            members[name] = value.removeprefix(" ")


def _pause(place: _Place, why: str, error: ConfigSyncError | None) -> None:
    """Wait before the next try: longer each time, and not all listeners at once."""
    if place.failures == 0:
        output.say(f"configsync: {why.rstrip('.')}; trying again.")
    least = getattr(error, "retry_after", None) or 0.0
    wait = min(LONGEST_WAIT_S, 0.5 * 2**place.failures)
    place.failures += 1
    time.sleep(least + random.uniform(wait / 2, wait))  # noqa: S311  (spreads load)

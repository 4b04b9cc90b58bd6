"""Which flags have grown stale: a pure function of what is known of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Reason(StrEnum):
    """Why a flag may go."""

    EXPIRED = "expired"
    ONE_VARIANT = "one_variant"
    NEVER_SEEN = "never_seen"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Life:
    """A flag in an environment: its state, and since when it is so."""

    is_enabled: bool
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    is_needed: bool
    """Another flag has it as a prerequisite, which asks for it unseen."""


@dataclass(frozen=True, slots=True)
class Given:
    """A variant that was served."""

    variant: str
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Stale:
    """One reason, since when it holds, and the next step."""

    reason: Reason
    since: datetime
    hint: str
    variant: str | None = None


def stale(life: Life, given: Sequence[Given], *, now: datetime, edge: datetime) -> list[Stale]:
    """Return why a flag is stale: what has been so since `edge` or longer."""
    found = (
        _expired(life, now),
        _one_variant(life, given, edge),
        _never_seen(life, given, edge),
        _off(life, edge),
    )
    return [one for one in found if one is not None]


def _expired(life: Life, now: datetime) -> Stale | None:
    if life.expires_at is None or life.expires_at > now:
        return None
    hint = "Its time is over: take it out of the code and delete it, or give it another expires_at."
    return Stale(Reason.EXPIRED, life.expires_at, hint)


def _one_variant(life: Life, given: Sequence[Given], edge: datetime) -> Stale | None:
    recent = {one.variant for one in given if one.last_seen > edge}
    if not life.is_enabled or len(recent) != 1:
        return None
    (variant,) = recent
    since = max(
        life.updated_at,
        min(one.first_seen for one in given if one.variant == variant),
        *(one.last_seen for one in given if one.variant != variant),
    )
    hint = f"Everybody gets '{variant}': make that the code's only way, then delete the flag."
    return Stale(Reason.ONE_VARIANT, since, hint, variant) if since <= edge else None


def _never_seen(life: Life, given: Sequence[Given], edge: datetime) -> Stale | None:
    since = max((one.last_seen for one in given), default=life.created_at)
    since = max(since, life.created_at)
    if life.is_needed or since > edge:
        return None
    hint = "Nobody asks for it: delete it, unless the code that will ask is still to come."
    return Stale(Reason.NEVER_SEEN, since, hint)


def _off(life: Life, edge: datetime) -> Stale | None:
    if life.is_enabled or life.updated_at > edge:
        return None
    hint = "It is off, and nobody has touched it: delete it, or switch it on."
    return Stale(Reason.OFF, life.updated_at, hint)

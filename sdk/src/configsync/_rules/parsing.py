"""Versions, moments and networks, out of texts; None where the text is none."""

import re
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Version = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]

MAX_VERSION = 256  # characters
MAX_ADDRESS = 64
MAPPED = 96  # bits in front of an IPv4 address within IPv6
SECOND = 1_000_000  # microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]((?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,30})?)"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)
_VERSION = re.compile(
    r"[vV]?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)


def version(text: Any) -> Version | None:
    """Return what orders a semantic version (2.0); a `v` before it and missing parts are fine."""
    if not isinstance(text, str) or len(text) > MAX_VERSION:
        return None
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    major, minor, patch, early = found.groups()
    identifiers = tuple(map(_identifier, early.split("."))) if early else ()
    return int(major), int(minor or 0), int(patch or 0), not early, identifiers


def _identifier(text: str) -> tuple[bool, int, str]:
    """Order numbers before texts."""
    return (False, int(text), "") if text.isdigit() else (True, 0, text)


def moment(text: Any) -> int | None:
    """Return the microseconds since 1970 of an RFC 3339 time; without a zone it is UTC.

    A date alone is its first moment.
    """
    found = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    day, time, zone = found.groups()
    offset = "+00:00" if zone in {None, "Z", "z"} else zone
    try:
        return (datetime.fromisoformat(f"{day}T{time or '00:00:00'}{offset}") - _EPOCH) // (
            _MICROSECOND
        )
    except (ValueError, OverflowError):
        return None


def address(text: Any) -> Address | None:
    """Return an IP address; one of IPv4 within IPv6 is one of IPv4."""
    if not isinstance(text, str) or len(text) > MAX_ADDRESS:
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def network(text: Any) -> Network | None:
    """Return a network in CIDR form; an address alone is the network of it alone."""
    if not isinstance(text, str) or len(text) > MAX_ADDRESS:
        return None
    if "/" in text and not text.partition("/")[2].isdecimal():  # a mask
        return None
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(found, IPv6Network) and found.prefixlen >= MAPPED:
        inner = found.network_address.ipv4_mapped
        return IPv4Network((inner, found.prefixlen - MAPPED)) if inner else found
    return found

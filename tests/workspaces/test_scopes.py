"""Scopes: what a key's patterns and networks cover, and when one key is part of another."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.workspaces.permissions import Permission
from app.workspaces.scopes import Scopes, check_network, check_pattern, covered

names = st.text("abAB._:-", min_size=1, max_size=8)
patterns = st.text("abAB._:-*", min_size=1, max_size=8).filter(lambda one: one.count("*") <= 4)
lists = st.lists(patterns, min_size=1, max_size=3).map(tuple)
networks = st.ip_addresses(v=4).flatmap(
    lambda one: st.integers(0, 32).map(lambda bits: str(ip_network((one, bits), strict=False)))
)
scopes = st.builds(
    Scopes,
    st.frozensets(st.sampled_from(Permission)),
    lists,
    lists,
    st.lists(networks, max_size=3).map(tuple),
)


@dataclass
class At:
    name: str
    environment: str | None = None


def slow_match(pattern: str, name: str) -> bool:
    """Match without regular expressions."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return slow_match(pattern[1:], name) or (bool(name) and slow_match(pattern, name[1:]))
    return bool(name) and pattern[0] == name[0] and slow_match(pattern[1:], name[1:])


@given(names, lists)
def test_a_name_is_covered_when_a_pattern_fits(name: str, patterns: tuple[str, ...]):
    assert covered(name, patterns) == any(slow_match(pattern, name) for pattern in patterns)


@given(names)
def test_a_name_covers_only_itself(name: str):
    assert covered(name, (name,))
    assert not covered(name + "x", (name,))
    assert not covered("x" + name, (name,))
    assert not covered(name.swapcase(), (name,)) or name == name.swapcase()


@given(lists)
def test_only_a_star_covers_what_is_wider(patterns: tuple[str, ...]):
    assert covered(None, patterns) == ("*" in patterns)
    assert covered("_global", patterns) == ("*" in patterns or "_global" in patterns)
    assert covered("_global", (*patterns, "_global"))


@given(scopes, scopes, names, st.none() | names)
def test_what_a_part_covers_the_whole_covers(
    whole: Scopes, part: Scopes, name: str, environment: str | None
):
    if whole.contains(part):
        assert part.actions <= whole.actions
        if part.covers(At(name, environment)):
            assert whole.covers(At(name, environment))


@given(scopes, scopes, st.ip_addresses(v=4))
def test_what_a_part_admits_the_whole_admits(whole: Scopes, part: Scopes, address):
    if whole.contains(part) and part.admits(str(address)):
        assert whole.admits(str(address))


@given(scopes)
def test_scopes_contain_themselves_and_all_contains_them(some: Scopes):
    assert some.contains(some)
    assert Scopes(frozenset(Permission)).contains(some)


@given(networks, st.ip_addresses(v=4))
def test_a_network_admits_its_addresses(network: str, address):
    some = Scopes(frozenset(), addresses=(network,))
    inside = ip_address(address) in ip_network(network)
    assert some.admits(str(address)) == inside
    assert some.admits(f"::ffff:{address}") == inside


@pytest.mark.parametrize("address", [None, "", "testclient", "10.0.0.1, 10.0.0.2", "fe80::1"])
def test_a_confined_key_is_not_admitted_from_nowhere(address: str | None):
    assert not Scopes(frozenset(), addresses=("10.0.0.0/8",)).admits(address)
    assert Scopes(frozenset()).admits(address)


@given(patterns)
def test_good_patterns_are_taken_as_they_are(pattern: str):
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize("pattern", ["", "a b", "é", "a/b", "a\n", "*" * 5, "a" * 101, "a%", "[a]"])
def test_patterns_that_are_none(pattern: str):
    with pytest.raises(ValueError, match=r"must|may"):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
    ],
)
def test_networks_are_kept_in_their_usual_spelling(given: str, kept: str):
    assert check_network(given) == kept


@pytest.mark.parametrize("address", ["", "here", "10.0.0.256", "10.0.0.0/33", "10.0.0.0/8/8", "*"])
def test_networks_that_are_none(address: str):
    with pytest.raises(ValueError, match="must be"):
        check_network(address)

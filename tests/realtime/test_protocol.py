"""Answers from memory on a socket: in one piece, in their order, whole when the connection ends."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.client import Person
from tests.realtime.conftest import Place

TIMES = 50


@pytest.fixture
def reader(place: Place) -> Person:
    """Return a caller whose reads of `billing` are answered from memory."""
    owner = place.person()
    owner.update("billing", {"a": 1})
    reader, _ = place.key(owner)
    for _ in range(2):
        assert reader.get("/config/billing").json()["config"] == {"a": 1}
    return reader


@contextmanager
def connected(place: Place) -> Iterator[socket.socket]:
    address = place.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=10) as link:
        yield link


def asked(reader: Person, *headers: str, path: str = "/config/billing") -> bytes:
    shown = [f"GET {path} HTTP/1.1", "Host: x", f"X-API-Key: {reader.token}", *headers]
    return "\r\n".join([*shown, "", ""]).encode()


def read_all(link: socket.socket) -> bytes:
    return b"".join(iter(lambda: link.recv(65536), b""))


def test_head_and_body_come_together(place: Place, reader: Person):
    with connected(place) as link:
        for _ in range(TIMES):
            link.send(asked(reader))
            head, _, body = link.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert f"content-length: {len(body)}".encode() in head


def test_what_is_asked_at_once_is_answered_in_order(place: Place, reader: Person):
    """Also where the framework answers between two answers from memory."""
    wrong = asked(reader, path="/config/billing?nonsense=1")
    with connected(place) as link:
        link.send(asked(reader) + wrong + asked(reader) + asked(reader, "Connection: close"))
        said = read_all(link)
    assert re.findall(rb"HTTP/1\.1 (\d+)", said) == [b"200", b"422", b"200", b"200"]
    assert said.count(b'"a":1') == 3
    assert said.endswith(b"}")


def test_an_answer_without_a_body_comes_whole(place: Place, reader: Person):
    etag = reader.get("/config/billing").headers["etag"]
    with connected(place) as link:
        link.send(asked(reader, f"If-None-Match: {etag}", "Connection: close"))
        said = read_all(link)
    assert said.startswith(b"HTTP/1.1 304 ")
    assert said.endswith(b"\r\n\r\n")

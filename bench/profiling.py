"""Where an update spends its time, in this process: the event loop and the threads it hops to."""

import asyncio
import cProfile
import pstats
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import anyio.to_thread

from app.main import create_app
from bench.store import Person, body

COUNT = 300

PLACES = (
    ("waiting: the event loop", ("epoll' objects", "'poll' of 'select.epoll'")),
    ("waiting: PostgreSQL", ("select.select",)),
    ("psycopg2", ("psycopg2", "cursor", "mogrify")),
    ("sqlalchemy", ("/sqlalchemy/",)),
    ("pydantic", ("/pydantic", "pydantic_core", "validate_python")),
    ("orjson and strict JSON", ("orjson", "/app/formats/", "loads", "dumps", "/json/")),
    ("fastapi", ("/fastapi/",)),
    ("starlette", ("/starlette/",)),
    (
        "thread hops (anyio, threading, queue)",
        ("/anyio/", "threading.py", "queue.py", "thread.lock", "_thread", "SimpleQueue"),
    ),
    (
        "asyncio",
        (
            "asyncio",
            "_asyncio",
            "selectors.py",
            "epoll",
            "socket.py",
            "_contextvars",
            "contextlib.py",
        ),
    ),
    ("structlog, logging", ("structlog", "logging")),
    ("app", ("/main/app/", "/app/")),
)


async def _call(app: Any, token: str, content: bytes) -> None:
    messages = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Any:
        return messages.pop()

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message

    await app(
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/config/update",
            "raw_path": b"/config/update",
            "query_string": b"",
            "root_path": "",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "headers": [
                (b"host", b"127.0.0.1"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
                (b"authorization", f"Bearer {token}".encode()),
            ],
        },
        receive,
        send,
    )


async def _run(
    people: list[Person], profiled: bool
) -> tuple[float, float, int, pstats.Stats | None]:
    app = create_app()
    profiles: dict[int, cProfile.Profile] = {}
    hops = 0
    plain = anyio.to_thread.run_sync

    async def hop(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        nonlocal hops
        hops += 1

        def profiled_function(*inner: Any) -> Any:
            mine = profiles.setdefault(threading.get_ident(), cProfile.Profile())
            mine.enable()
            try:
                return function(*inner)
            finally:
                mine.disable()

        return await plain(profiled_function if profiled else function, *arguments, **options)

    async with app.router.lifespan_context(app):
        for number in range(20):
            await _call(app, people[number].token, body(str(300000000 + number)))
        anyio.to_thread.run_sync = hop  # type: ignore[assignment]
        mine = cProfile.Profile()
        wall, cpu = time.perf_counter(), time.process_time()
        if profiled:
            mine.enable()
        for number in range(COUNT):
            token = people[number % len(people)].token
            await _call(app, token, body(str(400000000 + profiled * COUNT + number)))
        mine.disable()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        anyio.to_thread.run_sync = plain
    if not profiled:
        return wall, cpu, hops, None
    stats = pstats.Stats(mine)
    for other in profiles.values():
        stats.add(other)
    return wall, cpu, hops, stats


def _place(function: tuple[str, int, str]) -> str:
    text = f"{function[0]}:{function[2]}"
    return next((place for place, words in PLACES if any(word in text for word in words)), "other")


def profile_update(people: list[Person], say: Callable[[str], None]) -> None:
    """Print where an update's time goes: by library, then by function, milliseconds each."""
    wall, cpu, hops, _ = asyncio.run(_run(people, profiled=False))
    say(
        f"\nOne update at a time in-process: {wall / COUNT * 1000:.2f} ms, of which this "
        f"process computes {cpu / COUNT * 1000:.2f} ms; thread hops: {hops / COUNT:.1f}"
    )
    *_, stats = asyncio.run(_run(people, profiled=True))
    assert stats is not None
    rows = [
        (own, total, calls, function)
        for function, (_, calls, own, total, _callers) in stats.stats.items()  # type: ignore[attr-defined]
    ]
    places: defaultdict[str, float] = defaultdict(float)
    for own, _total, _calls, function in rows:
        places[_place(function)] += own
    say("\nOwn time by library, ms an update (cProfile makes small functions look dearer):")
    for place, own in sorted(places.items(), key=lambda item: -item[1]):
        say(f"  {own / COUNT * 1000:7.3f}  {place}")
    for title, key in (("Own time", 0), ("Cumulative time", 1)):
        say(f"\n{title}, ms an update:          calls an update")
        for row in sorted(rows, key=lambda row: -row[key])[: 30 if key == 0 else 45]:
            file, line, name = row[3]
            where = "/".join(file.split("/")[-3:])
            say(f"  {row[key] / COUNT * 1000:7.3f}  {row[2] / COUNT:7.1f}  {where}:{line} {name}")

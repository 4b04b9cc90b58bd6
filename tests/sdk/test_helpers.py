"""The library where people are: FastAPI, Django, pydantic-settings, pytest."""

import asyncio

import configsync.django
import pytest
from configsync import ConfigClient, StaticClient
from configsync.fastapi import Config, lifespan
from configsync.pydantic import ConfigSyncSettingsSource
from configsync.pytest import configsync_static
from django.conf import settings
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings

from tests.processes import until
from tests.sdk.scripts import run

__all__ = ["configsync_static"]


def test_fastapi(desk):
    desk.write(greeting="hello")
    client = ConfigClient(**desk.options)
    app = FastAPI(lifespan=lifespan(client))

    @app.get("/")
    async def root(config: Config) -> str:
        return str(config.require("greeting"))

    with TestClient(app) as http:
        assert http.get("/").json() == "hello"
        until(lambda: client.status.push == "stream", "events come through")
        desk.write(greeting="good evening")
        until(lambda: http.get("/").json() == "good evening", "requests see the change")
    assert client.status.push == "off"


def test_fastapi_does_not_start_without_a_config(desk):
    app = FastAPI(lifespan=lifespan(ConfigClient(**desk.options)))
    with pytest.raises(configsync.NotFound), TestClient(app):
        pass


def test_django(desk):
    desk.write(banner="hello")
    if not settings.configured:
        settings.configure(CONFIGSYNC=desk.options)
    try:
        one = configsync.django.client()
        assert one.get("banner") == "hello"
        assert configsync.django.client() is one
        assert configsync.django.connect(app_id="another") is one
    finally:
        configsync.django.disconnect()
    with configsync.django.connect(**desk.options) as one:
        assert one.get("banner") == "hello"
    configsync.django.disconnect()


def test_django_settings_can_be_made_of_it(desk):
    desk.write(database={"host": "db1"})
    code = """
import sys, types
import configsync.django
module = types.ModuleType("project_settings")
module.CONFIG = configsync.django.connect()
module.DATABASES = {"default": {"HOST": module.CONFIG.require("database.host")}}
sys.modules["project_settings"] = module
from django.conf import settings
print(settings.DATABASES["default"]["HOST"], configsync.django.client().get("database.host"))
"""
    done = run(code, desk.options, DJANGO_SETTINGS_MODULE="project_settings")
    assert (done.returncode, done.stdout, done.stderr) == (0, "db1 db1\n", "")


class Database(BaseModel):
    host: str
    port: int = 5432


class Settings(BaseSettings):
    database: Database
    debug: bool = Field(default=False, alias="DEBUG")
    other: str = "default"

    @classmethod
    def settings_customise_sources(cls, settings_cls, init_settings, env_settings, **_):
        client = StaticClient(
            {"database.host": "db1", "database": {"port": 1}, "DEBUG": True, "more": 1}
        )
        return init_settings, env_settings, ConfigSyncSettingsSource(settings_cls, client)


def test_pydantic_settings(monkeypatch):
    assert Settings().model_dump() == {
        "database": {"host": "db1", "port": 1},
        "debug": True,
        "other": "default",
    }
    monkeypatch.setenv("OTHER", "from the environment")
    assert Settings(database=Database(host="given")).database.port == 5432
    assert Settings().other == "from the environment"


def test_pydantic_settings_below_an_address():
    source = ConfigSyncSettingsSource(Settings, StaticClient({"a": {"other": "x"}, "b": 1}), "a")
    assert source() == {"other": "x"}
    assert ConfigSyncSettingsSource(Settings, StaticClient({"b": 1}), "b")() == {}


def test_configsync_static(configsync_static):
    heard = []
    configsync_static.on_change(lambda config: heard.append(config.get("a")), key="a.b")
    configsync_static.set({"a.b": 1, "c": [1]})
    assert configsync_static.get("a.b") == 1
    with configsync_static.override({"a.b": 2, "a.d": 3}) as inner:
        assert (inner.get("a.b"), inner.get("a.d"), inner.get("c")) == (2, 3, (1,))
    assert configsync_static.get_all() == {"a": {"b": 1}, "c": (1,)}
    assert heard == [{"b": 1}, {"b": 2, "d": 3}, {"b": 1}]
    with pytest.raises(ZeroDivisionError), configsync_static.override({"c": 1}):
        raise ZeroDivisionError
    assert (configsync_static.get("c"), configsync_static.source) == ((1,), "static")


def test_static_clients_stand_in_for_both(configsync_static):
    with configsync_static as one:
        one.initialize()
        one.start_auto_refresh()
        one.close()

    async def main() -> None:
        async with configsync_static as one:
            await one.initialize()
            await one.start_auto_refresh(interval=5)
            await one.refresh()
            await one.close()

    asyncio.run(main())


def test_the_plugin_works_in_another_project(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "def test_it(configsync_static):\n"
        "    with configsync_static.override({'a': 1}):\n"
        "        assert configsync_static.get('a') == 1\n"
    )
    words = ["-q", "-p", "configsync.pytest", "-p", "no:cacheprovider"]
    words += ["--rootdir", str(tmp_path), "-c", "/dev/null", str(tmp_path)]
    done = run(f"import pytest, sys; sys.exit(pytest.main({words!r}))")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout

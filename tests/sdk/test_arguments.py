"""Arguments that cannot be meant are refused at once, and secrets in them not repeated."""

import math

import pytest
from configsync import SyncConfigClient


def made(**options):
    SyncConfigClient(**{"base_url": "http://localhost", "app_id": "app", **options}).close()


@pytest.mark.parametrize("key", ["pass\u00fcord", "password\n", "pass\x00word"])
def test_keys_that_no_header_can_hold(monkeypatch, key):
    monkeypatch.setenv("CONFIGSYNC_API_KEY", "a-key")
    with pytest.raises(ValueError, match="api_key") as caught:
        made(api_key=key)
    assert "pass" not in str(caught.value)


@pytest.mark.parametrize("name", ["timeout", "max_stale"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_times_that_are_none(name, value):
    with pytest.raises(ValueError, match=name):
        made(**{name: value})


@pytest.mark.parametrize(
    "url",
    [
        "http://eve:password@localhost",
        "http://eve:pass/word@localhost",
        "http://eve:password@local\u2100host",
        "http://@localhost",
        "eve:password@localhost",
        "http://localhost:99999",
    ],
)
def test_addresses_that_are_none(url):
    with pytest.raises(ValueError, match="base_url") as caught:
        made(base_url=url)
    assert "eve" not in str(caught.value)
    assert "pass" not in str(caught.value).replace("user, password", "")


def test_listeners_that_cannot_be_called():
    client = SyncConfigClient(base_url="http://localhost", app_id="app")
    for callback in (None, "a function"):
        with pytest.raises(TypeError, match="listener"):
            client.on_change(callback)
    client.close()

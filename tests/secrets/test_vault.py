"""Vault Transit as holder of the KEKs, against a stand-in that speaks its HTTP."""

import os
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.core.settings import Settings
from app.secrets.providers import KeyProvider, ProviderUnavailable, Wrapped, WrongKey
from app.secrets.vault import TokenFile, VaultTransit, from_settings
from tests.secrets.transit import Transit

DATA_KEY = bytes(range(32))
CONTEXT = b"workspace 1, environment 2"
PATIENCE_S = 10
TOKEN = "hvs.never-to-be-seen"


@pytest.fixture
def transit():
    with Transit(token=TOKEN) as running:
        yield running


@pytest.fixture
def vault(transit):
    provider = provider_of(transit)
    yield provider
    provider.close()


def provider_of(transit, *, token=TOKEN, key="configsync", mount="transit", addr=None):
    return VaultTransit(addr=addr or transit.addr, token=lambda: token, key=key, mount=mount)


def refusal(expected, call, *arguments):
    """Return all that a traceback would show of the exception, within bounded time."""
    before = time.monotonic()
    with pytest.raises(expected) as caught:
        call(*arguments)
    assert time.monotonic() - before < PATIENCE_S
    return "".join(traceback.format_exception(caught.value))


def unavailable(vault, wrapped=Wrapped("vault:transit/configsync:v1", b"vault:v1:AAAA")):
    """Check all three calls, and that none of them tells the token or the key."""
    vault._latest = (0, 0.0)
    shown = [
        refusal(ProviderUnavailable, vault.wrap, DATA_KEY, CONTEXT),
        refusal(ProviderUnavailable, vault.unwrap, wrapped, CONTEXT),
        refusal(ProviderUnavailable, vault.active_id),
    ]
    assert not any("hvs." in text or "AAECAw" in text for text in shown)


def test_it_is_a_key_provider(vault):
    provider: KeyProvider = vault
    wrapped = provider.wrap(DATA_KEY, CONTEXT)
    assert wrapped.kek_id == provider.active_id() == "vault:transit/configsync:v1"
    assert wrapped.data.startswith(b"vault:v1:")
    assert provider.unwrap(wrapped, CONTEXT) == DATA_KEY


def test_another_context_does_not_open(vault):
    wrapped = vault.wrap(DATA_KEY, CONTEXT)
    shown = refusal(WrongKey, vault.unwrap, wrapped, b"workspace 1, environment 3")
    assert TOKEN not in shown
    assert wrapped.data.decode() not in shown


@pytest.mark.parametrize(
    "data",
    [
        b"vault:v1:AAAA",
        b"vault:v9:" + b"A" * 64,
        b"vault:vx:" + b"A" * 64,
        b"vault:v1:!",
        b"vault:v1",
        b"local",
        b"\xff\xfe",
        b"",
    ],
)
def test_what_transit_did_not_write_does_not_open(vault, data):
    refusal(WrongKey, vault.unwrap, Wrapped("vault:transit/configsync:v1", data), CONTEXT)


def test_a_changed_ciphertext_does_not_open(vault):
    data = vault.wrap(DATA_KEY, CONTEXT).data
    changed = data[:20] + (b"A" if data[20:21] != b"A" else b"B") + data[21:]
    refusal(WrongKey, vault.unwrap, Wrapped(vault.active_id(), changed), CONTEXT)


def test_ids_tell_whose_they_are(vault):
    assert vault.knows("vault:transit/configsync:v1")
    assert vault.knows("vault:transit/configsync:v12")
    for other in ("local:00112233", "vault:transit/other:v1", "vault:transit/configsync:v", "v1"):
        assert not vault.knows(other)


def test_a_key_of_another_provider_is_not_asked_about(transit, vault):
    refusal(WrongKey, vault.unwrap, Wrapped("local:00112233", b"vault:v1:AAAA"), CONTEXT)
    assert transit.asked == []


def test_a_mount_may_have_a_path():
    with Transit(mount="teams/a/transit") as transit:
        vault = provider_of(transit, token=transit.token, mount="/teams/a/transit/")
        wrapped = vault.wrap(DATA_KEY, CONTEXT)
        assert wrapped.kek_id == "vault:teams/a/transit/configsync:v1"
        assert vault.unwrap(wrapped, CONTEXT) == DATA_KEY
        vault.close()


def test_rotation_in_vault_makes_a_new_id_and_old_keys_open(transit, vault):
    old = vault.wrap(DATA_KEY, CONTEXT)
    transit.rotate()
    new = vault.wrap(DATA_KEY, CONTEXT)
    assert (old.kek_id[-3:], new.kek_id[-3:]) == (":v1", ":v2")
    assert vault.active_id() == new.kek_id
    assert vault.unwrap(old, CONTEXT) == vault.unwrap(new, CONTEXT) == DATA_KEY


def test_the_newest_version_is_asked_for_now_and_then(transit, vault):
    assert vault.active_id() == vault.active_id() == "vault:transit/configsync:v1"
    assert transit.asked == ["GET /v1/transit/keys/configsync"]
    transit.rotate()
    vault._latest = (1, time.monotonic())
    assert vault.active_id() == "vault:transit/configsync:v2"


def test_a_version_that_vault_retired_does_not_open(transit, vault):
    old = vault.wrap(DATA_KEY, CONTEXT)
    transit.min_decryption_version = transit.rotate()
    refusal(WrongKey, vault.unwrap, old, CONTEXT)


def test_a_key_that_vault_does_not_have(transit):
    vault = provider_of(transit, key="other")
    refusal(WrongKey, vault.unwrap, Wrapped("vault:transit/other:v1", b"vault:v1:AAAA"), CONTEXT)
    refusal(ProviderUnavailable, vault.wrap, DATA_KEY, CONTEXT)
    refusal(ProviderUnavailable, vault.active_id)
    vault.close()


def test_a_mount_that_vault_does_not_have(transit):
    vault = provider_of(transit, mount="other")
    wrapped = Wrapped("vault:other/configsync:v1", b"vault:v1:AAAA")
    refusal(WrongKey, vault.unwrap, wrapped, CONTEXT)
    refusal(ProviderUnavailable, vault.wrap, DATA_KEY, CONTEXT)
    vault.close()


@pytest.mark.parametrize("token", ["hvs.other", "hvs.line\nbreak", "hvs.\N{SNOWMAN}"])
def test_a_wrong_token_is_not_a_wrong_key(transit, token):
    vault = provider_of(transit, token=token)
    unavailable(vault)
    vault.close()


def test_sealed(transit, vault):
    wrapped = vault.wrap(DATA_KEY, CONTEXT)
    transit.sealed = True
    unavailable(vault, wrapped)
    transit.sealed = False
    assert vault.unwrap(wrapped, CONTEXT) == DATA_KEY


def test_down_and_up_again(transit, vault):
    wrapped = vault.wrap(DATA_KEY, CONTEXT)
    transit.stop()
    unavailable(vault, wrapped)
    transit.start()
    assert vault.unwrap(wrapped, CONTEXT) == DATA_KEY


def test_silent(transit, vault):
    wrapped = vault.wrap(DATA_KEY, CONTEXT)
    transit.silent = True
    unavailable(vault, wrapped)
    transit.silent = False
    assert vault.unwrap(wrapped, CONTEXT) == DATA_KEY


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "answer",
    [
        (429, JSON, b'{"errors":["request path: rate limit quota exceeded"]}'),
        (500, JSON, b'{"errors":["internal error"]}'),
        (502, {"Content-Type": "text/html"}, b"<html>"),
        (502, JSON, b'["no object"]'),
        (502, JSON, b'{"errors":[{"no":"text"}]}'),
        (400, {"Content-Type": "text/plain"}, b"Client sent an HTTP request to an HTTPS server.\n"),
        (404, {"Content-Type": "text/html"}, b"<html>"),
        (204, {}, b""),
        (200, {"Content-Type": "text/html"}, b"<html>"),
        (200, JSON, b'{"data":null}'),
        (200, JSON, b'{"data":{"ciphertext":"v1","plaintext":"?","latest_version":null}}'),
        (200, JSON, b'{"data":{"ciphertext":null,"plaintext":null,"latest_version":"x"}}'),
        (200, JSON, b"[1]"),
    ],
)
def test_answers_that_are_not_transits(transit, vault, answer):
    transit.answer = answer
    unavailable(vault)


def test_redirects_are_not_followed(transit, vault):
    with Transit(token=TOKEN) as other:
        transit.answer = (307, {"Location": f"{other.addr}/v1/transit/encrypt/configsync"}, b"")
        unavailable(vault)
        assert other.asked == []


def test_a_vault_that_ignores_the_context_is_refused(transit, vault):
    transit.knows_associated_data = False
    assert "1.13" in refusal(ProviderUnavailable, vault.wrap, DATA_KEY, CONTEXT)


def test_proxies_of_the_environment_are_ignored(vault, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert vault.unwrap(vault.wrap(DATA_KEY, CONTEXT), CONTEXT) == DATA_KEY


def test_logs_at_debug_level_tell_nothing(transit, vault, caplog):
    caplog.set_level("DEBUG")
    vault.unwrap(vault.wrap(DATA_KEY, CONTEXT), CONTEXT)
    transit.stop()
    unavailable(vault)
    assert "/v1/transit/encrypt/configsync" in caplog.text
    assert "hvs." not in caplog.text
    assert "AAECAw" not in caplog.text


def test_many_threads_share_one_provider(vault):
    def round_trip(number):
        key = number.to_bytes(32)
        return vault.unwrap(vault.wrap(key, key), key) == key

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(64)))


def write_token(path: Path, token: str, *, replaced: bool) -> None:
    """Write a token as Vault Agent does (a new file), or in place."""
    target = path.with_suffix(".new") if replaced else path
    target.write_text(token)
    if replaced:
        target.replace(path)
    else:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns + 1_000_000))


@pytest.mark.parametrize("replaced", [True, False])
def test_a_renewed_token_file_is_read_anew(transit, tmp_path, replaced):
    path = tmp_path / "token"
    write_token(path, "hvs.expired-token-xx\n", replaced=True)
    vault = from_settings(settings(vault_addr=transit.addr, vault_token_file=path))
    assert vault is not None
    unavailable(vault)
    write_token(path, f"{TOKEN}\n", replaced=replaced)
    assert vault.unwrap(vault.wrap(DATA_KEY, CONTEXT), CONTEXT) == DATA_KEY
    vault.close()


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00", None])
def test_a_token_file_without_a_token(tmp_path, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    assert "VAULT_TOKEN_FILE" in refusal(ProviderUnavailable, TokenFile(path))
    path.write_text(TOKEN)
    assert TokenFile(path)() == TOKEN


def settings(**values) -> Settings:
    return Settings(_env_file=None, **values)


def test_settings_without_vault():
    with pytest.raises(ValueError, match="VAULT_ADDR"):
        from_settings(settings())


def test_settings_with_a_token(transit):
    vault = from_settings(
        settings(vault_addr=f"{transit.addr}/", vault_token=TOKEN, vault_transit_key="configsync")
    )
    assert vault is not None
    assert vault.active_id() == "vault:transit/configsync:v1"
    vault.close()


@pytest.mark.parametrize("token", [None, ""])
def test_settings_without_a_token(token):
    with pytest.raises(ValueError, match="VAULT_TOKEN or VAULT_TOKEN_FILE"):
        from_settings(settings(vault_addr="http://127.0.0.1:1", vault_token=token))


def test_an_address_needs_a_scheme():
    with pytest.raises(ValueError, match="VAULT_ADDR must be"):
        from_settings(settings(vault_addr="vault:8200", vault_token=TOKEN))

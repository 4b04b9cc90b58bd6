"""OpenFeature: a provider that answers from the flags of a client (extra `openfeature`)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode, ProviderFatalError, ProviderNotReadyError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from configsync._client import ConfigClient
from configsync._errors import (
    AccessDenied,
    AuthenticationError,
    ConfigSyncError,
    FlagsNotInstalled,
)
from configsync._flags import NO_FLAGS, FlagDetails
from configsync._rules.results import OFREP_REASONS
from configsync._static import StaticClient
from configsync._sync import SyncConfigClient

Context = EvaluationContext | None
T = TypeVar("T")
Structure = Sequence[FlagValueType] | Mapping[str, FlagValueType]


class ConfigSyncProvider(AbstractProvider):
    """Evaluates in the program, by the flags that a client keeps fresh.

    A `SyncConfigClient` that is not initialized is, follows changes from then on, and is closed at
    the end. Any other client stays the program's: initialize it before, close it after.
    """

    def __init__(self, client: ConfigClient | SyncConfigClient | StaticClient) -> None:
        super().__init__()
        self._client = client
        self._is_ours = False
        self._removers: list[Callable[[], None]] = []
        self._event = ProviderEvent.PROVIDER_READY

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata(name="ConfigSync")

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        """Load the flags if nobody did; raise the SDK's errors if there are none."""
        del evaluation_context
        client = self._client
        try:
            if isinstance(client, SyncConfigClient) and client.source == "none":
                self._is_ours = True
                client.initialize()
                client.start_auto_refresh()
            client.flags()
        except (AuthenticationError, AccessDenied, FlagsNotInstalled) as error:
            self.shutdown()  # which nobody calls for a provider that could not begin
            raise ProviderFatalError(str(error)) from error
        except ConfigSyncError as error:
            self.shutdown()
            raise ProviderNotReadyError(str(error)) from error
        self._event = ProviderEvent.PROVIDER_READY
        self._removers = [
            client.on_flag_change(self._changed),
            client._state.watch(self._look),  # noqa: SLF001  (of this package)
        ]
        if not self._has_flags():
            raise ProviderNotReadyError(client.status.flags or "the client is not initialized")

    def shutdown(self) -> None:
        """Stop telling of changes; close the client if it was opened here."""
        for remove in self._removers:
            remove()
        self._removers = []
        if self._is_ours and isinstance(self._client, SyncConfigClient):
            self._client.close()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: Context = None
    ) -> FlagResolutionDetails[bool]:
        """Evaluate a flag of type boolean."""
        return self._resolve(flag_key, default_value, evaluation_context, False)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: Context = None
    ) -> FlagResolutionDetails[str]:
        """Evaluate a flag of type string."""
        return self._resolve(flag_key, default_value, evaluation_context, "")

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: Context = None
    ) -> FlagResolutionDetails[int]:
        """Evaluate a flag of type number whose value is a whole one."""
        return self._resolve(flag_key, default_value, evaluation_context, 0)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: Context = None
    ) -> FlagResolutionDetails[float]:
        """Evaluate a flag of type number."""
        return self._resolve(flag_key, default_value, evaluation_context, 0.0)

    def resolve_object_details(
        self, flag_key: str, default_value: Structure, evaluation_context: Context = None
    ) -> FlagResolutionDetails[Structure]:
        """Evaluate a flag of type object."""
        return self._resolve(flag_key, default_value, evaluation_context, None)

    def _resolve(
        self, key: str, default: T, context: Context, sample: Any
    ) -> FlagResolutionDetails[T]:
        """Evaluate a flag whose value is to be of the type of a sample; None: an object."""
        asking = context or EvaluationContext()
        try:
            attributes = _plain(asking.attributes)
            found = self._client.flag_details(key, asking.targeting_key, attributes, sample)
        except RecursionError:
            return _failed(default, ErrorCode.INVALID_CONTEXT, "the context is nested too deeply")
        except FlagsNotInstalled as error:
            return _failed(default, ErrorCode.PROVIDER_FATAL, str(error))
        except ConfigSyncError as error:
            return _failed(default, ErrorCode.GENERAL, str(error))
        if found.error is not None:
            return _failed(default, ErrorCode[found.error], _why(found))
        if sample is None and not isinstance(found.value, dict | tuple):
            return _failed(default, ErrorCode.TYPE_MISMATCH, f"'{key}' is no object")
        return FlagResolutionDetails(
            value=_plain(found.value),
            variant=found.variant,
            reason=Reason(_REASONS[found.reason]),
            flag_metadata=_metadata(found),
        )

    def _has_flags(self) -> bool:
        return self._client._now.unguarded.ruled is not NO_FLAGS  # noqa: SLF001  (of this package)

    def _changed(self, names: frozenset[str]) -> None:
        self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=sorted(names)))

    def _look(self) -> None:
        """Tell whether the flags are what the server has, when that changes."""
        status = self._client.status
        why = status.error or status.flags
        event = ProviderEvent.PROVIDER_READY
        if why is not None:
            has_flags = self._has_flags()
            event = ProviderEvent.PROVIDER_STALE if has_flags else ProviderEvent.PROVIDER_ERROR
        if event is self._event:
            return
        self._event = event
        code = ErrorCode.GENERAL if event is ProviderEvent.PROVIDER_ERROR else None
        self.emit(event, ProviderEventDetails(message=why, error_code=code))


_REASONS: Mapping[str, str] = {str(reason): name for reason, name in OFREP_REASONS.items()}


def _failed(default: T, code: ErrorCode, why: str) -> FlagResolutionDetails[T]:
    return FlagResolutionDetails(
        value=default, reason=Reason.ERROR, error_code=code, error_message=why
    )


def _why(found: FlagDetails) -> str:
    return f"the flag '{found.name}' gives the default: {found.error}"


def _metadata(found: FlagDetails) -> dict[str, bool | int | float | str]:
    members = {name: getattr(found, name) for name in ("revision", "rule_id", "bucket")}
    return {name: value for name, value in members.items() if value is not None}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: times as texts, containers as dicts and lists."""
    if isinstance(value, Mapping):
        return {name: _plain(below) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(below) for below in value]
    return value.isoformat() if isinstance(value, datetime) else value

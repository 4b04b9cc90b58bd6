"""pydantic-settings: a source of settings.

class Settings(BaseSettings):
    database: Database

    @classmethod
    def settings_customise_sources(cls, settings_cls, init_settings, env_settings, **_):
        return init_settings, env_settings, ConfigSyncSettingsSource(settings_cls, client)
"""

from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from configsync._base import BaseClient
from configsync._binding import part_of


class ConfigSyncSettingsSource(PydanticBaseSettingsSource):
    """Gives the fields of a settings class the config of an initialized client.

    `prefix` is the address below which the fields are. Members that are no fields are left out,
    for settings classes refuse what they do not know.
    """

    def __init__(
        self, settings_cls: type[BaseSettings], client: BaseClient, prefix: str = ""
    ) -> None:
        super().__init__(settings_cls)
        found = part_of(client.get_all(), prefix.strip("."))
        self._part: Mapping[str, Any] = found if isinstance(found, Mapping) else {}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return a field's value, under its alias or its name."""
        aliases = (field.validation_alias, field.alias)
        names = [one for one in aliases if isinstance(one, str)] + [field_name]
        name = next((one for one in names if one in self._part), field_name)
        return self._part.get(name), name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values of all fields that the config has."""
        found = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, name, _ = self.get_field_value(field, field_name)
            if name in self._part:
                found[name] = value
        return found

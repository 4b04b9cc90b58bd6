"""Which changes a listener is told of (no SQL, no HTTP)."""

from dataclasses import dataclass

from app.configs.levels import GLOBAL
from app.feed.commits import FLAG, SEGMENT, Change, Commit
from app.workspaces.scopes import Scopes, covered


@dataclass(frozen=True, slots=True)
class Interest:
    """What somebody listens to, as far as the scopes go; empty: everything.

    A change of a wider level reaches all that lies below it.
    """

    services: frozenset[str]
    environments: frozenset[str]
    types: frozenset[str]
    scopes: Scopes

    def chosen(self, commit: Commit) -> tuple[int, ...]:
        """Return the places of the commit's changes that the listener is told of.

        `~place`: without its name, for a flag that is not covered may decide in one that is.
        """
        return tuple(
            place if self._may_name(change) else ~place
            for place, change in enumerate(commit.changes)
            if self._wants(change)
        )

    def _may_name(self, change: Change) -> bool:
        return change.resource_type != FLAG or covered(change.key, self.scopes.flags)

    def _wants(self, change: Change) -> bool:
        if self.types and change.resource_type not in self.types:
            return False
        if not self.scopes.services and change.resource_type not in {FLAG, SEGMENT}:
            return False
        level = change.level
        return _meets(level.service, self.services, self.scopes.services) and _meets(
            level.environment, self.environments, self.scopes.environments
        )


def _meets(name: str | None, wanted: frozenset[str], patterns: tuple[str, ...]) -> bool:
    """Say whether a level's name is wanted and allowed; None reaches everybody."""
    if name is None:
        return True
    return (not wanted or name in wanted) and covered(name, patterns)


def without_global(services: frozenset[str]) -> frozenset[str]:
    """Return the services that are meant; `_global` reaches everybody anyway."""
    return services - {GLOBAL} or services

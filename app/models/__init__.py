"""SQLAlchemy tables, one aggregate a file."""

from app.models.api_keys import ApiKey
from app.models.base import Base
from app.models.configs import Config
from app.models.events import Event, EventPending, ReadCount
from app.models.flags import Flag, FlagName, Segment
from app.models.history import Action, Epoch, Kind, Object, Revision, Version
from app.models.keys import Key, KeyName, KeyVersion
from app.models.live import Instance, StreamTicket
from app.models.operations import IdempotencyKey, Lease
from app.models.secrets import DataKey, KeyCheck, Rotator, Secret, WrappedSecret
from app.models.usage import FlagCount, UnknownFlag
from app.models.users import LoginSession, LoginThrottle, User
from app.models.workspaces import Environment, Member, Service, Workspace, WorkspaceHead

__all__ = [
    "Action",
    "ApiKey",
    "Base",
    "Config",
    "DataKey",
    "Environment",
    "Epoch",
    "Event",
    "EventPending",
    "Flag",
    "FlagCount",
    "FlagName",
    "IdempotencyKey",
    "Instance",
    "Key",
    "KeyCheck",
    "KeyName",
    "KeyVersion",
    "Kind",
    "Lease",
    "LoginSession",
    "LoginThrottle",
    "Member",
    "Object",
    "ReadCount",
    "Revision",
    "Rotator",
    "Secret",
    "Segment",
    "Service",
    "StreamTicket",
    "UnknownFlag",
    "User",
    "Version",
    "Workspace",
    "WorkspaceHead",
    "WrappedSecret",
]

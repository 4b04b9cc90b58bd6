"""Who may look into the audit, and how far."""

from typing import Annotated

from fastapi import Depends

from app.audit.crud import Viewer
from app.auth.deps import CredentialDep, KeyDigest, get_caller, require_login
from app.core.routing import SessionDep
from app.workspaces.deps import open_access
from app.workspaces.errors import BeyondScope
from app.workspaces.permissions import Permission


def get_viewer(session: SessionDep, credential: CredentialDep) -> Viewer:
    """Return who looks: a user, or an API key with `admin`, which sees its workspace."""
    if isinstance(credential, KeyDigest):
        access = open_access(session, credential=credential, slug=None, target_user_id=None)
        session.info["access"] = access
        access.require(Permission.ADMIN)
        if not access.scopes.everywhere:
            raise BeyondScope("read the audit of all services")
        return Viewer(workspace_id=access.workspace_id)
    caller = require_login(get_caller(session, credential))
    return Viewer() if caller.admin else Viewer(user_id=caller.user_id)


ViewerDep = Annotated[Viewer, Depends(get_viewer)]

"""Who opens a stream: by headers, or by a ticket."""

from typing import Annotated

from fastapi import Depends, Query

from app.auth.deps import Credential, CredentialDep
from app.core.routing import SessionDep
from app.realtime import service
from app.workspaces.deps import Access, WorkspaceSlug, open_access
from app.workspaces.permissions import Permission

Ticket = Annotated[
    str | None,
    Query(max_length=128, description="Instead of headers: from `POST /api/v1/stream/tickets`"),
]


def get_stream_access(
    session: SessionDep,
    credential: CredentialDep,
    workspace: WorkspaceSlug = None,
    ticket: Ticket = None,
) -> tuple[Access, Credential | None]:
    """Return the caller's access, which must include reading, and the credential behind it."""
    if ticket is not None:
        credential, workspace = service.use_ticket(session, ticket=ticket)
    access = open_access(session, credential=credential, slug=workspace, target_user_id=None)
    session.info["access"] = access
    access.require(Permission.READ)
    return access, credential


StreamAccess = Annotated[tuple[Access, Credential | None], Depends(get_stream_access)]

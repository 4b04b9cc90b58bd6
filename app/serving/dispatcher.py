"""The raw ASGI application in front of everything: hot routes from memory, all else passed on."""

import secrets
import time
from bisect import bisect_left
from collections.abc import Awaitable
from functools import partial

from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.deps import Credential, KeyDigest
from app.core import context, db, metrics
from app.core.answers import is_known, names, tags
from app.core.cors import Cors
from app.core.errors import AppError, Unavailable
from app.core.http import decorate
from app.core.problems import problem_of
from app.core.protocol import HOLD
from app.feature_flags.evaluating import require_environment
from app.serving import evaluations, polling
from app.serving.calls import (
    FETCH,
    FLAGS,
    GETS,
    ITEMS,
    ROOT,
    TEMPLATES,
    Call,
    Form,
    preferred_wait,
    read,
)
from app.serving.requests import Memo, Shown, again, is_short, receive_body, sends_json
from app.serving.service import Found, Grant, NotServed, Serving, Who, count_reads
from app.serving.snapshots import Answer, Rules, Snapshot
from app.serving.spaces import Space
from app.workspaces.deps import MIN_REVISION_WAIT
from app.workspaces.errors import RevisionNotReached
from app.workspaces.permissions import Permission

PLACES = (ROOT, ITEMS, FETCH, FLAGS, *evaluations.PLACES)
POSTS = (FETCH, *evaluations.PLACES)
FORMS = {
    FETCH: Form.FETCH,
    FLAGS: Form.FLAGS,
    **evaluations.FORMS,
}
TRIES = 5
MOST_CALLS = 4096
WARNING = (b"warning", b'110 - "Response is Stale"')
BOUNDS = metrics.BOUNDS

_COUNTS = {
    (form, status): metrics.hot("GET" if form in GETS else "POST", TEMPLATES[form], status)
    for form in Form
    for status in (200, 304, 400, 404)
}


class Dispatcher:
    """Answers what it knows. Whatever is unusual, wrong or not there, the framework answers."""

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self.app = app
        self.serving = serving
        self._cors = Cors(app)
        self._ids = secrets.token_hex(8)
        self._number = 0
        self._calls: dict[Memo, Call] = {}
        self._hits = metrics.snapshot_reads["hit"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        path: bytes = scope.get("raw_path") or b""
        if scope["type"] != "http" or not path.startswith(PLACES):
            await self.app(scope, receive, send)
            return
        if scope["method"] == "GET" and not path.startswith(POSTS):
            if not await self._try(scope, send, b""):
                await self.app(scope, receive, send)
        elif scope["method"] == "POST" and path.startswith(POSTS) and sends_json(scope):
            body, messages = await receive_body(receive)
            if body is None or not await self._try(scope, send, body):
                await self.app(scope, again(messages, receive), send)
        else:
            await self.app(scope, receive, send)

    async def _try(self, scope: Scope, send: Send, body: bytes) -> bool:
        """Answer from memory if that can be; say whether it was answered."""
        began = time.monotonic()
        shown = Shown(scope["headers"])
        if shown.is_odd:
            return False
        if scope["raw_path"].startswith(evaluations.PLACES):
            return await self._told(
                scope, send, shown, began, self._evaluate(scope, send, shown, body, began)
            )
        memo = (scope["raw_path"], scope["query_string"], body)
        grant = self.serving.grants.get(shown.digest())
        if grant is not None:
            hit = grant.hits.get(memo)
            if (
                hit is not None
                and hit.snapshot.is_live
                and began < grant.space.channel.fresh_until
                and began < grant.until
                and grant.rights == grant.space.channel.rights
                and not shown.prefer
            ):
                hit.snapshot.is_used = grant.is_used = True
                self._hits.count += 1
                if not hit.count:
                    self.serving.touched.append(hit)
                hit.count += 1
                await self._send(scope, send, shown, grant.space, hit.call.form, hit.answer, began)
                return True
        return await self._told(
            scope, send, shown, began, self._answer(scope, send, shown, memo, began)
        )

    async def _told(
        self, scope: Scope, send: Send, shown: Shown, began: float, work: Awaitable[bool]
    ) -> bool:
        """Say whether work answered; what stands in its way for everybody is an answer, too."""
        refusal: AppError | None = None
        try:
            return await work
        except Unavailable as error:
            refusal = error
        except SQLAlchemyError as error:
            refusal = db.unavailable(error)
        except (NotServed, AppError, OSError, TimeoutError):
            pass
        if refusal is None:
            metrics.snapshot_reads["passed_on"].count += 1
            return False
        await self._refuse(scope, send, shown, refusal, began)
        return True

    async def _answer(
        self, scope: Scope, send: Send, shown: Shown, memo: Memo, began: float
    ) -> bool:
        """Answer what is asked for the first time, or anew after a change; say whether it was."""
        call = self._call(scope, memo)
        if call is None:
            return False
        request = self._request(scope, shown)
        found = await self._find(shown, call, request)
        if wait := call.wait or preferred_wait(shown.prefer):
            found = await polling.wait(
                self.serving,
                found,
                lambda found: _knows(found, call, shown.etag),
                lambda: self._find(shown, call, request),
                seconds=wait,
            )
        answer = await self._rendered(found, call, request)
        for _ in range(TRIES):
            if found.snapshot.is_live:
                break
            # The header must not name a revision that came while this was rendered.
            found = await self._find(shown, call, request)
            answer = await self._rendered(found, call, request)
        snapshot, space, access = found.snapshot, found.space, found.access
        if answer is None or space.channel.ended or not snapshot.is_live:
            return False
        if found.grant and not access.scopes.addresses and not call.wait and is_short(memo):
            self.serving.remember(found.grant, memo, call, snapshot, answer)
        count_reads(access, call)
        await self._send(
            scope, send, shown, space, call.form, answer, began, request.request_id, found.stale
        )
        return True

    async def _rendered(
        self, found: Found, call: Call, request: context.RequestContext
    ) -> Answer | None:
        """Return the answer to a call, None if there is none from memory."""
        snapshot, access = found.snapshot, found.access
        if isinstance(snapshot, Rules):
            return await self.serving.flags(snapshot, access, found.space, request)
        if call.form is not Form.STORED and snapshot.reveals(access):
            return None
        return await self.serving.answer(found.space, snapshot, call, access, request)

    async def _evaluate(
        self, scope: Scope, send: Send, shown: Shown, body: bytes, began: float
    ) -> bool:
        """Answer a request to evaluate flags; say whether it was."""
        asked = evaluations.read(scope, body)
        if asked is None:
            return False
        request = self._request(scope, shown)
        door = asked.door
        who = self._known(shown, began) if door.is_usual else None
        if who is None:
            who = await self._who(shown, door.workspace, request)
        environment = evaluations.environment_of(asked, who.access)
        if door.least is not None:
            await self._reach(who.space, door.least)
        rules, config = who.space.rules.get(environment), None
        if rules is None or asked.config is not None:
            evaluations.check(environment)
            rules, config = await self._rules(asked, environment, who, request)
        if who.space.channel.ended:
            return False
        rules.is_used = True
        stream = evaluations.stream_of(asked, environment, who.access, who.credential)
        head = who.space.channel.head
        given = (asked, rules.ruleset, who.access, head, config, stream, shown.etag)
        is_many = door.is_of_many and len(rules.ruleset.flags) > evaluations.MANY
        if is_many or len(body) > evaluations.LARGE:
            answer = await self.serving.read(partial(evaluations.answer, *given), request)
            if not rules.is_live:
                return False
        else:
            answer = evaluations.answer(*given)
        self.serving.count(who, "feature_flag", evaluations.resource(asked, environment))
        await self._send(
            scope, send, shown, who.space, door.form, answer, began, request.request_id, who.stale
        )
        return True

    async def _rules(
        self,
        asked: evaluations.Asked,
        environment: str,
        who: Who,
        request: context.RequestContext,
    ) -> tuple[Rules, bytes | None]:
        """Return rules, and the config if that is wanted, both as of now; raise NotServed."""
        config: Answer | None = None
        for _ in range(TRIES):
            rules = await self.serving.rules(who.space, environment, request)
            if rules is None:
                break
            if asked.config is not None:
                config = await self._config(asked.config, who, request)
            if rules.is_live:
                return rules, config.body if config else None
        raise NotServed

    async def _config(self, call: Call, who: Who, request: context.RequestContext) -> Answer:
        """Return the config that is wanted beside flags; raise NotServed."""
        if not who.access.allows(Permission.READ, call.level):
            raise NotServed
        snapshot = await self.serving.snapshot(who.space, call.level, request)
        if snapshot is None or snapshot.reveals(who.access):
            raise NotServed
        answer = await self.serving.answer(who.space, snapshot, call, who.access, request)
        if answer is None or not snapshot.is_live:
            raise NotServed
        count_reads(who.access, call)
        return answer

    def _call(self, scope: Scope, memo: Memo) -> Call | None:
        call = self._calls.get(memo)
        if call is not None:
            return call
        call = read(scope, memo[2])
        if call is not None and is_short(memo):
            if len(self._calls) >= MOST_CALLS:
                self._calls.clear()
            self._calls[memo] = call
        return call

    async def _find(self, shown: Shown, call: Call, request: context.RequestContext) -> Found:
        """Return who asks, and the snapshot that is asked for; raise NotServed."""
        who = await self._who(shown, call.workspace, request)
        environment = call.level.environment or ""
        if call.form is Form.FLAGS:
            require_environment(who.access, environment)
        elif not who.access.allows(Permission.READ, call.level):
            raise NotServed
        if call.least is not None:
            await self._reach(who.space, call.least)
        snapshot: Snapshot | Rules | None
        if call.form is Form.FLAGS:
            snapshot = await self.serving.rules(who.space, environment, request)
        else:
            snapshot = await self.serving.snapshot(who.space, call.level, request)
        if snapshot is None:
            raise NotServed
        return Found(who.access, who.space, who.credential, who.grant, who.stale, snapshot)

    async def _who(
        self,
        shown: Shown,
        workspace: str | None,
        request: context.RequestContext,
    ) -> Who:
        """Return who asks; raise NotServed."""
        credential = shown.credential()
        grant: Grant | None = None
        stale: float | None = None
        if credential is None or isinstance(credential, KeyDigest):
            grant = await self._grant(shown.digest(), credential, workspace, request)
            stale = await self.serving.feed.freshen(grant.space.channel)
            if not self.serving.is_good(grant):
                grant = await self._grant(shown.digest(), credential, workspace, request)
            access, space = grant.access, grant.space
        else:
            access, space = await self.serving.access(credential, workspace, request)
        return Who(access, space, credential, grant, stale)

    def _known(self, shown: Shown, now: float) -> Who | None:
        """Return who asks if that needs no further look."""
        grant = self.serving.grants.get(shown.digest())
        if (
            grant is None
            or now >= grant.space.channel.fresh_until
            or now >= grant.until
            or grant.rights != grant.space.channel.rights
            or grant.access.scopes.addresses
        ):
            return None
        grant.is_used = True
        return grant.who

    async def _grant(
        self,
        digest: bytes,
        credential: Credential | None,
        workspace: str | None,
        request: context.RequestContext,
    ) -> Grant:
        grant = await self.serving.grant(digest, credential, request)
        if workspace not in {None, grant.access.slug}:
            raise NotServed
        if not grant.access.scopes.admits(request.address):
            raise NotServed
        return grant

    async def _reach(self, space: Space, least: tuple[str, int]) -> None:
        epoch, revision = least
        if epoch not in {"", self.serving.feed.epoch}:
            raise NotServed
        channel = space.channel
        if not await self.serving.feed.reach(channel, revision, seconds=MIN_REVISION_WAIT):
            raise NotServed if channel.ended else RevisionNotReached(revision, channel.head)

    async def _refuse(
        self, scope: Scope, send: Send, shown: Shown, error: AppError, began: float
    ) -> None:
        request = self._request(scope, shown)
        context.bind(request)
        answer = problem_of(error)
        message: Message = {
            "type": "http.response.start",
            "status": answer.status_code,
            "headers": answer.raw_headers,
        }
        decorate(message, request.request_id)
        message["headers"] += self._cors.headers(shown.origin)
        await send(message)
        await send({"type": "http.response.body", "body": answer.body})
        form = _form(scope)
        counts = metrics.hot(scope["method"], TEMPLATES[form], answer.status_code)
        counts.add(time.monotonic() - began)

    def _request(self, scope: Scope, shown: Shown) -> context.RequestContext:
        client = scope.get("client")
        return context.RequestContext(self._request_id(shown), client[0] if client else None)

    def _request_id(self, shown: Shown) -> str:
        if shown.request_id:
            return context.new_request_id(shown.request_id.decode("latin-1"))
        self._number += 1
        return f"{self._ids}{self._number:08x}"

    async def _send(
        self,
        scope: Scope,
        send: Send,
        shown: Shown,
        space: Space,
        form: Form,
        answer: Answer,
        began: float,
        request_id: str | None = None,
        stale: float | None = None,
    ) -> None:
        """Send an answer, or 304 to who has it."""
        etag = shown.etag
        unchanged = (
            etag != b""
            and answer.etag != b""
            and form is not Form.FETCH
            and (
                etag == answer.etag
                or is_known(tags(etag.decode("latin-1")) or (), answer.etag.decode())
            )
        )
        status = 304 if unchanged else answer.status
        headers = [
            *(answer.unchanged if unchanged else answer.headers),
            (b"x-configsync-revision", space.revision_header(self.serving.feed.epoch)),
            (b"x-request-id", (request_id or self._request_id(shown)).encode()),
            *self._cors.headers(shown.origin),
        ]
        if stale is not None:
            metrics.snapshot_reads["stale"].count += 1
            headers += [(b"x-configsync-stale", str(int(stale) + 1).encode()), WARNING]
        if HOLD in (extensions := scope.get("extensions") or {}):
            extensions[HOLD]()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if unchanged else answer.body})
        counts = _COUNTS[form, status]
        seconds = time.monotonic() - began
        counts.count += 1
        counts.seconds += seconds
        counts.buckets[bisect_left(BOUNDS, seconds)] += 1


def _knows(found: Found, call: Call, shown: bytes) -> bool:
    """Say whether a caller who waits has the config that it would get."""
    if isinstance(found.snapshot, Rules):
        return False
    seen = found.snapshot.seen_by(found.access)
    if call.form is Form.FETCH:
        return seen.version == call.version
    return call.form is Form.EFFECTIVE and names(tags(shown.decode("latin-1")) or (), seen.etag)


def _form(scope: Scope) -> Form:
    """Return the form of a hot route by its path."""
    if scope["raw_path"] in FORMS:
        return FORMS[scope["raw_path"]]
    if scope["raw_path"].startswith(evaluations.SINGLE):
        return Form.OFREP
    if scope["raw_path"].startswith(ITEMS):
        return Form.ITEM
    return Form.STORED if scope["path"] == TEMPLATES[Form.STORED] else Form.EFFECTIVE

"""The HTTP server: AWS's operations at AWS's paths, the emulator's controls below /_emulator."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from local.bedrock import controls, wire
from local.bedrock.emulator import Emulator
from local.bedrock.errors import ApiError
from local.bedrock.settings import Settings

_log = logging.getLogger(__name__)
# The largest documented payload is InvokeModel's 25,000,000 bytes; base64 makes it a third longer.
_LARGEST_BODY = 36_000_000


def build(settings: Settings) -> Starlette:
    """Return the ASGI application; its emulator lives as long as the application runs."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.emulator = Emulator(settings)
        yield
        await app.state.emulator.close()

    app = Starlette(
        routes=[Mount("/_emulator", routes=controls.ROUTES)],
        lifespan=lifespan,
        exception_handlers={Exception: _broken},
    )
    # AWS's own paths are matched by `wire`, on the encoded path: a route would decode it first.
    app.router.redirect_slashes = False
    app.router.default = _aws
    return app


async def _broken(request: Request, error: Exception) -> Response:
    """Answer as AWS does when the emulator itself fails; the server logs the traceback."""
    del request, error
    failure = ApiError("InternalServerException", "The request processing has failed.")
    reply = wire.render_error(failure)
    return Response(reply.body, status_code=failure.status, headers=dict(reply.headers))


async def _aws(scope: Scope, receive: Receive, send: Send) -> None:
    response = await _serve(Request(scope, receive))
    await response(scope, receive, send)


async def _serve(request: Request) -> Response:
    """Answer one AWS request; whatever is wrong with it becomes AWS's error."""
    emulator: Emulator = request.app.state.emulator
    try:
        reply, status = await _answer(request, emulator), 200
    except ApiError as error:
        reply, status = wire.render_error(error), error.status
    headers = {**reply.headers, "x-amzn-requestid": str(uuid.uuid4())}
    return Response(reply.body, status_code=status, headers=headers)


async def _answer(request: Request, emulator: Emulator) -> wire.Reply:
    settings = emulator.settings
    caller = wire.caller(
        request.headers.get("authorization", ""), account=settings.account, region=settings.region
    )
    path = request.scope["raw_path"].decode("ascii", "replace")
    call = wire.parse(
        request.method,
        path,
        request.url.query,
        request.headers,
        await _body(request),
        caller=caller,
    )
    if (fault := emulator.faults.api_error(call.operation)) is not None:
        raise fault
    if call.operation in emulator.control_plane.handlers:
        return emulator.control_plane.answer(call)
    return await asyncio.to_thread(emulator.runtime.handlers[call.operation], call)


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > _LARGEST_BODY:
                raise ApiError("RequestEntityTooLargeException", "The request body is too large")
            parts.append(part)
    except ClientDisconnect as gone:
        raise ApiError("SerializationException", "The client closed the connection") from gone
    return b"".join(parts)

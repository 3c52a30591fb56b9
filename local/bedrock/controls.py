"""The emulator's own endpoints below /_emulator: what AWS has no call for.

GET health · GET/PUT faults · GET/PUT limits · PUT guardrails/{id} · GET clock ·
POST clock/advance · GET bill · POST reset
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from local.bedrock import wire
from local.bedrock.emulator import Emulator
from local.bedrock.faults import Faults
from local.bedrock.guardrails import Guardrail
from local.bedrock.limits import Limits


class _Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(ge=0, le=366 * 24 * 3600)


def _emulator(request: Request) -> Emulator:
    emulator: Emulator = request.app.state.emulator
    return emulator


async def _health(request: Request) -> JSONResponse:
    emulator = _emulator(request)
    return JSONResponse({"status": "ok", "jobs": sum(1 for _ in emulator.store)})


async def _get_faults(request: Request) -> JSONResponse:
    return JSONResponse(_emulator(request).faults.plan.model_dump(mode="json"))


async def _put_faults(request: Request) -> JSONResponse:
    plan = await _parsed(Faults, request)
    if isinstance(plan, JSONResponse):
        return plan
    _emulator(request).faults.replace(plan)
    return JSONResponse(plan.model_dump(mode="json"))


async def _get_limits(request: Request) -> JSONResponse:
    return JSONResponse(_emulator(request).runner.limits.model_dump(mode="json"))


async def _put_limits(request: Request) -> JSONResponse:
    limits = await _parsed(Limits, request)
    if isinstance(limits, JSONResponse):
        return limits
    _emulator(request).runner.limits = limits
    return JSONResponse(limits.model_dump(mode="json"))


async def _put_guardrail(request: Request) -> JSONResponse:
    guardrail = await _parsed(Guardrail, request)
    if isinstance(guardrail, JSONResponse):
        return guardrail
    _emulator(request).guardrails.define(request.path_params["guardrail_id"], guardrail)
    return JSONResponse(guardrail.model_dump(mode="json"))


async def _get_clock(request: Request) -> JSONResponse:
    clock = _emulator(request).clock
    return JSONResponse({"now": wire.iso(clock.now()), "manual": clock.manual})


async def _advance(request: Request) -> JSONResponse:
    wanted = await _parsed(_Advance, request)
    if isinstance(wanted, JSONResponse):
        return wanted
    await _emulator(request).clock.advance(wanted.seconds)
    return await _get_clock(request)


async def _bill(request: Request) -> JSONResponse:
    return JSONResponse({"charged": _emulator(request).bill.rows()})


async def _reset(request: Request) -> JSONResponse:
    _emulator(request).reset()
    return JSONResponse({"status": "ok"})


async def _parsed[M: BaseModel](kind: type[M], request: Request) -> M | JSONResponse:
    try:
        return kind.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        problems: Any = error.errors(include_url=False, include_context=False, include_input=False)
        return JSONResponse({"errors": problems}, status_code=400)


ROUTES = [
    Route("/health", _health, methods=["GET"]),
    Route("/faults", _get_faults, methods=["GET"]),
    Route("/faults", _put_faults, methods=["PUT"]),
    Route("/limits", _get_limits, methods=["GET"]),
    Route("/limits", _put_limits, methods=["PUT"]),
    Route("/clock", _get_clock, methods=["GET"]),
    Route("/clock/advance", _advance, methods=["POST"]),
    Route("/bill", _bill, methods=["GET"]),
    Route("/guardrails/{guardrail_id}", _put_guardrail, methods=["PUT"]),
    Route("/reset", _reset, methods=["POST"]),
]

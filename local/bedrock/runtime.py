"""The operations of service `bedrock-runtime`: Converse, InvokeModel, CountTokens, ApplyGuardrail."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from local.bedrock import catalog, converse, guardrails, inference
from local.bedrock.bill import ON_DEMAND, Bill
from local.bedrock.catalog import Model
from local.bedrock.errors import invalid
from local.bedrock.generation import Writer
from local.bedrock.guardrails import Guardrail, Guardrails
from local.bedrock.limits import Limits
from local.bedrock.prompts import Answer, EmbeddingRequest, Prompt
from local.bedrock.shapes import decode_blob
from local.bedrock.throttle import Meter
from local.bedrock.wire import Call, Reply, load_object, render

_ACTION = "amazon-bedrock-guardrailAction"


class _HasLimits(Protocol):
    limits: Limits


@dataclass(frozen=True)
class _Guarded:
    """An answer that passed a guardrail, and what the guardrail found on either side."""

    answer: Answer
    intervened: bool
    on_input: list[str]
    on_output: list[str]


class Runtime:
    """Handlers by operation name. They compute, so the server runs them in a thread."""

    def __init__(
        self, writer: Writer, guardrails: Guardrails, meter: Meter, bill: Bill, limits: _HasLimits
    ) -> None:
        self._writer = writer
        self._guardrails = guardrails
        self._meter = meter
        self._bill = bill
        self._limits = limits
        self.handlers: Mapping[str, Callable[[Call], Reply]] = {
            "ApplyGuardrail": self.apply_guardrail,
            "Converse": self.converse,
            "CountTokens": self.count_tokens,
            "InvokeModel": self.invoke,
        }

    def converse(self, call: Call) -> Reply:
        started = time.perf_counter()
        model = catalog.invocable(call.parameters["modelId"], batch=False)
        tier = (call.parameters.get("serviceTier") or {}).get("type")
        _check_options(model, tier, (call.parameters.get("performanceConfig") or {}).get("latency"))
        config = call.parameters.get("guardrailConfig") or {}
        guardrail = self._guardrail(config.get("guardrailIdentifier"), config.get("guardrailVersion"))
        prompt = converse.read(call.parameters, model)
        guarded = self._answer(call, model, prompt, guardrail)
        response = converse.write(guarded.answer, latency_ms=_elapsed_ms(started))
        if guarded.intervened:
            response["stopReason"] = "guardrail_intervened"
        if guardrail is not None and config.get("trace", "disabled") != "disabled":
            identifier = config["guardrailIdentifier"]
            response["trace"] = {"guardrail": _trace(identifier, guarded, prompt)}
        if tier is not None:
            response["serviceTier"] = {"type": tier}
        if "performanceConfig" in call.parameters:
            response["performanceConfig"] = call.parameters["performanceConfig"]
        return render(response)

    def invoke(self, call: Call) -> Reply:
        started = time.perf_counter()
        model = catalog.invocable(call.parameters["modelId"], batch=False)
        tier = call.parameters.get("serviceTier")
        _check_options(model, tier, call.parameters.get("performanceConfigLatency"))
        guardrail = self._guardrail(
            call.parameters.get("guardrailIdentifier"), call.parameters.get("guardrailVersion")
        )
        request = inference.read_body(model, load_object(call.body, "ValidationException"))
        if isinstance(request, EmbeddingRequest):
            input_tokens, output_tokens = inference.input_tokens(model, request), 0
            self._take(call, model, None)
            self._bill.add(model.model_id, ON_DEMAND, input_tokens, output_tokens)
            output = inference.write_embedding(model, request, input_tokens)
        else:
            guarded = self._answer(call, model, request, guardrail)
            answer = guarded.answer
            input_tokens, output_tokens = answer.input_tokens, answer.output_tokens
            output = inference.write_body(model, answer)
            if guardrail is not None:
                output[_ACTION] = "INTERVENED" if guarded.intervened else "NONE"
        headers = {
            "content-type": "application/json",
            "x-amzn-bedrock-input-token-count": str(input_tokens),
            "x-amzn-bedrock-output-token-count": str(output_tokens),
            "x-amzn-bedrock-invocation-latency": str(_elapsed_ms(started)),
        }
        if tier is not None:
            headers["x-amzn-bedrock-service-tier"] = tier
        return Reply(orjson.dumps(output), headers)

    def count_tokens(self, call: Call) -> Reply:
        model = catalog.countable(call.parameters["modelId"])
        given = call.parameters["input"]
        if "invokeModel" in given:
            content = decode_blob(given["invokeModel"]["body"], "input.invokeModel.body")
            request = inference.read_body(model, load_object(content, "ValidationException"))
            return render({"inputTokens": inference.input_tokens(model, request)})
        prompt = converse.read(given["converse"], model)
        return render({"inputTokens": inference.input_tokens(model, prompt)})

    def apply_guardrail(self, call: Call) -> Reply:
        asked = call.parameters
        found = self._guardrails.find(
            asked["guardrailIdentifier"], asked["guardrailVersion"], code="ResourceNotFoundException"
        )
        return render(guardrails.apply(found, asked["source"], asked["content"]))

    def _guardrail(self, identifier: str | None, version: str | None) -> Guardrail | None:
        if not identifier:
            return None
        if not version:
            raise invalid("A guardrailVersion is required with a guardrailIdentifier.")
        return self._guardrails.find(identifier, version, code="ValidationException")

    def _answer(self, call: Call, model: Model, prompt: Prompt, guardrail: Guardrail | None) -> _Guarded:
        on_input = guardrail.matches(prompt.text) if guardrail else []
        if guardrail and on_input:
            # The model never sees what is blocked before it, so nothing is metered.
            return _Guarded(Answer(guardrail.blocked_input, "end_turn", 0, 0), True, on_input, [])
        settle = self._take(call, model, prompt)
        answer = inference.answer(model, prompt, self._writer)
        settle(answer)
        self._bill.add(model.model_id, ON_DEMAND, answer.input_tokens, answer.output_tokens)
        on_output = guardrail.matches(answer.text) if guardrail else []
        if guardrail and on_output:
            used = (answer.input_tokens, answer.output_tokens)
            return _Guarded(Answer(guardrail.blocked_output, "end_turn", *used), True, [], on_output)
        return _Guarded(answer, False, [], [])

    def _take(self, call: Call, model: Model, prompt: Prompt | None) -> Callable[[Answer], None]:
        """Take a request's share of the on-demand quotas; the result settles it by what was used.

        Embedding models are metered by requests alone.
        """
        limits = self._limits.limits
        reserved = 0
        if prompt is not None:
            reserved = inference.input_tokens(model, prompt) + prompt.max_tokens
        charge = self._meter.begin(
            (call.caller, model.model_id),
            reserved,
            requests_limit=limits.requests_per_minute,
            tokens_limit=limits.tokens_per_minute if prompt is not None else None,
        )

        def settle(answer: Answer) -> None:
            burnt = answer.output_tokens * model.output_burndown
            self._meter.settle(charge, answer.input_tokens + burnt)

        return settle


def _trace(identifier: str, guarded: _Guarded, prompt: Prompt) -> dict[str, Any]:
    asked = guardrails.assessment(guarded.on_input, characters=len(prompt.text))
    trace: dict[str, Any] = {"inputAssessment": {identifier: asked}}
    if not guarded.on_input:
        said = guardrails.assessment(guarded.on_output, characters=len(guarded.answer.text))
        trace["outputAssessments"] = {identifier: [said]}
    return trace


def _elapsed_ms(started: float) -> int:
    return max(1, round((time.perf_counter() - started) * 1000))


def _check_options(model: Model, tier: str | None, latency: str | None) -> None:
    if tier not in {None, "default"} and not model.tiers:
        raise invalid(f"The service tier {tier} is not supported for model {model.model_id}.")
    if latency == "optimized" and not model.latency_optimized:
        raise invalid(f"Latency performance configuration is not supported for {model.model_id}.")

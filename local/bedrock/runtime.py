"""The operations of service `bedrock-runtime`: Converse, InvokeModel, CountTokens."""

import time
from typing import TYPE_CHECKING

import orjson

from local.bedrock import catalog, converse, generation, inference
from local.bedrock.errors import invalid
from local.bedrock.faults import FaultBoard
from local.bedrock.generation import Writer
from local.bedrock.shapes import decode_blob
from local.bedrock.wire import Call, Reply, load_object, render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Runtime:
    """Handlers by operation name. They compute, so the server runs them in a thread."""

    def __init__(self, writer: Writer, faults: FaultBoard) -> None:
        self._writer = writer
        self._faults = faults
        self.handlers: Mapping[str, Callable[[Call], Reply]] = {
            "Converse": self.converse,
            "CountTokens": self.count_tokens,
            "InvokeModel": self.invoke,
        }

    def converse(self, call: Call) -> Reply:
        started = time.perf_counter()
        model = catalog.invocable(call.parameters["modelId"], batch=False)
        tier = (call.parameters.get("serviceTier") or {}).get("type")
        _check_tier(model, tier)
        prompt = converse.read(call.parameters, model)
        answer = inference.converse_answer(model, prompt, self._writer)
        elapsed = round((time.perf_counter() - started) * 1000)
        response = converse.write(answer, latency_ms=max(1, elapsed))
        if tier is not None:
            response["serviceTier"] = {"type": tier}
        return render(response)

    def invoke(self, call: Call) -> Reply:
        started = time.perf_counter()
        model = catalog.invocable(call.parameters["modelId"], batch=False)
        tier = call.parameters.get("serviceTier")
        _check_tier(model, tier)
        body = load_object(call.body, "ValidationException")
        outcome = inference.invoke(model, body, self._writer)
        headers = {
            "content-type": "application/json",
            "x-amzn-bedrock-input-token-count": str(outcome.input_tokens),
            "x-amzn-bedrock-output-token-count": str(outcome.output_tokens),
            "x-amzn-bedrock-invocation-latency": str(max(1, round((time.perf_counter() - started) * 1000))),
        }
        if tier is not None:
            headers["x-amzn-bedrock-service-tier"] = tier
        return Reply(orjson.dumps(outcome.output), headers)

    def count_tokens(self, call: Call) -> Reply:
        model = catalog.invocable(call.parameters["modelId"], batch=False)
        if not model.count_tokens:
            raise invalid("The provided model doesn't support counting tokens.")
        given = call.parameters["input"]
        if "invokeModel" in given:
            content = decode_blob(given["invokeModel"]["body"], "input.invokeModel.body")
            body = load_object(content, "ValidationException")
            return render({"inputTokens": inference.invoke_input_tokens(model, body)})
        prompt = converse.read(given["converse"], model)
        counted = generation.count_input(prompt, inference.counter(model.tokens))
        return render({"inputTokens": counted})


def _check_tier(model: catalog.Model, tier: str | None) -> None:
    if tier not in {None, "default"} and not model.tiers:
        raise invalid(f"The service tier {tier} is not supported for model {model.model_id}.")

"""Bedrock's runtime: single calls, with their errors sorted by what one can do about them."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ParamValidationError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from batchline import catalog
from batchline.aws.bedrock import sentence
from batchline.invoke import THROTTLED, UNCONFIRMED
from batchline.models import Tier

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

CONVERSE: Final = "Converse"
SERVER_ERROR: Final = 500
# Some embeddings say only here how many tokens they have read.
INPUT_TOKENS: Final = "x-amzn-bedrock-input-token-count"


class CallError(Exception):
    """A call without an answer. `code` is an HTTP status; 408: nobody knows, maybe paid."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def worth_repeating(self) -> bool:
        """Tell whether the same call may succeed now and has surely not been paid for."""
        return self.code == THROTTLED or self.code >= SERVER_ERROR


@dataclass(frozen=True, slots=True)
class Runtime:
    """Bedrock's runtime: one record at a time, at the on-demand price."""

    client: "BedrockRuntimeClient"

    def ask(self, model: str, kind: str, body: Mapping[str, Any], tier: Tier) -> dict[str, Any]:
        """Ask the model once, by Converse or InvokeModel, as `kind` says. Raises CallError."""
        with _sorted():
            if kind == CONVERSE:
                return self._converse(model, body, tier)
            return self._invoke(model, body, tier)

    def count(self, model: str, kind: str, body: Mapping[str, Any]) -> int:
        """Ask how many tokens a request has, which costs nothing. Raises CallError.

        A schema for the answer has no place in that question, and its tokens are not in the number.
        """
        asked: Any = {"invokeModel": {"body": orjson.dumps(body)}}
        if kind == CONVERSE:
            messages = [_message(one) for one in body["messages"]]
            asked = {
                "converse": {"messages": messages} | {key: body[key] for key in ("system",) if key in body}
            }
        with _sorted():
            # It knows models, not their profiles.
            return self.client.count_tokens(modelId=catalog.base_id(model), input=asked)["inputTokens"]

    def _converse(self, model: str, body: Mapping[str, Any], tier: Tier) -> dict[str, Any]:
        request: Any = {"modelId": model, **body, "messages": [_message(one) for one in body["messages"]]}
        if tier is not Tier.DEFAULT:
            request["serviceTier"] = {"type": tier}
        reply: dict[str, Any] = dict(self.client.converse(**request))
        del reply["ResponseMetadata"]
        return reply

    def _invoke(self, model: str, body: Mapping[str, Any], tier: Tier) -> dict[str, Any]:
        request: Any = {"modelId": model, "body": orjson.dumps(body), "contentType": "application/json"}
        if tier is not Tier.DEFAULT:
            request["serviceTier"] = tier
        reply = self.client.invoke_model(**request)
        output: dict[str, Any] = orjson.loads(reply["body"].read())
        tokens = reply["ResponseMetadata"]["HTTPHeaders"].get(INPUT_TOKENS)
        if tokens is not None:
            output["usage"] = {"inputTokens": int(tokens), "outputTokens": 0}
        return output


@contextmanager
def _sorted() -> Iterator[None]:
    """Turn what goes wrong in a call into a CallError."""
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", SERVER_ERROR)
        raise CallError(int(status), sentence(error)) from error
    except ParamValidationError as error:  # never sent, and never will be
        raise CallError(400, "the request is not one that Bedrock takes") from error
    except BotoConnectionError as error:  # never sent
        raise CallError(503, str(error)) from error
    except (HTTPClientError, IncompleteReadError) as error:
        raise CallError(UNCONFIRMED, f"no answer came: {error}") from error


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Write a message as boto3 takes it: pictures as bytes, which are Base64 in a batch's input."""
    content = [
        {"image": block["image"] | {"source": {"bytes": base64.b64decode(block["image"]["source"]["bytes"])}}}
        if "image" in block
        else block
        for block in message["content"]
    ]
    return {**message, "content": content}

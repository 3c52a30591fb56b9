"""Bedrock's runtime: single calls, with their errors sorted by what one can do about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from batchline.aws.bedrock import sentence
from batchline.models import Tier

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient


@dataclass(frozen=True, slots=True)
class CallError(Exception):
    """A Converse call without an answer. `code` is an HTTP status; 408: nobody knows, maybe paid."""

    code: int
    message: str

    @property
    def worth_repeating(self) -> bool:
        """Tell whether the same call may succeed now and has surely not been paid for."""
        throttled, server_error = 429, 500
        return self.code == throttled or self.code >= server_error


UNCONFIRMED: Final = 408


@dataclass(frozen=True, slots=True)
class Runtime:
    """Bedrock's runtime: one record at a time, at the on-demand price."""

    client: "BedrockRuntimeClient"

    def converse(self, model: str, body: Mapping[str, Any], tier: Tier) -> dict[str, Any]:
        """Ask the model once. Raises CallError."""
        request: Any = {"modelId": model, **body}
        if tier is not Tier.DEFAULT:
            request["serviceTier"] = {"type": tier}
        try:
            reply: dict[str, Any] = dict(self.client.converse(**request))
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            raise CallError(int(status), sentence(error)) from error
        except BotoConnectionError as error:  # the request was never sent
            raise CallError(503, str(error)) from error
        except HTTPClientError as error:
            raise CallError(UNCONFIRMED, f"no answer came: {error}") from error
        del reply["ResponseMetadata"]
        return reply

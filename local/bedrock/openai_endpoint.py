"""A real model as the writer: any server that speaks OpenAI's chat completions.

Ollama, llama.cpp and vLLM do: https://platform.openai.com/docs/api-reference/chat
"""

import threading
from collections.abc import Mapping
from typing import Any, Final

import orjson
import urllib3

from local.bedrock.errors import ApiError
from local.bedrock.generation import Draft
from local.bedrock.prompts import Prompt

_RETRIED: Final = (429, 500, 502, 503, 504)
_TOO_MANY_REQUESTS: Final = 429
_FIRST_ERROR: Final = 400


class EndpointWriter:
    """Writes with a model behind `url`, such as http://127.0.0.1:11434/v1.

    At most `concurrency` requests run at once; a refused or failed one is retried twice.
    """

    def __init__(
        self, url: str, model: str, *, concurrency: int, timeout: float, backoff: float = 0.5
    ) -> None:
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._model = model
        self._slots = threading.BoundedSemaphore(concurrency)
        self._http = urllib3.PoolManager(
            maxsize=concurrency,
            timeout=timeout,
            retries=urllib3.Retry(
                total=2,
                allowed_methods=None,
                status_forcelist=_RETRIED,
                backoff_factor=backoff,
                raise_on_status=False,
            ),
        )

    def write(self, prompt: Prompt) -> Draft:
        return self._complete(prompt, prompt.schema)

    def fill(self, prompt: Prompt, schema: Mapping[str, Any]) -> Any:
        """Return the JSON value that the model writes; ModelErrorException if it writes none."""
        draft = self._complete(prompt, schema)
        try:
            return orjson.loads(draft.text)
        except orjson.JSONDecodeError as error:
            raise ApiError("ModelErrorException", f"The model wrote no JSON: {error}") from error

    def _complete(self, prompt: Prompt, schema: Mapping[str, Any] | None) -> Draft:
        with self._slots:
            return _draft(self._post(self._request(prompt, schema)))

    def _request(self, prompt: Prompt, schema: Mapping[str, Any] | None) -> dict[str, Any]:
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        turns = [{"role": turn.role, "content": turn.text} for turn in prompt.turns]
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [*system, *turns],
            "max_tokens": prompt.max_tokens,
        }
        if prompt.temperature is not None:
            request["temperature"] = prompt.temperature
        if prompt.stop_sequences:
            request["stop"] = list(prompt.stop_sequences)
        if schema is not None:
            named = {"name": "answer", "schema": dict(schema), "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": named}
        return request

    def _post(self, request: Mapping[str, Any]) -> Any:
        try:
            answer = self._http.request(
                "POST",
                self._url,
                body=orjson.dumps(request),
                headers={"content-type": "application/json"},
            )
        except urllib3.exceptions.TimeoutError as error:
            raise ApiError("ModelTimeoutException", f"The model did not answer: {error}") from error
        except urllib3.exceptions.HTTPError as error:
            raise ApiError("ServiceUnavailableException", f"No model answers: {error}") from error
        if answer.status == _TOO_MANY_REQUESTS:
            raise ApiError("ThrottlingException", "The model's endpoint is busy.")
        if answer.status >= _FIRST_ERROR:
            said = answer.data[:500].decode("utf-8", "replace")
            raise ApiError("ModelErrorException", f"The model's endpoint said {answer.status}: {said}")
        try:
            return orjson.loads(answer.data)
        except orjson.JSONDecodeError as error:
            raise ApiError("ModelErrorException", f"The endpoint sent no JSON: {error}") from error


def _draft(answer: Any) -> Draft:
    try:
        choice = answer["choices"][0]
        usage = answer.get("usage") or {}
        return Draft(
            text=choice["message"]["content"] or "",
            input_tokens=usage.get("prompt_tokens"),
            output_tokens=usage.get("completion_tokens"),
            cut=choice.get("finish_reason") == "length",
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ApiError("ModelErrorException", "The endpoint sent no chat completion.") from error

from typing import Any

from batchline.aws.runtime import Runtime
from batchline.models import Tier


class Client:
    """Takes a request and answers nothing."""

    def __init__(self) -> None:
        self.request: dict[str, Any] = {}

    def converse(self, **request: Any) -> dict[str, Any]:
        self.request = request
        return {"ResponseMetadata": {}, "output": {}}


def test_the_sdk_gets_the_bytes_of_a_picture() -> None:
    picture = {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}
    body = {"messages": [{"role": "user", "content": [picture, {"text": "What is it?"}]}]}
    client = Client()
    Runtime(client).ask("m", "Converse", body, Tier.DEFAULT)  # type: ignore[arg-type]
    assert client.request["messages"] == [
        {
            "role": "user",
            "content": [
                {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}},
                {"text": "What is it?"},
            ],
        }
    ]
    assert picture["image"]["source"] == {"bytes": "iVBORw=="}

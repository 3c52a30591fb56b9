"""How the quick AWS says no."""

from typing import Any


class Refusal(Exception):
    """AWS's own error, before the client that asked has made an exception of it."""

    def __init__(self, code: str, message: str, *, status: int = 400, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.response: dict[str, Any] = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
            **more,
        }

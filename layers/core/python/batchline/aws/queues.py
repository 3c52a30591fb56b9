"""Doorbells: messages that carry an id. The row that it names is the truth."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any

import stamina

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10
MAX_DELAY_SECONDS = 900


class NotSent(Exception):
    """SQS took only some messages of a batch. Send the others again."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue, by its URL."""

    client: "SQSClient"
    url: str

    def ring(self, body: Mapping[str, Any], *, delay_seconds: int = 0) -> None:
        """Send one doorbell, to be heard after a delay of at most 15 minutes."""
        self.client.send_message(
            QueueUrl=self.url,
            MessageBody=json.dumps(body),
            DelaySeconds=min(delay_seconds, MAX_DELAY_SECONDS),
        )

    def ring_all(self, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Send many doorbells."""
        for batch in batched(bodies, BATCH, strict=False):
            left = {str(n): json.dumps(body) for n, body in enumerate(batch)}
            for attempt in stamina.retry_context(on=NotSent, attempts=6, timeout=30):
                with attempt:
                    reply = self.client.send_message_batch(
                        QueueUrl=self.url,
                        Entries=[{"Id": n, "MessageBody": body} for n, body in left.items()],
                    )
                    left = {one["Id"]: left[one["Id"]] for one in reply.get("Failed", ())}
                    if left:
                        raise NotSent

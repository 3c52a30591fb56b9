"""SQS: messages that come again when nobody has deleted them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

type Asked = dict[str, Any]


@dataclass
class Message:
    id: str
    body: str
    visible_at: float
    receives: int = 0


@dataclass
class Queue:
    """One queue; `messages` can be received now, `_messages` are all, as in moto."""

    clock: Callable[[], datetime]
    hidden_for: int
    _messages: list[Message] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        now = self.clock().timestamp()
        return [one for one in self._messages if one.visible_at <= now]


@dataclass
class Queues:
    """All queues, by the operations of their API."""

    clock: Callable[[], datetime]
    queues: dict[str, Queue] = field(default_factory=dict)
    _sent: int = 0

    def create_queue(self, asked: Asked) -> Asked:
        hidden_for = int(asked["Attributes"].get("VisibilityTimeout", 30))
        self.queues[asked["QueueName"]] = Queue(self.clock, hidden_for)
        return {"QueueUrl": f"https://sqs.us-east-1.amazonaws.com/123456789012/{asked['QueueName']}"}

    def send_message(self, asked: Asked) -> Asked:
        return {"MessageId": self._send(asked, asked)}

    def send_message_batch(self, asked: Asked) -> Asked:
        assert 1 <= len(asked["Entries"]) <= 10
        sent = [{"Id": one["Id"], "MessageId": self._send(asked, one)} for one in asked["Entries"]]
        return {"Successful": sent}

    def receive_message(self, asked: Asked) -> Asked:
        queue = self._queue(asked)
        found = queue.messages[: asked.get("MaxNumberOfMessages", 1)]
        for one in found:
            one.receives += 1
            one.visible_at = self.clock().timestamp() + queue.hidden_for
        messages = [
            {
                "MessageId": one.id,
                "ReceiptHandle": one.id,
                "Body": one.body,
                "Attributes": {"ApproximateReceiveCount": str(one.receives)},
            }
            for one in found
        ]
        return {"Messages": messages} if messages else {}

    def delete_message(self, asked: Asked) -> Asked:
        queue = self._queue(asked)
        queue._messages = [one for one in queue._messages if one.id != asked["ReceiptHandle"]]
        return {}

    def _send(self, asked: Asked, entry: Asked) -> str:
        self._sent += 1
        visible_at = self.clock().timestamp() + entry.get("DelaySeconds", 0)
        self._queue(asked)._messages.append(
            Message(f"message-{self._sent}", entry["MessageBody"], visible_at)
        )
        return f"message-{self._sent}"

    def _queue(self, asked: Asked) -> Queue:
        return self.queues[asked["QueueUrl"].rpartition("/")[2]]

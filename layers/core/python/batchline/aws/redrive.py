"""Redrive: messages that were given up on are sent to their queues again."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchline.aws.queues import Queue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The messages of one queue that were delivered too often. `waiting` is SQS's approximate count."""

    stage: str
    arn: str
    waiting: int


def dead_letters(queues: dict[str, Queue]) -> Iterator[DeadLetters]:
    """Say for each stage's queue how many messages were given up on."""
    for stage, queue in queues.items():
        client = queue.client
        found = client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["RedrivePolicy"])
        policy = json.loads(found["Attributes"]["RedrivePolicy"])
        arn = policy["deadLetterTargetArn"]
        yield DeadLetters(stage, arn, _waiting(client, arn))


def _waiting(client: "SQSClient", arn: str) -> int:
    url = client.get_queue_url(QueueName=arn.rsplit(":", 1)[-1])["QueueUrl"]
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(found["Attributes"]["ApproximateNumberOfMessages"])


def redrive(queue: Queue, letters: DeadLetters) -> None:
    """Have SQS move all messages back to the queue that they came from. It goes on by itself."""
    queue.client.start_message_move_task(SourceArn=letters.arn)

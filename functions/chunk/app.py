"""Chunk: uploads in, document rows and shards out."""

from datetime import datetime, timedelta
from functools import cache, partial
from operator import itemgetter
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from batchline import chunk, clock, settings
from batchline.aws import account
from batchline.aws.chunk import Chunker, uploads

logger = Logger()
tracer = Tracer()
metrics = Metrics()
processor = BatchProcessor(EventType.SQS)

# What is begun by then must be written before the function is ended.
RESERVE: Final = timedelta(seconds=60)


@cache
def chunker() -> Chunker:
    env = settings.Chunk()
    account.adopt(env.work_bucket, env.limits)
    return Chunker.connect(env, clock.now)


def take(record: SQSRecord, *, until: datetime, messages: int) -> None:
    """Take a message of S3, or the doorbell of a document."""
    body = record.json_body
    chunker().take(body, until=until, receives=receives(record.raw_event), messages=messages)
    new = [] if "hop" in body else list(uploads(body))
    metrics.add_metric("Uploads", MetricUnit.Count, len(new))


def receives(message: dict[str, Any]) -> int:
    return int(message["attributes"]["ApproximateReceiveCount"])


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    until = clock.now() + timedelta(milliseconds=context.get_remaining_time_in_millis()) - RESERVE
    messages = chunk.in_turn(event["Records"], name=itemgetter("messageId"), receives=receives)
    each = partial(take, until=until, messages=len(messages))
    response = process_partial_response(event | {"Records": messages}, each, processor, context)
    chunker().flush()
    failures = len(response["batchItemFailures"])
    logger.info("chunked", messages=len(messages), failures=failures)
    return response

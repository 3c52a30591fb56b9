"""Invoke: a small job in, its answers out, one call a record."""

from datetime import timedelta
from functools import cache, partial
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from batchline import clock, settings
from batchline.aws import account
from batchline.aws.invoke import Invoker

logger = Logger()
tracer = Tracer()
metrics = Metrics()
processor = BatchProcessor(EventType.SQS)


@cache
def invoker() -> Invoker:
    env = settings.Invoke()
    account.adopt(env.work_bucket, env.limits)
    return Invoker.connect(env, clock.now)


def take(record: SQSRecord, *, context: LambdaContext) -> None:
    """Answer one job, as far as the time allows."""
    job_id, hop = record.json_body["job_id"], record.json_body.get("hop", 0)
    until = clock.now() + timedelta(milliseconds=context.get_remaining_time_in_millis())
    answered = invoker().run(job_id, context.aws_request_id, until=until, hop=hop)
    metrics.add_metric("RecordsInvoked", MetricUnit.Count, answered)
    logger.info("invoked", job_id=job_id, answered=answered, hop=hop)


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    return process_partial_response(event, partial(take, context=context), processor, context)

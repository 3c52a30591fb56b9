"""Aggregate: a document with all its answers in, its result out."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from batchline import clock, settings
from batchline.aws import account
from batchline.aws.aggregate import Aggregator

logger = Logger()
tracer = Tracer()
metrics = Metrics()
processor = BatchProcessor(EventType.SQS)


@cache
def aggregator() -> Aggregator:
    env = settings.Aggregate()
    account.adopt(env.work_bucket, env.limits)
    return Aggregator.connect(env, clock.now)


def take(record: SQSRecord) -> None:
    """End one document, if all its records are settled."""
    document_id = record.json_body["document_id"]
    row = aggregator().run(document_id)
    status = row["status"] if row else None
    if status:
        metrics.add_metric(f"Documents{status.capitalize()}", MetricUnit.Count, 1)
    logger.info("aggregated", document_id=document_id, status=status)


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    return process_partial_response(event, take, processor, context)

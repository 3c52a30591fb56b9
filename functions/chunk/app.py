"""Chunk: uploads in, document rows and shards out."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from batchline import clock, settings
from batchline.aws.chunk import Chunker, uploads

logger = Logger()
tracer = Tracer()
metrics = Metrics()
processor = BatchProcessor(EventType.SQS)


@cache
def chunker() -> Chunker:
    return Chunker.connect(settings.Chunk(), clock.now)


def take(record: SQSRecord) -> None:
    """Take a message of S3, or the doorbell of a document that waited for its pipeline."""
    body = record.json_body
    if "document_id" in body:
        chunker().go_on(body["document_id"])
    for upload in uploads(body):
        chunker().accept(upload)
        metrics.add_metric("Uploads", MetricUnit.Count, 1)


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    response = process_partial_response(event, take, processor, context)
    chunker().flush()
    failures = len(response["batchItemFailures"])
    logger.info("chunked", messages=len(event["Records"]), failures=failures)
    return response

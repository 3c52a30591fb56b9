"""Collect: an ended job in, results and cost entries out. Rung by Bedrock's events and by invoke."""

from functools import cache, partial
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from batchline import clock, ids, settings
from batchline.aws.collect import Collector

logger = Logger()
tracer = Tracer()
metrics = Metrics()
processor = BatchProcessor(EventType.SQS)


@cache
def env() -> settings.Collect:
    return settings.Collect()


@cache
def collector() -> Collector:
    return Collector.connect(env(), clock.now)


def job_of(body: dict[str, Any]) -> str | None:
    """Name the job of a doorbell or of Bedrock's event. None: somebody else's job."""
    if "detail" in body:
        return ids.job_of(body["detail"]["batchJobName"], prefix=env().job_prefix)
    return str(body["job_id"])


def take(record: SQSRecord, *, owner: str) -> None:
    """Collect one job, if it has ended."""
    job_id = job_of(record.json_body)
    closed = collector().run(job_id, owner) if job_id else None
    if closed:
        metrics.add_metric("RecordsSucceeded", MetricUnit.Count, closed["counts"]["succeeded"])
        metrics.add_metric("RecordsFailed", MetricUnit.Count, closed["counts"]["failed"])
        metrics.add_metric("CostUsd", MetricUnit.NoUnit, float(closed["cost_usd"]))
    logger.info("collected", job_id=job_id, closed=closed is not None)


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    each = partial(take, owner=context.aws_request_id)
    return process_partial_response(event, each, processor, context)

"""Collect: an ended job in, results and cost entries out. Rung by Bedrock's events, invoke and itself."""

from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from batchline import clock, ids, settings
from batchline.aws import account
from batchline.aws.close import Closed
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
    account.adopt(env().work_bucket, env().limits)
    return Collector.connect(env(), clock.now)


def job_of(body: dict[str, Any]) -> str | None:
    """Name the job of a doorbell or of Bedrock's event. None: somebody else's job."""
    if "detail" in body:
        return ids.job_of(body["detail"]["batchJobName"], prefix=env().job_prefix)
    return str(body["job_id"])


def take(record: SQSRecord, *, owner: str, until: datetime) -> None:
    """Collect one job, if it has ended, or one part of its output."""
    body = record.json_body
    if "part" in body:
        read = collector().read_part(body["job_id"], body["part"])
        logger.info("read", job_id=body["job_id"], part=body["part"], wanted=read)
        return
    job_id = job_of(body)
    closed = collector().run(job_id, owner, until=until) if job_id else None
    if closed:
        tell(closed)
    logger.info("collected", job_id=job_id, closed=closed is not None)


def tell(closed: Closed) -> None:
    """Count what a job has done, and say loudly what must not be."""
    row = closed.row
    metrics.add_metric("RecordsSucceeded", MetricUnit.Count, row["counts"]["succeeded"])
    metrics.add_metric("RecordsFailed", MetricUnit.Count, row["counts"]["failed"])
    metrics.add_metric("CostUsd", MetricUnit.NoUnit, float(row["cost_usd"]))
    if closed.difference:
        metrics.add_metric("SumsDiffer", MetricUnit.Count, 1)
        logger.error("a job's sums do not add up", job_id=row["job_id"], difference=dict(closed.difference))
    if closed.paused:
        logger.error("a lane is paused", lane=row["lane"], job_id=row["job_id"], codes=row["codes"])


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    until = clock.now() + timedelta(milliseconds=context.get_remaining_time_in_millis())
    each = partial(take, owner=context.aws_request_id, until=until)
    return process_partial_response(event, each, processor, context)

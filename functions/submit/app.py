"""Submit: an open job in, a batch job at Bedrock out."""

from datetime import timedelta
from functools import cache, partial
from typing import Any

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from batchline import clock, settings
from batchline.aws import account
from batchline.aws.submit import Submitter

logger = Logger()
tracer = Tracer()
processor = BatchProcessor(EventType.SQS)


@cache
def submitter() -> Submitter:
    env = settings.Submit()
    account.adopt(env.work_bucket, env.limits)
    return Submitter.connect(env, clock.now)


def take(record: SQSRecord, *, context: LambdaContext) -> None:
    """Bring one job to Bedrock, or as far as the time allows."""
    job_id = record.json_body["job_id"]
    until = clock.now() + timedelta(milliseconds=context.get_remaining_time_in_millis())
    status = submitter().run(job_id, context.aws_request_id, until=until)
    logger.info("submitted", job_id=job_id, status=status)


@logger.inject_lambda_context
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    return process_partial_response(event, partial(take, context=context), processor, context)

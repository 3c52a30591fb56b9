"""Pack: pending shards in, open jobs out. Rung by the schedule and by whoever is in a hurry."""

import json
from datetime import timedelta
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from batchline import clock, settings
from batchline.aws import account
from batchline.aws.pack import Packer

# What has been begun by then is a claim of a few hundred shards, or a plan that is being written down.
TIME_TO_END = timedelta(seconds=25)

logger = Logger()
tracer = Tracer()
metrics = Metrics()


@cache
def packer() -> Packer:
    env = settings.Pack()
    account.adopt(env.work_bucket, env.limits)
    return Packer.connect(env, clock.now)


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    wakes = [json.loads(record["body"]) for record in event.get("Records", ())]
    hop = max((wake["hop"] for wake in wakes), default=0)
    until = clock.now() + timedelta(milliseconds=context.get_remaining_time_in_millis()) - TIME_TO_END
    packed = packer().run(context.aws_request_id, until=until, hop=hop)
    metrics.add_metric("JobsOpened", MetricUnit.Count, len(packed.jobs))
    logger.info("packed", jobs=packed.jobs, held=packed.held)

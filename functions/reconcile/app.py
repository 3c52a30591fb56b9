"""Reconcile: finds what has stopped moving and rings for it."""

from dataclasses import asdict
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from batchline import clock, settings
from batchline.aws import account
from batchline.aws.reconcile import Reconciler

logger = Logger()
tracer = Tracer()
metrics = Metrics()


@cache
def reconciler() -> Reconciler:
    env = settings.Reconcile()
    account.adopt(env.work_bucket, env.limits)
    return Reconciler.connect(env, clock.now)


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def handler(_event: dict[str, Any], context: LambdaContext) -> None:
    found = reconciler().run()
    # The alarms of one stack must not hear another stack's numbers.
    metrics.add_dimension("function", context.function_name)
    metrics.add_metric("SlotsFreed", MetricUnit.Count, found.freed)
    metrics.add_metric("JobsStopped", MetricUnit.Count, found.stopped)
    metrics.add_metric("OrphanJobs", MetricUnit.Count, found.orphans)
    metrics.add_metric("JobsWaitingTooLong", MetricUnit.Count, found.waiting)
    metrics.add_metric("LanePaused", MetricUnit.Count, found.paused)
    metrics.add_metric("StuckDocuments", MetricUnit.Count, found.stuck)
    logger.info("reconciled", **asdict(found))

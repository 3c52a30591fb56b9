"""State changes as EventBridge events, in the shape that Bedrock gives them.

https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring-eventbridge.html
"""

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING

import boto3
import orjson
import stamina
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.bedrock.clock import Clock
from local.bedrock.faults import FaultBoard
from local.bedrock.jobs import Job

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

_log = logging.getLogger(__name__)
_ATTEMPTS = 4


class DeliveryError(Exception):
    """EventBridge did not take an event; another attempt may help."""


def entry(job: Job, model_arn: str, at: datetime) -> "PutEventsRequestEntryTypeDef":
    """Return the PutEvents entry for the state that `job` is in."""
    detail = {
        "version": "0.0",
        "accountId": job.owner.account,
        "batchJobName": job.name,
        "batchJobArn": job.arn,
        "batchModelId": model_arn,
        "status": job.status.value,
        "failureMessage": job.message,
        "creationTime": job.submitted.strftime("%b %d, %Y, %I:%M:%S %p"),
    }
    return {
        "Source": "aws.bedrock",
        "DetailType": "Batch Inference Job State Change",
        "Resources": [job.arn],
        "Time": at,
        "Detail": orjson.dumps(detail).decode(),
    }


class Publisher:
    """Delivers events in order; a fault may lose, double or delay them."""

    def __init__(self, endpoint: str, clock: Clock, faults: FaultBoard) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._faults = faults
        self._clients: dict[str, EventBridgeClient] = {}
        self._turn = asyncio.Lock()

    def publish(self, job: Job, model_arn: str) -> None:
        """Begin the delivery of one state change."""
        made = entry(job, model_arn, self._clock.now())
        plan = self._faults.plan.for_job(job.name)
        for delay in plan.event_delays(job.arn, job.status):
            self._clock.spawn(self._deliver(made, job.owner.region, delay))

    async def _deliver(self, made: "PutEventsRequestEntryTypeDef", region: str, delay: float) -> None:
        if delay:
            await self._clock.sleep(delay)
        async with self._turn:
            try:
                await asyncio.to_thread(self._put, made, region)
            except DeliveryError:
                # Best effort, as on AWS: the job goes on, and whoever waits for events must poll.
                _log.exception("an event was not delivered")

    @stamina.retry(on=DeliveryError, attempts=_ATTEMPTS, wait_initial=0.2, wait_max=2)
    def _put(self, made: "PutEventsRequestEntryTypeDef", region: str) -> None:
        try:
            answer = self._client(region).put_events(Entries=[made])
        except (ClientError, BotoCoreError) as error:
            raise DeliveryError(str(error)) from error
        if answer["FailedEntryCount"]:
            raise DeliveryError(str(answer["Entries"]))

    def _client(self, region: str) -> "EventBridgeClient":
        if region not in self._clients:
            self._clients[region] = boto3.client(
                "events",
                endpoint_url=self._endpoint,
                region_name=region,
                aws_access_key_id="test",
                aws_secret_access_key="test",  # noqa: S106 - the local cloud's well-known key
                config=Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=10),
            )
        return self._clients[region]

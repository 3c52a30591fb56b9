"""The world on moto: slow, for what is about S3 itself or about each request as it is sent."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.model import Shape
from moto import mock_aws
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.events import events_backends
from moto.s3 import s3_backends
from moto.sqs import sqs_backends
from moto.sqs.models import Queue

from local.localstack.batchline_localstack import item_rules
from tests.integration import world as worlds
from tests.integration.calls import Calls
from tests.integration.fake_bedrock import Account
from tests.integration.passing import passing
from tests.integration.world import START, Clock, World

ACCOUNT = "123456789012"


def _canonical(value: DynamoType, given: Any) -> None:
    """Keep numbers as DynamoDB does, without exponent; moto fails to add to `1E-7`."""
    _init(value, given)
    if value.type == "N" and isinstance(value.value, str):
        # What is no number is left for moto to refuse.
        with contextlib.suppress(ArithmeticError):
            value.value = item_rules.canonical_number(value.value)


def _as_it_is(
    serializer: BaseJSONSerializer, answer: dict[str, Any], value: Any, shape: Shape, key: str
) -> None:
    """Answer a value in the notation in which it is kept.

    moto looks for each of its ten types by several names, which takes a third of the time of a test.
    """
    if shape.name == "AttributeValue":
        answer[key] = value
    else:
        _serialize(serializer, answer, value, shape, key)


_init = DynamoType.__init__
_serialize = BaseJSONSerializer._serialize_type_structure


class Moto:
    """What moto keeps."""

    @staticmethod
    def queue(name: str) -> Queue:
        return sqs_backends[ACCOUNT]["us-east-1"].queues[name]


@contextlib.contextmanager
def open_moto_world(
    monkeypatch: pytest.MonkeyPatch, account: Callable[[Clock, Calls], Account] = Account
) -> Iterator[Callable[[], World]]:
    """Yield what builds a fresh Batchline at nine in the morning, as often as it is called."""
    with mock_aws(), passing(monkeypatch, BaseClient._make_api_call) as current:

        def now() -> float:
            return current[-1].clock().timestamp() if current else START.timestamp()

        def begin() -> World:
            current.clear()
            for backends in (dynamodb_backends, s3_backends, sqs_backends, events_backends):
                for regions in backends.values():
                    for backend in regions.values():
                        backend.reset()
            clock, calls = Clock(), Calls()
            current.append(World(clock, calls, account(clock, calls), worlds.create(), Moto()))
            return current[-1]

        # Delays and visibility timeouts follow the test's clock.
        monkeypatch.setattr("moto.sqs.models.unix_time", now)
        monkeypatch.setattr("moto.sqs.models.unix_time_millis", lambda: now() * 1000)
        monkeypatch.setattr(DynamoType, "__init__", _canonical)
        monkeypatch.setattr(BaseJSONSerializer, "_serialize_type_structure", _as_it_is)
        yield begin

"""LocalStack's providers `dynamodb:moto` and `dynamodbstreams:moto`, in the same process.

LocalStack's own providers need DynamoDBLocal.jar and Java.
"""

import json
import threading
import time
from typing import Any

from localstack.aws.api import CommonServiceException, RequestContext, handler
from localstack.aws.api.dynamodb import DynamodbApi, IdempotentParameterMismatchException
from localstack.aws.api.dynamodbstreams import DynamodbstreamsApi
from localstack.aws.forwarder import ForwardingFallbackDispatcher
from localstack.services.moto import call_moto, call_moto_with_request
from localstack.services.plugins import Service, aws_provider
from localstack.state import StateVisitor
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodbstreams.models import dynamodbstreams_backends

from . import item_rules, tables
from .item_rules import InvalidItemError, Write

type Request = dict[str, Any]

# moto has no locks of its own, and LocalStack serves requests in many threads.
LOCK = threading.RLock()
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
TOKEN_LIFE_S = 600


def one_at_a_time(context: RequestContext, _request: Request) -> Request:
    with LOCK:
        return call_moto(context)


class DynamoDB(DynamodbApi):
    """DynamoDB; whatever is not here goes to moto as it is."""

    def __init__(self) -> None:
        tables.install()
        self._tokens: dict[str, tuple[float, str]] = {}

    def accept_state_visitor(self, visitor: StateVisitor) -> None:
        visitor.visit(dynamodb_backends)

    @handler("BatchWriteItem", expand=False)
    def batch_write_item(self, context: RequestContext, request: Request) -> Request:
        """Check the batch as a whole, then let moto write one table after the other.

        moto compares keys across tables, and takes a put and a delete of one item.
        """
        backend = dynamodb_backends[context.account_id][context.region]
        writes = [
            self._write(backend.get_table(name), entry)
            for name, entries in request["RequestItems"].items()
            for entry in entries
        ]
        with LOCK:
            try:
                item_rules.check_batch(writes)
                for write in writes:
                    if write.item is not None:
                        tables.check(backend.get_table(write.table), dict(write.item))
            except InvalidItemError as error:
                raise CommonServiceException("ValidationException", str(error)) from error
            for name, entries in request["RequestItems"].items():
                call_moto_with_request(context, {"RequestItems": {name: entries}})
        return {"UnprocessedItems": {}}

    @handler("TransactWriteItems", expand=False)
    def transact_write_items(self, context: RequestContext, request: Request) -> Request:
        """As moto does it, but a repeated ClientRequestToken does nothing."""
        token, now = request.get("ClientRequestToken"), time.monotonic()
        body = json.dumps(request["TransactItems"], sort_keys=True, default=repr)
        with LOCK:
            self._tokens = {
                known: (used, what)
                for known, (used, what) in self._tokens.items()
                if used > now - TOKEN_LIFE_S
            }
            if token in self._tokens:
                if self._tokens[token][1] != body:
                    raise IdempotentParameterMismatchException(
                        "The request uses the same client token as a previous, but non-identical "
                        "request"
                    )
                return {}
            response = call_moto(context)
            if token:
                self._tokens[token] = now, body
            return response

    @staticmethod
    def _write(table: tables.Table, entry: Request) -> Write:
        item = entry["PutRequest"]["Item"] if "PutRequest" in entry else None
        source = entry["DeleteRequest"]["Key"] if item is None else item
        key = {name: source[name] for name in table.table_key_attrs if name in source}
        return Write(table.name, key, item)


class DynamoDBStreams(DynamodbstreamsApi):
    """DynamoDB Streams, wholly moto's."""

    def accept_state_visitor(self, visitor: StateVisitor) -> None:
        visitor.visit(dynamodbstreams_backends)


def _service(provider: DynamoDB | DynamoDBStreams) -> Service:
    return Service.for_provider(
        provider,
        dispatch_table_factory=lambda api: ForwardingFallbackDispatcher(api, one_at_a_time),
    )


@aws_provider(api="dynamodb", name="moto")
def dynamodb_on_moto() -> Service:
    return _service(DynamoDB())


@aws_provider(api="dynamodbstreams", name="moto")
def dynamodbstreams_on_moto() -> Service:
    return _service(DynamoDBStreams())

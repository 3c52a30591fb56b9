"""LocalStack's providers `dynamodb:moto` and `dynamodbstreams:moto`, in the same process.

LocalStack's own providers need DynamoDBLocal.jar and Java.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from localstack.aws.api import CommonServiceException, RequestContext, handler
from localstack.aws.api.dynamodb import DynamodbApi, IdempotentParameterMismatchException
from localstack.aws.api.dynamodbstreams import DynamodbstreamsApi
from localstack.aws.forwarder import ForwardingFallbackDispatcher
from localstack.services.moto import call_moto, call_moto_with_request
from localstack.services.plugins import Service, aws_provider
from localstack.state import StateVisitor
from moto.core.exceptions import RESTError
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.table import Table
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
        entries = request["RequestItems"]
        with LOCK:
            with _moto_errors():
                _check_batch(dynamodb_backends[context.account_id][context.region], entries)
            for table_name, writes in entries.items():
                call_moto_with_request(context, {"RequestItems": {table_name: writes}})
        return {"UnprocessedItems": {}}

    @handler("TransactWriteItems", expand=False)
    def transact_write_items(self, context: RequestContext, request: Request) -> Request:
        """Do as moto does, but nothing for a ClientRequestToken that was used already."""
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
                        "The request uses the same client token as a previous, but non-identical request"
                    )
                return {}
            response = call_moto(context)
            if token:
                self._tokens[token] = now, body
            return response


class DynamoDBStreams(DynamodbstreamsApi):
    """DynamoDB Streams, wholly moto's."""

    def accept_state_visitor(self, visitor: StateVisitor) -> None:
        visitor.visit(dynamodbstreams_backends)


@aws_provider(api="dynamodb", name="moto")
def dynamodb_on_moto() -> Service:
    return _service(DynamoDB())


@aws_provider(api="dynamodbstreams", name="moto")
def dynamodbstreams_on_moto() -> Service:
    return _service(DynamoDBStreams())


def _service(provider: DynamoDB | DynamoDBStreams) -> Service:
    return Service.for_provider(
        provider,
        dispatch_table_factory=lambda api: ForwardingFallbackDispatcher(api, one_at_a_time),
    )


def _check_batch(backend: DynamoDBBackend, request_items: dict[str, list[Request]]) -> None:
    """Refuse the whole batch for one bad write, as DynamoDB does."""
    writes = []
    for table_name, entries in request_items.items():
        table = backend.get_table(table_name)
        for entry in entries:
            writes.append(_write(table, entry))
            if "PutRequest" in entry:
                tables.check(table, entry["PutRequest"]["Item"])
    item_rules.check_batch(writes)


def _write(table: Table, entry: Request) -> Write:
    source = entry["PutRequest"]["Item"] if "PutRequest" in entry else entry["DeleteRequest"]["Key"]
    key = {name: source[name] for name in table.table_key_attrs if name in source}
    return Write(table.name, key)


@contextlib.contextmanager
def _moto_errors() -> Iterator[None]:
    """Turn errors raised outside of a call of moto's API into ones that LocalStack answers with."""
    try:
        yield
    except InvalidItemError as error:
        raise CommonServiceException("ValidationException", str(error)) from error
    except RESTError as error:
        kind = error.error_type.rpartition("#")[2]
        raise CommonServiceException(kind, error.message, status_code=error.code) from error

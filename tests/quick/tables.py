"""DynamoDB: items in its own notation, conditional writes, transactions, queries and two kinds of index."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.quick import expressions
from tests.quick.expressions import Item, Terms, plain
from tests.quick.refusal import Refusal

MAX_ITEM_BYTES = 400 * 1024


@dataclass(frozen=True, slots=True)
class Keys:
    """The attributes by which a table or an index finds and sorts its items."""

    partition: str
    sort: str | None

    @classmethod
    def of(cls, schema: list[Mapping[str, str]]) -> "Keys":
        names = {one["KeyType"]: one["AttributeName"] for one in schema}
        return cls(names["HASH"], names.get("RANGE"))

    @property
    def names(self) -> tuple[str, ...]:
        return (self.partition, self.sort) if self.sort else (self.partition,)


@dataclass(frozen=True, slots=True)
class Table:
    keys: Keys
    indexes: dict[str, Keys]
    items: dict[tuple[str, ...], Item] = field(default_factory=dict)

    def key(self, item: Item) -> tuple[str, ...]:
        return tuple(item[name]["S"] for name in self.keys.names)

    def found(self, index: str | None) -> list[Item]:
        """List what the table or one of its indexes holds, each partition in the order of its sort key."""
        if index is None:
            return [self.items[key] for key in sorted(self.items)]
        by = self.indexes[index]
        kept = {*self.keys.names, *by.names}
        held = [one for one in self.items.values() if all(name in one for name in by.names)]
        held.sort(key=lambda one: tuple(one[name]["S"] for name in (*by.names, *self.keys.names)))
        return [{name: one[name] for name in one if name in kept} for one in held]


@dataclass
class Tables:
    """All tables, by the operations of their API."""

    tables: dict[str, Table] = field(default_factory=dict)

    def create_table(self, asked: Item) -> Item:
        indexes = asked.get("GlobalSecondaryIndexes", ())
        assert all(one["Projection"] == {"ProjectionType": "KEYS_ONLY"} for one in indexes)
        self.tables[asked["TableName"]] = Table(
            Keys.of(asked["KeySchema"]), {one["IndexName"]: Keys.of(one["KeySchema"]) for one in indexes}
        )
        return {}

    def delete_table(self, asked: Item) -> Item:
        del self.tables[asked["TableName"]]
        return {}

    def get_item(self, asked: Item) -> Item:
        table = self._table(asked["TableName"])
        found = table.items.get(table.key(asked["Key"]))
        return {"Item": found} if found else {}

    def put_item(self, asked: Item) -> Item:
        self._write(asked)
        return {}

    def update_item(self, asked: Item) -> Item:
        return {"Attributes": self._write(asked)}

    def delete_item(self, asked: Item) -> Item:
        self._write(asked)
        return {}

    def query(self, asked: Item) -> Item:
        return self._select(asked, asked["KeyConditionExpression"])

    def scan(self, asked: Item) -> Item:
        return self._select(asked, asked.get("FilterExpression", ""))

    def batch_get_item(self, asked: Item) -> Item:
        found = {}
        for name, some in asked["RequestItems"].items():
            table = self._table(name)
            keys = [table.key(one) for one in some["Keys"]]
            assert 1 <= len(keys) <= 100, "DynamoDB takes a hundred keys at most"
            if len(set(keys)) < len(keys):
                raise Refusal("ValidationException", "Provided list of item keys contains duplicates")
            found[name] = [table.items[key] for key in keys if key in table.items]
        return {"Responses": found, "UnprocessedKeys": {}}

    def batch_write_item(self, asked: Item) -> Item:
        for name, requests in asked["RequestItems"].items():
            table = self._table(name)
            keys = [table.key(_written(one)) for one in requests]
            assert 1 <= len(keys) <= 25, "DynamoDB takes 25 writes at most"
            if len(set(keys)) < len(keys):
                raise Refusal("ValidationException", "Provided list of item keys contains duplicates")
            for key, request in zip(keys, requests, strict=True):
                if "PutRequest" in request:
                    table.items[key] = _kept(request["PutRequest"]["Item"])
                else:
                    table.items.pop(key, None)
        return {"UnprocessedItems": {}}

    def transact_write_items(self, asked: Item) -> Item:
        writes = [next(iter(one.values())) for one in asked["TransactItems"]]
        assert 1 <= len(writes) <= 100, "DynamoDB takes a hundred writes at most"
        touched = [(one["TableName"], self._key(one)) for one in writes]
        if len(set(touched)) < len(touched):
            raise Refusal(
                "ValidationException", "Transaction request cannot include multiple operations on one item"
            )
        good = [self._holds(one) for one in writes]
        if not all(good):
            reasons = [{"Code": "None" if one else "ConditionalCheckFailed"} for one in good]
            raise Refusal(
                "TransactionCanceledException", "Transaction cancelled", CancellationReasons=reasons
            )
        for one in writes:
            self._apply(one)
        return {}

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            raise Refusal("ResourceNotFoundException", "Requested resource not found")
        return self.tables[name]

    def _select(self, asked: Item, condition: str) -> Item:
        holds, terms = expressions.condition(condition), Terms.of(asked)
        found = self._table(asked["TableName"]).found(asked.get("IndexName"))
        items = [one for one in found if holds(one, terms)]
        return {"Items": items if asked.get("ScanIndexForward", True) else items[::-1], "Count": len(items)}

    def _key(self, asked: Item) -> tuple[str, ...]:
        return self._table(asked["TableName"]).key(asked.get("Key") or asked["Item"])

    def _holds(self, asked: Item) -> bool:
        before = self._table(asked["TableName"]).items.get(self._key(asked), {})
        return expressions.condition(asked.get("ConditionExpression", ""))(before, Terms.of(asked))

    def _write(self, asked: Item) -> Item | None:
        if not self._holds(asked):
            before = self._table(asked["TableName"]).items.get(self._key(asked))
            against = {"Item": before} if before else {}
            raise Refusal("ConditionalCheckFailedException", "The conditional request failed", **against)
        return self._apply(asked)

    def _apply(self, asked: Item) -> Item | None:
        """Do a write whose condition holds; return the item after it."""
        table, key = self._table(asked["TableName"]), self._key(asked)
        if "Item" in asked:
            after = table.items[key] = _kept(asked["Item"])
        elif "UpdateExpression" in asked:
            before = table.items.get(key) or asked["Key"]
            after = expressions.update(asked["UpdateExpression"])(before, Terms.of(asked))
            assert all(plain(after[name]) == plain(asked["Key"][name]) for name in table.keys.names)
            table.items[key] = _kept(after)
        else:
            table.items.pop(key, None)
            return None
        return after


def _kept(item: Item) -> Item:
    """Take an item, if it is not too large. A character has four bytes at most."""
    if len(repr(item)) > MAX_ITEM_BYTES // 4:
        size = sum(len(name.encode()) + _size(value) for name, value in item.items())
        if size > MAX_ITEM_BYTES:
            raise Refusal("ValidationException", "Item size has exceeded the maximum allowed size")
    return item


def _size(value: Item) -> int:
    """Count the bytes of a value as DynamoDB does, or a few less: a number is half of its digits."""
    ((kind, inner),) = value.items()
    match kind:
        case "S":
            return len(inner.encode())
        case "N":
            return len(inner) // 2 + 1
        case "SS":
            return sum(len(one.encode()) for one in inner)
        case "L":
            return 3 + sum(1 + _size(one) for one in inner)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _size(one) for name, one in inner.items())
    return 1


def _written(request: Item) -> Item:
    """Tell which item a request of a batch is about."""
    return request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"]

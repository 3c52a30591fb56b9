"""The cache: rows of the control table, one for each request of a pipeline that has one.

A row is a claim, by the job that is about to ask the request, and then its answer: `at` is when it was
stored, and `output` what the model has said, or `output_ref` the line of the job's output that holds it.
A pipeline's rows stand on sixteen shelves by the first digit of their digest, so that no partition of the
table takes all of its writes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from batchline.aws import dynamo
from batchline.aws.dynamo import Row

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# Longer than any job takes. A claim ends with its job; this only clears away what is left of it.
CLAIM_KEPT: Final = int(timedelta(days=30).total_seconds())
DIGITS: Final = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Cache:
    """The cache of all pipelines. Times are seconds since 1970."""

    client: "DynamoDBClient"
    table: str

    def read(self, pipeline: str, digests: Iterable[str]) -> dict[str, Row]:
        """Read the rows that there are of these requests."""
        keys = (_key(pipeline, one) for one in digests)
        return {row["sk"]: row for row in dynamo.get_many(self.client, self.table, keys)}

    def claim(self, pipeline: str, digest: str, job_id: str, *, now: int, ttl: int, void: str | None) -> bool:
        """Say that a job is going to ask a request; `void` is a job whose claim counts no more.

        False: the request has a younger answer, or another job has claimed it.
        """
        row = _key(pipeline, digest) | {"job_id": job_id, "expires_at": now + CLAIM_KEPT}
        request = dynamo.put(
            self.table,
            row,
            when="attribute_not_exists(#pk) OR #expires_at <= :now OR #at <= :since "
            "OR (attribute_not_exists(#at) AND (#job_id = :job OR #job_id = :void))",
            values={"now": now, "since": now - ttl, "job": job_id, "void": void or job_id},
        )
        return dynamo.write(self.client, request).done

    def store(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write answers that `answer_row` has shaped, whatever stands in their places."""
        dynamo.put_many(self.client, self.table, rows)

    def rows(self, pipeline: str) -> Iterator[Row]:
        """Yield all rows of a pipeline, in no order: answers and claims."""
        for digit in DIGITS:
            yield from dynamo.query(self.client, self.table, "#pk = :pk", {"pk": _shelf(pipeline, digit)})

    def forget(self, keys: Iterable[Mapping[str, str]]) -> None:
        """Delete rows, each by its `pk` and `sk`."""
        dynamo.delete_many(self.client, self.table, keys)


def answer_row(
    pipeline: str, digest: str, job_id: str, *, at: int, expires_at: int, held: Mapping[str, Any]
) -> Row:
    """Shape the row of an answer; `held` says what it was, or where it lies."""
    return _key(pipeline, digest) | {"job_id": job_id, "at": at, "expires_at": expires_at, **held}


def _key(pipeline: str, digest: str) -> dict[str, Any]:
    return {"pk": _shelf(pipeline, digest[0]), "sk": digest}


def _shelf(pipeline: str, digit: str) -> str:
    return f"cache#{pipeline}#{digit}"

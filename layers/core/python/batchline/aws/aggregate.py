"""Aggregate: a document whose records are all settled gets its result and ends."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self

from batchline import aggregate, collect, pipelines, settings
from batchline.aws import answers, clients
from batchline.aws.documents import Documents, settled
from batchline.aws.dynamo import Row
from batchline.aws.objects import Work
from batchline.aws.results import Results
from batchline.models import DocumentStatus, Failure, timestamp

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

INLINE_BYTES: Final = 4_096
SOURCE: Final = "batchline"


class NotPublished(Exception):
    """EventBridge answered, but did not take the event. The message comes again, and so does the event."""


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Ends documents."""

    documents: Documents
    results: Results
    work: Work
    events: "EventBridgeClient"
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Aggregate, clock: Callable[[], datetime]) -> Self:
        return cls(
            documents=Documents(clients.dynamodb(), env.documents_table),
            results=Results(clients.dynamodb(), env.results_table),
            work=Work(clients.s3(), env.work_bucket),
            events=clients.events(),
            clock=clock,
        )

    def run(self, document_id: str) -> Row | None:
        """End a document if all its records are settled. None: it is not that far."""
        row = self.documents.get(document_id)
        if row is None:
            return None
        if not DocumentStatus(row["status"]).terminal:
            row = self._finish(row) if settled(row) else None
        if row is not None:
            # Said again when the message comes again: an event may come twice, but never not at all.
            self._publish(row)
        return row

    def _finish(self, row: Row) -> Row | None:
        name, version = row["pipeline"], row["pipeline_version"]
        pipeline = pipelines.load(self.work.get_pipeline(name, version))
        found = [answers.settled(self.work, one, pipeline) for one in self.results.of(row["document_id"])]
        unread = row.get("unread")
        earlier = Failure(unread["code"], unread["message"]) if unread else None
        combined = aggregate.combine(found, pipeline, earlier=earlier)
        key = self.work.put_result(
            name,
            row["document_id"],
            {
                "document_id": row["document_id"],
                "source": row["source"],
                "pipeline": name,
                "pipeline_version": version,
                "status": combined.status,
                "result": combined.result,
                "failed": [
                    {"record": one.record, "code": one.failure.code, "message": one.failure.message}
                    for one in found
                    if one.failure
                ],
            },
        )
        result: Row = {"result_key": key}
        if combined.result is not None and _fits(combined.result):
            result["result"] = combined.result
        written = self.documents.finish(
            row["document_id"],
            name,
            combined.status,
            finished_at=timestamp(self.clock()),
            result=result,
            failure=combined.failure,
        )
        # Not done: it has ended already, perhaps by this very update, whose first reply was lost.
        ended = written.row is not None and DocumentStatus(written.row["status"]).terminal
        return written.row if ended else None

    def _publish(self, row: Row) -> None:
        """Tell EventBridge, with ids only."""
        detail = {
            "document_id": row["document_id"],
            "pipeline": row["pipeline"],
            "status": row["status"],
        }
        reply = self.events.put_events(
            Entries=[
                {
                    "Source": SOURCE,
                    "DetailType": "Document Completed"
                    if row["status"] != DocumentStatus.FAILED
                    else "Document Failed",
                    "Detail": json.dumps(detail),
                }
            ]
        )
        if reply["FailedEntryCount"]:
            raise NotPublished(reply["Entries"][0].get("ErrorCode", ""))


def _fits(result: Any) -> bool:
    size = len(json.dumps(result, ensure_ascii=False, default=str).encode())
    return size <= INLINE_BYTES and collect.storable(result)

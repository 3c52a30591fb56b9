"""A document ends: by its answers, by a person's word, or before it had a record."""

from collections.abc import Mapping
from typing import Any

from batchline.aws import dynamo
from batchline.aws.documents.attention import said
from batchline.aws.documents.progress import ALL_SETTLED, settled_values
from batchline.aws.dynamo import Row, Written
from batchline.errors import Code
from batchline.models import DocumentStatus, Failure


class Ending(dynamo.Table):
    """Rows of the documents table, as chunk, aggregate and people end them."""

    def finish(
        self,
        document_id: str,
        pipeline: str,
        status: DocumentStatus,
        *,
        stage: int,
        counts: Mapping[str, int],
        finished_at: str,
        result: Mapping[str, Any],
        failure: Failure | None,
    ) -> Written:
        """End a document, or hold it for review, when every record of its last stage is settled.

        `counts` are its records, those that succeeded and those that failed, as the result was made of
        them; `result` holds its result attributes. Not done: it has ended, is held, has another stage, or
        its counts are not these.
        """
        before = {f"{name}_before": number for name, number in counts.items()}
        same = " AND ".join(f"#{name} = :{name}_before" for name in counts)
        return self._end(
            document_id,
            pipeline,
            {"status": status, "finished_at": finished_at, **result},
            failure,
            when=f"#stage = :stage AND {same} AND {ALL_SETTLED}",
            values=settled_values() | before | {"stage": stage},
        )

    def review(
        self,
        document_id: str,
        status: DocumentStatus,
        *,
        pipeline: str,
        finished_at: str,
        review: Mapping[str, Any],
        result: Mapping[str, Any],
        failure: Failure | None,
    ) -> Written:
        """End a document as the person has decided who looked at it. Not done: it waits for nobody."""
        return self._end(
            document_id,
            pipeline,
            {"status": status, "finished_at": finished_at, "review": dict(review), **result},
            failure,
            when="#status = :held AND #error.#code = :needed",
            values={"held": DocumentStatus.HELD, "needed": Code.REVIEW_NEEDED},
        )

    def unpacked(
        self, document_id: str, pipeline: str, *, documents: int, finished_at: str, failure: Failure | None
    ) -> Written:
        """End an archive, of which so many members are documents of their own. Not done: it has ended."""
        status = DocumentStatus.COMPLETED
        if failure:
            status = DocumentStatus.PARTIAL if documents else DocumentStatus.FAILED
        return self._end(
            document_id,
            pipeline,
            {"status": status, "finished_at": finished_at, "sealed": True, "documents": documents},
            failure,
            when="#status = :chunking",
            values={"chunking": DocumentStatus.CHUNKING},
        )

    def cancel(self, document_id: str, pipeline: str, *, finished_at: str, failure: Failure) -> Written:
        """End a held document that has no record yet. Not done: it has begun, or has ended."""
        return self._end(
            document_id,
            pipeline,
            {"status": DocumentStatus.CANCELLED, "finished_at": finished_at, "sealed": True},
            failure,
            when="#status = :held AND #records = :none",
            values={"held": DocumentStatus.HELD, "none": 0},
        )

    def forget(self, document_id: str) -> Written:
        """Delete a document that was refused before it had a record, so that it can arrive again."""
        request = dynamo.delete(
            self.table,
            {"document_id": document_id},
            when="#status = :failed AND #records = :none",
            values={"failed": DocumentStatus.FAILED, "none": 0},
        )
        return dynamo.write(self.client, request)

    def _end(
        self,
        document_id: str,
        pipeline: str,
        changes: Row,
        failure: Failure | None,
        *,
        when: str,
        values: Row,
    ) -> Written:
        changes = changes | said(pipeline, failure)
        request = dynamo.change(self.table, {"document_id": document_id}, changes, when=when, values=values)
        return dynamo.write(self.client, request)

"""Aggregate: a document whose records are all settled gets its result and ends, or its next stage."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Self

from batchline import aggregate, ids, pipelines, reduce, settings
from batchline.aggregate import Ending, Settled, Tally
from batchline.aws import answers, clients, dynamo
from batchline.aws.control import Control
from batchline.aws.document_budgets import DocumentBudgets, Unaffordable
from batchline.aws.documents import Documents
from batchline.aws.documents.arriving import Estimated
from batchline.aws.documents.progress import settled
from batchline.aws.dynamo import Row
from batchline.aws.objects import Work
from batchline.aws.pipelines import Pipelines
from batchline.aws.queues import Queue
from batchline.aws.results import Results
from batchline.aws.shards import Contents, Shards
from batchline.errors import Code, NotConserved, Refused
from batchline.ids import RecordId
from batchline.models import DocumentStatus, Failure, Range, Shard, Usage, timestamp
from batchline.money import budgets, expected, prices
from batchline.pipelines import Pipeline
from batchline.records import Record, input_tokens, lengths
from batchline.structured import storable

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

UNIT_BYTES: Final = 1_024  # that one write unit takes
# What the end of a document adds to its row beside the result: times, codes, an error.
END_BYTES: Final = 64
# So many answers are held in memory; more are read again where they are needed again.
ANSWERS_HELD: Final = 1_000
SOURCE: Final = "batchline"
DETAIL_TYPES: Final = {
    DocumentStatus.FAILED: "Document Failed",
    DocumentStatus.HELD: "Document Held",
}
STAGE_SHARDS: Final = dynamo.TRANSACTION_WRITES - 1


class NotPublished(Exception):
    """EventBridge answered, but did not take the event. The message comes again, and so does the event."""


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Ends documents."""

    documents: Documents
    results: Results
    work: Work
    shards: Shards
    budgets: DocumentBudgets
    wake_queue: Queue
    events: "EventBridgeClient"
    clock: Callable[[], datetime]

    @classmethod
    def connect(cls, env: settings.Aggregate, clock: Callable[[], datetime]) -> Self:
        work = Work(clients.s3(), env.work_bucket)
        control = Control(clients.dynamodb(), env.control_table)
        return cls(
            documents=Documents(clients.dynamodb(), env.documents_table),
            results=Results(clients.dynamodb(), env.results_table),
            work=work,
            shards=Shards(control, work),
            budgets=DocumentBudgets(control, Pipelines(control, work)),
            wake_queue=Queue(clients.sqs(), env.wake_queue),
            events=clients.events(),
            clock=clock,
        )

    def run(self, document_id: str) -> Row | None:
        """Bring a document on if all its records are settled; tell the world where it rests or ends.

        None: it is not that far.
        """
        clients.meter().begin(self.clock)
        row = self.documents.get(document_id)
        if row is None:
            return None
        if not _rests(row):
            row = self._go_on(row) if settled(row) else None
        if row is not None:
            # Said again when the message comes again: an event may come twice, but never not at all.
            self._publish(row)
        return row

    def _go_on(self, row: Row) -> Row | None:
        """Begin the next stage of a document or, after the last one, end it. None: it goes on."""
        pipeline = pipelines.load(self.work.get_pipeline(row["pipeline"], row["pipeline_version"]))
        of_stage = self._reader(row, pipeline, ids.stage(row["stage"]))
        of_all = self._reader(row, pipeline, "") if row["stage"] else of_stage
        tally = Tally()
        for one in of_all():
            tally.add(one, pipeline)
        if wrong := aggregate.unequal(tally, row):
            raise NotConserved(f"{row['document_id']}: {wrong}")
        try:
            if not tally.codes[Code.CANCELLED] and self._reduce(row, pipeline, of_stage, tally):
                return None
        except Unaffordable as lacking:
            return self._rest(row, lacking)
        except Refused as refusal:
            failure = Failure(refusal.code, refusal.message)
            return self._end(row, Ending(DocumentStatus.FAILED, failure), pipeline, of_all, of_stage, tally)
        unread = row.get("unread")
        earlier = Failure(unread["code"], unread["message"]) if unread else None
        answered = tally.of_stage[ids.stage(row["stage"])] > 0
        ending = aggregate.ending(tally, pipeline, result=answered, earlier=earlier)
        return self._end(row, ending, pipeline, of_all, of_stage, tally)

    def _reader(self, row: Row, pipeline: Pipeline, stage: str) -> Callable[[], Iterator[Settled]]:
        """Make a function that yields the settled records of a stage (of all: '') in their order."""

        def read() -> Iterator[Settled]:
            rows = self.results.of(row["document_id"], stage)
            return (answers.settled(self.work, one, pipeline) for one in rows)

        if row["records"] > ANSWERS_HELD:
            return read
        held = list(read())
        return lambda: iter(held)

    # the next stage of a reduce prompt

    def _reduce(
        self, row: Row, pipeline: Pipeline, of_stage: Callable[[], Iterator[Settled]], tally: Tally
    ) -> bool:
        """Register the records of a document's next stage. False: there is none.

        Raises Refused when the answers cannot be made fewer, Unaffordable when the document's budget does not
        cover the next stage.
        """
        reducing = pipeline.reducing
        if reducing is None:
            return False
        answered = tally.of_stage[ids.stage(row["stage"])]
        if not answered or (row["stage"] and answered == 1):
            return False
        if row["stage"] == len(ids.REDUCE):
            raise Refused(
                Code.TOO_MANY_RECORDS,
                f"The answers are still more than one after {len(ids.REDUCE)} stages of the reduce prompt. "
                "Lower inference.max_tokens, or name a model with a larger context in combine.model.",
            )
        key = row["source"]["key"]
        document = {"name": key.rsplit("/", 1)[-1], "key": key, "pipeline": row["pipeline"]}
        texts = (_text(one.output) for one in _good(of_stage()))
        found = reduce.requests(texts, reducing, document)
        shards = [
            self._shard(row, pipeline, reducing, number, part)
            for number, part in enumerate(reduce.parts(found))
        ]
        if len(shards) > STAGE_SHARDS:
            raise Refused(
                Code.TOO_MANY_RECORDS,
                f"The answers make {len(shards)} shards of requests for the reduce prompt; {STAGE_SHARDS} "
                "are registered at once. Split the file into smaller ones.",
            )
        most = sum((usd for one in shards for usd in one.most_usd), Decimal(0))
        if lack := self.budgets.lack(row, most, reducing.model):
            raise Unaffordable(reducing.model, most, lack)
        count = sum(one.records for one in shards)
        begun = self.documents.progress.reduce(
            row["document_id"],
            stage=row["stage"],
            records=count,
            estimate=Estimated(_expected(shards, reducing), most),
        )
        try:
            self.shards.register_all(shards, begun)
        except dynamo.Cancelled:
            return True  # another run was faster, and what it registered is the same
        self.wake_queue.ring({"hop": 0})
        return True

    def _rest(self, row: Row, lacking: Unaffordable) -> Row | None:
        """Hold a document whose next stage is not covered; it is told again whenever somebody looks."""
        today = timestamp(self.clock())[:10]
        message = budgets.said(lacking.lack, model=lacking.model, document_id=row["document_id"], day=today)
        failure = Failure(Code.BUDGET_EXCEEDED, f"All its parts are answered. {message}")
        resting = self.documents.waiting.rest(
            row["document_id"], row["pipeline"], failure, needs_usd=lacking.most_usd
        ).row
        return resting if resting and resting["status"] == DocumentStatus.HELD else None

    def _shard(
        self, row: Row, pipeline: Pipeline, reducing: Pipeline, number: int, part: Sequence[Record]
    ) -> Shard:
        document_id, stage = row["document_id"], ids.stage(row["stage"] + 1)
        deadline = None
        if pipeline.deadline is not None:
            received = datetime.fromisoformat(row["received_at"])
            deadline = timestamp(received + timedelta(seconds=pipeline.deadline))
        usage = Usage(input_tokens(part), len(part) * reducing.inference.max_tokens)
        longest = max(lengths(part), default=0)
        return self.shards.write(
            ids.document_shard_id(document_id, number, stage),
            Contents(
                ranges=[Range(document_id, stage, part[0].index, len(part), 1)],
                lines=[one.line(str(RecordId(document_id, stage, one.index, 1))) for one in part],
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                longest=longest,
                most_usd=[budgets.dearest(usage, pipeline, reducing.model, longest=longest)],
                # Its document's end has been foreseen; this run of aggregate is one more.
                overhead_usd=clients.meter().lap(),
            ),
            name=row["pipeline"],
            pipeline=pipeline,
            version=row["pipeline_version"],
            now=self.clock(),
            model=reducing.model,
            first_at=row["received_at"],
            deadline_at=deadline,
        )

    # the end

    def _end(
        self,
        row: Row,
        ending: Ending,
        pipeline: Pipeline,
        of_all: Callable[[], Iterator[Settled]],
        of_stage: Callable[[], Iterator[Settled]],
        tally: Tally,
    ) -> Row | None:
        """Write a document's result and end it. None: it has gone another way meanwhile."""
        result = self._write(row, ending, pipeline, of_all, of_stage, tally) | _failures(tally)
        written = self.documents.ending.finish(
            row["document_id"],
            row["pipeline"],
            ending.status,
            stage=row["stage"],
            counts={name: row[name] for name in aggregate.COUNTS},
            finished_at=timestamp(self.clock()),
            result=result,
            failure=ending.failure,
        )
        # Not done: it has ended already, perhaps by this very update, whose first reply was lost.
        return written.row if written.row is not None and _rests(written.row) else None

    def _write(
        self,
        row: Row,
        ending: Ending,
        pipeline: Pipeline,
        of_all: Callable[[], Iterator[Settled]],
        of_stage: Callable[[], Iterator[Settled]],
        tally: Tally,
    ) -> Row:
        """Write the files of a result, and return the attributes that lead to them from the row."""
        name, document_id = row["pipeline"], row["document_id"]
        count = tally.of_stage[ids.stage(row["stage"])]
        shape = aggregate.shape(pipeline, count)

        def parts() -> Iterator[Any]:
            outputs = (one.output for one in _good(of_stage()))
            return aggregate.parts(outputs, pipeline, shape)

        attributes: Row = {"result_key": f"results/{name}/{document_id}.json"}
        result: Iterable[str] = ["null"]
        if pipeline.combine in {"jsonl", "csv"}:
            attributes["table_key"] = f"results/{name}/{document_id}.{pipeline.combine}"
            lines = (
                aggregate.jsonl(of_stage())
                if pipeline.combine == "jsonl"
                else aggregate.comma_separated(of_stage(), pipeline)
            )
            self.work.write_stream(attributes["table_key"], _encoded(lines))
            result = [aggregate.dumps({"table": attributes["table_key"]})]
        elif count:
            result = aggregate.written(parts(), shape)
            if count <= ANSWERS_HELD and _is_free(
                value := aggregate.together(parts(), shape), row | attributes
            ):
                attributes["result"] = value
        head = {
            "document_id": document_id,
            "source": row["source"],
            "pipeline": name,
            "pipeline_version": row["pipeline_version"],
            "status": ending.status,
        }
        self.work.write_stream(attributes["result_key"], _encoded(_file(head, result, of_all())))
        return attributes

    def _publish(self, row: Row) -> None:
        """Tell EventBridge, with ids only."""
        status = DocumentStatus(row["status"])
        detail = {"document_id": row["document_id"], "pipeline": row["pipeline"], "status": status}
        if status is DocumentStatus.HELD:
            detail["code"] = row["error"]["code"]
        reply = self.events.put_events(
            Entries=[
                {
                    "Source": SOURCE,
                    "Resources": [self.documents.table],  # tells the events of one stack from another's
                    "DetailType": DETAIL_TYPES.get(status, "Document Completed"),
                    "Detail": json.dumps(detail),
                }
            ]
        )
        if reply["FailedEntryCount"]:
            raise NotPublished(reply["Entries"][0].get("ErrorCode", ""))


def _rests(row: Row) -> bool:
    """Tell whether there is nothing to do for a document: it has ended, or waits for something else."""
    status = DocumentStatus(row["status"])
    if status is DocumentStatus.HELD:
        return not settled(row) or row["error"]["code"] == Code.REVIEW_NEEDED
    return status.terminal


def _failures(tally: Tally) -> Row:
    """Say on a document's row how many of its records failed of what, and which was the first."""
    if tally.first is None:
        return {}
    first = {"record": tally.first_record, "code": tally.first.code, "message": tally.first.message}
    return {"codes": dict(tally.codes), "first_failed": first}


def _good(found: Iterable[Settled]) -> Iterator[Settled]:
    return (one for one in found if one.failure is None)


def _text(output: Any) -> str:
    return output if isinstance(output, str) else aggregate.dumps(output)


def _expected(shards: Iterable[Shard], reducing: Pipeline) -> Decimal:
    """Say what the requests of a stage will cost, in USD."""
    found = list(shards)
    usage = expected.answers(reducing).usage(
        sum(one.records for one in found),
        sum(one.input_tokens for one in found),
        # What reads answers until no more fit is alone in its shard when it is long.
        [one.longest or 0 for one in found],
        above=prices.long_above(reducing.model),
    )
    return expected.usd(usage, reducing.model)


def _is_free(value: Any, row: Row) -> bool:
    """Tell whether a result may stand in its document's row: where that takes no further write unit."""
    if value is None or not storable(value):
        return False
    # Why it was held stands in its row no more when it ends.
    kept = {name: one for name, one in row.items() if name not in {"error", "problem"}}
    bare = dynamo.size(kept) + END_BYTES
    return dynamo.size({"result": value}) <= -bare % UNIT_BYTES


def _file(head: Row, result: Iterable[str], found: Iterable[Settled]) -> Iterator[str]:
    """Write the file of a result: what it is of, the result, and the records that have no answer."""
    yield aggregate.dumps(head)[:-1] + ',\n"result": '
    yield from result
    failed = (
        aggregate.dumps({"record": one.record, "code": one.failure.code, "message": one.failure.message})
        for one in found
        if one.failure
    )
    first = next(failed, None)
    yield ',\n"failed": ['
    yield from chain([] if first is None else ["\n", first], (f",\n{one}" for one in failed))
    yield "]}\n"


def _encoded(texts: Iterable[str]) -> Iterator[bytes]:
    """Encode pieces of text in blocks; half a character, which JSON may hold, is written as JSON has it."""
    return (text.encode("utf-8", "surrogatepass") for text in texts)

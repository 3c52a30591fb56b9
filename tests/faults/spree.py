"""A storm over pipelines with budgets, in which every answer charges all that it may."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, override

from batchline import records, tokens
from batchline.aws.control.budgets import Booked
from batchline.ids import RecordId
from batchline.models import Usage

from tests.faults import scenarios
from tests.faults.storm import SCHEMA, Storm, chance
from tests.integration.fake_bedrock import Say, prompt_of
from tests.integration.world import NOVA, Message

# Six documents of one to nine records. A record may cost 0.0000092 USD in a batch and twice as much on
# demand; asked again with twice the room it may cost 0.000034.
PER_MONTH = Decimal("0.00012")
BUDGETS: dict[str, dict[str, Any]] = {
    "daily": {"budget": {"per_day_usd": 0.00004}},
    "single": {"budget": {"per_document_usd": 0.00006}},
    "sure": {
        "model": [NOVA, scenarios.PRO],
        "output": {"schema": SCHEMA},
        "budget": {"per_day_usd": 0.00008, "per_document_usd": 0.00006},
    },
    "merged": {
        "combine": {"prompt": "Merge {{ text }}", "max_tokens": 64},
        "budget": {"per_document_usd": 0.00006},
    },
    "patient": {"too_few": "wait", "max_wait": "2m", "deadline": "3h"},
}


class Spree(Storm):
    """Packers, closers, retries and approvals in any order; no budget is ever exceeded."""

    # A model that answers twice charges twice, which nobody can know before.
    twice: ClassVar[float] = 0
    pipelines: ClassVar[dict[str, dict[str, Any]]] = BUDGETS

    @override
    def rage(self) -> None:
        self.world.per_month = str(PER_MONTH)
        super().rage()

    @override
    def acts(self) -> dict[Callable[[], None], int]:
        return super().acts() | {self.approve: 1, self.retry: 1}

    @override
    def look(self) -> None:
        """Hold every budget against what is reserved and spent of it."""
        approvals = self.world.packer().control.marks.approvals()
        for row in self.world.control("budget#"):
            name = row["pk"].split("#")[1]
            booked = Booked(row["committed"], row.get("spent", Decimal(0)), row.get("approved", Decimal(0)))
            assert 0 <= booked.spent <= booked.committed, row
            limit = self.limit(name, "per_day_usd")
            if name == "*":
                limit = Decimal(self.world.per_month) if self.world.per_month else None
                assert not booked.approved
            if limit is not None:
                assert booked.committed <= limit + booked.approved, (row, limit)
        for row in self.world.documents():
            limit = self.limit(row["pipeline"], "per_document_usd")
            approved = approvals.covers(row["document_id"], row["pipeline"], row["received_at"])
            assert row["cost_usd"] <= row["committed_usd"], row
            if limit is not None and not approved:
                # What is too dear as a whole has cost nothing.
                assert row["committed_usd"] <= limit or not row["cost_usd"], row

    def limit(self, pipeline: str, name: str) -> Decimal | None:
        said = self.pipelines.get(pipeline, {}).get("budget", {}).get(name)
        return None if said is None else Decimal(str(said))

    def approve(self) -> None:
        """Somebody lets a document go, whatever it is doing."""
        if rows := self.world.documents():
            row = self.chooser.choice(sorted(rows, key=lambda one: one["source"]["key"]))
            approver = scenarios.approver(self.world)
            self.disturbed(lambda: self.world._run("person", lambda: approver.approve_documents([row]), []))

    def retry(self) -> None:
        """Somebody has failed records asked again, if that can be."""
        failed = [row for row in self.world.documents() if row["status"] in {"FAILED", "PARTIAL"}]
        if failed:
            self.world.clock.advance(16 * 60)
            row = self.chooser.choice(sorted(failed, key=lambda one: one["source"]["key"]))
            retrier = scenarios.retrier(self.world)
            self.disturbed(lambda: self.world._run("person", lambda: retrier.retry(row), 0))

    @override
    def answer(self, record_id: str, body: dict[str, Any]) -> Say:
        """Charge for all that the request may take; half of the first answers are cut off or wrong."""
        record = RecordId.parse(record_id)
        drawn = chance(f"{prompt_of(body)} {record.attempt if record else ''}", self.seed)
        most = self.most(body)
        if drawn < 0.1:
            return Say(error=500)
        if drawn < 0.4 and body["inferenceConfig"]["maxTokens"] < 100:
            return Say("the beginning of", "max_tokens", most)
        return Say('{"n": 1}' if drawn < 0.8 else "nonsense", usage=most)

    @staticmethod
    def most(body: dict[str, Any]) -> Usage:
        demand = records.demand(body, NOVA)
        # Rounded down, for many are reserved together and rounded up once.
        return Usage(tokens.at_most(demand.input_tokens * 100, NOVA) // 100, demand.output_tokens)

    @override
    def lost(self) -> list[tuple[str, Message]]:
        """Let all go that has come until now, whenever what is left to do is done."""
        for name in self.pipelines:
            self.world.packer().control.marks.approve_pipeline(name, self.world.clock())
        return super().lost()

    @override
    def calm(self) -> None:
        """Give the month room; in the end nothing is reserved that is not spent."""
        self.world.per_month = ""
        super().calm()
        self.look()
        for row in self.world.control("budget#"):
            assert row["committed"] == row["spent"], row
        for row in self.world.documents():
            assert row["committed_usd"] == row["cost_usd"], row

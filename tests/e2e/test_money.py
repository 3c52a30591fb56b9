"""What is not spent: answers that are there already, and documents that a budget holds."""

from decimal import Decimal
from typing import Any

from tests.e2e.stack import Stack
from tests.waiting import eventually

REUSED = """
model: us.amazon.nova-2-lite-v1:0
prompt: "Say in one sentence what to do: {{ row.note }}"
chunk: {by: row}
combine: list
max_wait: 0s
cache: true
"""
# A record of two sentences may cost 0.0000008 USD or so.
HELD = """
model: us.amazon.nova-micro-v1:0
prompt: "Summarise in one sentence: {{ text }}"
inference: {max_tokens: 100}
max_wait: 0s
budget: {per_document_usd: 0.0000001}
"""
NOTES = ("The gate sticks.", "The lamp is out.", "The gate sticks.", "The gate sticks.")


def table(*notes: str) -> bytes:
    return "\n".join(["note", *notes, ""]).encode()


def charged(stack: Stack, model: str) -> int:
    """Count what the emulator has charged for a model, on demand."""
    mine = [one for one in stack.bill() if one["model"].endswith(model)]
    return sum(one["requests"] for one in mine if one["engine"] == "on_demand")


def outputs(stack: Stack, document: dict[str, Any]) -> list[str]:
    rows = [one for one in stack.rows("Results") if one["document_id"] == document["document_id"]]
    return [one["output"] for one in sorted(rows, key=lambda one: str(one["record"]))]


def test_the_same_request_is_asked_once(stack: Stack) -> None:
    stack.publish("reused", REUSED)
    first = stack.drop("inbox/reused/monday.csv", table(*NOTES))
    asked = stack.ended(first)[first]
    assert (asked["status"], asked["succeeded"], asked["cached"]) == ("COMPLETED", 4, 2)
    second = stack.drop("inbox/reused/tuesday.csv", table(*reversed(NOTES)))
    known = stack.ended(second)[second]
    assert (known["status"], known["succeeded"], known["cached"]) == ("COMPLETED", 4, 4)
    assert (known["cost_usd"], known["input_tokens"]) == (0, 0)
    # Three records of the second upload are what the first one paid once, and one is what it paid besides.
    assert known["cache_saved_usd"] == asked["cost_usd"] + asked["cache_saved_usd"]
    assert outputs(stack, known) == outputs(stack, asked)[::-1]
    assert charged(stack, "nova-2-lite-v1:0") == 2


def test_a_document_over_its_budget_waits_for_approval(stack: Stack) -> None:
    stack.publish("held", HELD)
    key = stack.drop("inbox/held/gate.txt", b"The gate sticks. Ms Okafor oils it on Monday.")

    def held() -> dict[str, Any] | None:
        row = stack.documents(key).get(key)
        return row if row and row["status"] == "HELD" else None

    document = eventually(held, seconds=60)
    assert document["error"]["code"] == "BUDGET_EXCEEDED"
    assert f"batchline approve {document['document_id']}" in document["error"]["message"]
    assert (document["cost_usd"], stack.jobs_of("held")) == (Decimal(0), [])
    stack.command("approve", document["document_id"])
    row = stack.ended(key)[key]
    assert (row["status"], row["succeeded"]) == ("COMPLETED", 1)
    assert row["cost_usd"] > Decimal("0.0000001")

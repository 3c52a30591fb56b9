"""A small corpus whose whole ledger is worked out by hand, to the last digit.

Four pipelines, three models. On 22 November, with prices in USD per million tokens:

batch      Haiku 4.5 through `us.`, 0.55 and 2.75, on demand 1.1 and 5.5
           70 contracts (legal's) and 40 letters in one job. Contract n has 100 + n tokens, letter n has
           200 + n; an answer has 20 or 30. Contract 5 fails, contract 8 is answered with nothing (1 token),
           and contract 9 stands in the output twice.
on demand  contract 8 once more, at 1.1 and 5.5
flex       Nova Lite through `us.`, 0.03 and 0.12, on demand 0.06 and 0.24
           3 minutes of 50 + n tokens, 7 in an answer
on demand  Llama 3.3 70B through `us.`, 0.72 and 0.72
           2 notes of 400 + n tokens, 11 in an answer; and on 23 November one more, note 10
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from batchline.models import Usage

from tests.faults import audit
from tests.integration.conftest import open_world
from tests.integration.fake_bedrock import Ending, Say, prompt_of
from tests.integration.world import NOVA, Row, World

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
LEGAL = {"team": "legal"}

# What is compared of a row, where it has it.
AMOUNTS = (
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("succeeded", "failed", "retried", "further"),
    *("cost_usd", "saved_usd", "retried_input_tokens", "retried_output_tokens", "retried_usd"),
)
RATES = ("pipeline", "model", "region", "engine", "tier", "price", "list_price", "tags")


def millionths(amount: str) -> Decimal:
    return Decimal(amount).scaleb(-6)


def pair(read: str, written: str) -> Row:
    return {"input": Decimal(read), "output": Decimal(written), "basis": "list"}


def rate(model: str, engine: str, price: Row, listed: Row, *, tier: str = "default", **more: Any) -> Row:
    return {
        "model": model,
        "region": "us-east-1",
        "engine": engine,
        "tier": tier,
        "price": price,
        "list_price": listed,
        **more,
    }


HAIKU_LIST, LLAMA_LIST = pair("1.1", "5.5"), pair("0.72", "0.72")
BATCH = rate(HAIKU, "batch", pair("0.55", "2.75"), HAIKU_LIST)
AGAIN = rate(HAIKU, "on_demand", HAIKU_LIST, HAIKU_LIST, pipeline="contracts", tags=LEGAL)
FLEX = rate(NOVA, "on_demand", pair("0.03", "0.12"), pair("0.06", "0.24"), tier="flex", pipeline="minutes")
NOTES = rate(LLAMA, "on_demand", LLAMA_LIST, LLAMA_LIST, pipeline="notes")


def amounts(read: int, written: int, cost: str, saved: str, **more: Any) -> Row:
    """Shape tokens, and money in millionths of a dollar."""
    return {
        "input_tokens": read,
        "output_tokens": written,
        "cost_usd": millionths(cost),
        "saved_usd": millionths(saved),
        **more,
    }


# Contract 8 did not settle: 108 * 0.55 + 1 * 2.75 = 59.4 + 2.75.
UNSETTLED = {"retried_input_tokens": 108, "retried_output_tokens": 1, "retried_usd": millionths("62.15")}
# In: 70 * 100 + (0 + … + 69) = 7,000 + 2,415 = 9,415, less the 105 of contract 5, which failed: 9,310.
# Out: 68 * 20, and 1 of contract 8: 1,361. Paid: 9,310 * 0.55 = 5,120.5 and 1,361 * 2.75 = 3,742.75.
CONTRACTS = amounts(
    *(9_310, 1_361, "8863.25", "8863.25"),
    succeeded=68,
    failed=1,
    retried=1,
    **UNSETTLED,
)
# 108 * 1.1 + 20 * 5.5 = 118.8 + 110
CONTRACT_8 = amounts(108, 20, "228.8", "0", succeeded=1, failed=0, retried=0, further=1)
# In: 40 * 200 + (0 + … + 39) = 8,000 + 780. Out: 40 * 30. Paid: 8,780 * 0.55 + 1,200 * 2.75 = 4,829 + 3,300.
LETTERS = amounts(8_780, 1_200, "8129", "8129", succeeded=40, failed=0, retried=0)
# The second line of contract 9: 109 * 0.55 + 20 * 2.75 = 59.95 + 55.
NOBODY = amounts(109, 20, "114.95", "114.95")
# 50 + 51 + 52 in, 3 * 7 out: 153 * 0.03 + 21 * 0.12 = 4.59 + 2.52, and twice as much on demand.
MINUTES = amounts(153, 21, "7.11", "7.11", succeeded=3, failed=0, retried=0)
# 400 + 401 in, 2 * 11 out: 823 * 0.72
TWO_NOTES = amounts(801, 22, "592.56", "0", succeeded=2, failed=0, retried=0)
# 410 in, 11 out: 421 * 0.72
NOTE_10 = amounts(410, 11, "303.12", "0", succeeded=1, failed=0, retried=0)

OF_LEGAL = {"pipeline": "contracts", "tags": LEGAL}
FIRST_DAY = {
    "contracts batch": BATCH | OF_LEGAL | CONTRACTS,
    "contracts on_demand": AGAIN | CONTRACT_8,
    "letters batch": BATCH | {"pipeline": "letters"} | LETTERS,
    "- batch": BATCH | NOBODY,
    "minutes on_demand": FLEX | MINUTES,
    "notes on_demand": NOTES | TWO_NOTES,
}
SECOND_DAY = {"notes on_demand": NOTES | NOTE_10}
# 9,310 + 8,780 + 109 in, 1,361 + 1,200 + 20 out; 8,863.25 + 8,129 + 114.95 is also
# 18,199 * 0.55 + 2,581 * 2.75 = 10,009.45 + 7,097.75.
WHOLE_BATCH = amounts(
    *(18_199, 2_581, "17107.2", "17107.2"),
    succeeded=108,
    failed=1,
    retried=1,
    **UNSETTLED,
)
JOBS = [
    BATCH | WHOLE_BATCH,
    {name: value for name, value in (AGAIN | CONTRACT_8).items() if name not in OF_LEGAL},
    {name: value for name, value in (FLEX | MINUTES).items() if name != "pipeline"},
    {name: value for name, value in (NOTES | TWO_NOTES).items() if name != "pipeline"},
    {name: value for name, value in (NOTES | NOTE_10).items() if name != "pipeline"},
]
# The notes of both days: 801 + 410 in, 22 + 11 out, 592.56 + 303.12.
ALL_NOTES = amounts(1_211, 33, "895.68", "0", succeeded=3, failed=0, retried=0)
NO_RECORDS = dict.fromkeys(("succeeded", "failed", "retried"), 0)
MONTH = FIRST_DAY | {"notes on_demand": NOTES | ALL_NOTES, "- batch": BATCH | NOBODY | NO_RECORDS}
JOBS_OF_MONTH = dict.fromkeys(MONTH, 1) | {"notes on_demand": 2}
# The contracts: 9,310 + 108 in, 1,361 + 20 out, 8,863.25 + 228.8.
DOCUMENTS = {
    "inbox/contracts/all.csv": amounts(9_418, 1_381, "9092.05", "8863.25", succeeded=69, failed=1),
    "inbox/letters/all.csv": amounts(8_780, 1_200, "8129", "8129", succeeded=40, failed=0),
    "inbox/minutes/all.csv": amounts(153, 21, "7.11", "7.11", succeeded=3, failed=0),
    "inbox/notes/all.csv": amounts(801, 22, "592.56", "0", succeeded=2, failed=0),
    "inbox/notes/more.csv": amounts(410, 11, "303.12", "0", succeeded=1, failed=0),
}
# 18,199 + 108 + 153 + 1,211 in; 2,581 + 20 + 21 + 33 out
BILLED = Usage(19_671, 2_655)

LENGTHS = {"contract": (100, 20), "letter": (200, 30), "minute": (50, 7), "note": (400, 11)}


def answer(record_id: str, body: Row) -> Say:
    kind, number = prompt_of(body).split()
    read, written = LENGTHS[kind]
    usage = Usage(read + int(number), written)
    match kind, number, record_id[-1:]:
        case "contract", "5", _:
            return Say(error=400)
        case "contract", "8", "1":  # calls on demand have no record id
            return Say("", usage=Usage(108, 1))
        case _:
            return Say("yes", usage=usage)


def csv(kind: str, numbers: range) -> str:
    return "a\n" + "".join(f"{kind} {n}\n" for n in numbers)


@pytest.fixture(scope="module")
def booked() -> Iterator[World]:
    """Both days have passed, and everything has its end."""
    with pytest.MonkeyPatch.context() as patch, open_world(patch) as begin:
        world = begin()
        world.fatal = True
        process(world)
        yield world


def process(world: World) -> None:
    keys: Row = {"chunk": {"by": "row"}, "prompt": "{{ row.a }}", "inference": {"max_tokens": 100}}
    world.pipeline("contracts", model=HAIKU, tags=LEGAL, **keys)
    world.pipeline("letters", model=HAIKU, **keys)
    world.pipeline("minutes", model=NOVA, too_few="flex", **keys)
    world.pipeline("notes", model=LLAMA, **keys)
    world.deliver_all()
    world.bedrock.answer = answer
    world.upload("inbox/contracts/all.csv", csv("contract", range(70)))
    world.upload("inbox/letters/all.csv", csv("letter", range(40)))
    world.upload("inbox/minutes/all.csv", csv("minute", range(3)))
    world.upload("inbox/notes/all.csv", csv("note", range(2)))
    world.deliver_all()
    contracts = world.document("inbox/contracts/all.csv")["document_id"]
    world.bedrock.ending = Ending(twice=lambda name: name == f"{contracts}m00000091")
    world.run()
    world.clock.at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    world.upload("inbox/notes/more.csv", csv("note", range(10, 11)))
    world.run()
    audit.check_end(world)


def told(row: Row, *names: str) -> Row:
    """Leave what is compared of a row."""
    return {name: row[name] for name in names if name in row}


def by_rate(rows: list[Row]) -> dict[str, Row]:
    """Name rows by their pipeline and engine; no two are alike."""
    named = {f"{one.get('pipeline', '-')} {one['engine']}": one for one in rows}
    assert len(named) == len(rows)
    return named


def found(rows: list[Row]) -> dict[str, Row]:
    return {name: told(one, *RATES, *AMOUNTS) for name, one in by_rate(rows).items()}


def test_the_days(booked: World) -> None:
    assert found(booked.costs("day#2026-11-22")) == FIRST_DAY
    assert found(booked.costs("day#2026-11-23")) == SECOND_DAY
    assert len(booked.costs("day#")) == len(FIRST_DAY) + len(SECOND_DAY)


def test_the_documents_entries(booked: World) -> None:
    """Each has the numbers of its pipeline's day, for no job has two documents of one pipeline."""
    entries: dict[str, dict[str, Row]] = {}
    for one in booked.documents():
        name = one["source"]["key"]
        entries[name] = found(booked.costs(f"document#{one['document_id']}"))
    assert entries == {
        "inbox/contracts/all.csv": {
            name: FIRST_DAY[name] for name in ("contracts batch", "contracts on_demand")
        },
        "inbox/letters/all.csv": {"letters batch": FIRST_DAY["letters batch"]},
        "inbox/minutes/all.csv": {"minutes on_demand": FIRST_DAY["minutes on_demand"]},
        "inbox/notes/all.csv": {"notes on_demand": FIRST_DAY["notes on_demand"]},
        "inbox/notes/more.csv": SECOND_DAY,
    }
    assert found(booked.costs("document#-")) == {"- batch": FIRST_DAY["- batch"]}


def test_the_documents(booked: World) -> None:
    rows = {one["source"]["key"]: told(one, *AMOUNTS) for one in booked.documents()}
    assert rows == DOCUMENTS
    status = {one["source"]["key"]: one["status"] for one in booked.documents()}
    assert status == dict.fromkeys(DOCUMENTS, "COMPLETED") | {"inbox/contracts/all.csv": "PARTIAL"}


def jobs(rows: list[Row]) -> Iterator[Row]:
    """Put jobs into the order of JOBS: by their model, and what they were charged."""
    models = [HAIKU, NOVA, LLAMA]
    yield from sorted(rows, key=lambda one: (models.index(one["model"]), -one["cost_usd"]))


def test_the_jobs(booked: World) -> None:
    totals = list(jobs(booked.costs("job#")))
    assert [told(one, *RATES, *AMOUNTS) for one in totals] == JOBS
    for one in totals:
        assert one["verified"]
        assert one["manifest_input_tokens"] == one["input_tokens"]
        assert one["manifest_output_tokens"] == one["output_tokens"]
    # Of the batch, nobody owns one line.
    assert (totals[0]["booked_input_tokens"], totals[0]["booked_output_tokens"]) == (18_090, 2_561)
    names = ("input_tokens", "output_tokens", "cost_usd", "saved_usd")
    assert [told(one, *names) for one in jobs(booked.jobs())] == [told(one, *names) for one in JOBS]


def test_the_month(booked: World) -> None:
    booked.clock.at = datetime(2026, 12, 5, 9, 0, tzinfo=UTC)
    booked.reconcile()
    rows = [one for one in booked.costs("month#2026-11") if one["entry"] != "-"]
    assert found(rows) == MONTH
    assert {name: one["jobs"] for name, one in by_rate(rows).items()} == JOBS_OF_MONTH


def test_everything_together_is_what_bedrock_has_charged(booked: World) -> None:
    assert booked.bedrock.billed == BILLED
    for scope in ("document#", "day#", "job#"):
        assert sum(map(Usage.of, booked.costs(scope)), Usage()) == BILLED
        # 17,107.2 + 228.8 + 7.11 + 895.68 paid; 17,107.2 + 7.11 saved
        assert sum(one["cost_usd"] for one in booked.costs(scope)) == millionths("18238.79")
        assert sum(one["saved_usd"] for one in booked.costs(scope)) == millionths("17114.31")


# long prompts: through `us.` Haiku 5.5 costs 0.11 and 0.55 on demand, and 0.55 and 2.75 above 100,000 tokens

HAIKU_5 = "us.anthropic.claude-haiku-5-5"
BOOKS = {
    "even": Usage(100_000, 40),
    "over": Usage(100_001, 40),
    "cached": Usage(1, 40, cache_read_tokens=100_000),
}
# Even: 100,000 * 0.11 + 40 * 0.55. Over: 100,001 * 0.55 + 40 * 2.75. Cached: 0.55 + 100,000 * 0.055 + 110.
EACH = {
    name: millionths(usd) for name, usd in (("even", "11022"), ("over", "55110.55"), ("cached", "5610.55"))
}
LONG_ONES = {
    "long_input_tokens": 100_002,
    "long_output_tokens": 80,
    "long_cache_read_tokens": 100_000,
}


@pytest.fixture
def books() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch, open_world(patch) as begin:
        world = begin()
        world.fatal = True
        keys: Row = {"chunk": {"by": "row"}, "prompt": "{{ row.a }}", "inference": {"max_tokens": 100}}
        world.pipeline("books", model=HAIKU_5, **keys)
        world.deliver_all()
        world.bedrock.answer = lambda _, body: Say("yes", usage=BOOKS[prompt_of(body)])
        world.upload("inbox/books/all.csv", "a\n" + "\n".join(BOOKS) + "\n")
        world.run()
        audit.check_end(world)
        yield world


def test_long_prompts_are_booked_at_their_own_price(books: World) -> None:
    (document,) = books.documents()
    (entry,) = books.costs(f"document#{document['document_id']}")
    usage = Usage(200_002, 120, cache_read_tokens=100_000) + Usage(**LONG_ONES)
    for row in (document, entry, *books.costs("day#"), *books.costs("job#")):
        assert Usage.of(row) == usage
        assert row["cost_usd"] == sum(EACH.values()) == millionths("71743.1")
        assert row["saved_usd"] == 0
    long = {"input": Decimal("0.55"), "output": Decimal("2.75"), "cache_read": Decimal("0.055")}
    assert (
        entry["price"]
        == entry["list_price"]
        == {
            "input": Decimal("0.11"),
            "output": Decimal("0.55"),
            "cache_read": Decimal("0.011"),
            "basis": "list",
            "long": long | {"basis": "list", "above": 100_000},
        }
    )
    found = books.results(document["document_id"])
    assert [one["cost_usd"] for one in found] == list(EACH.values())

"""Estimates of small uploads, each number worked out by hand."""

import io
import json
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from batchline import chunk, pipelines, tokens
from batchline.chunk import Upload
from batchline.intake import File
from batchline.models import Engine, Tier, Usage
from batchline.money import estimate, expected, prices
from batchline.money.estimate import Estimate, Meter, Survey
from batchline.money.expected import Answers, Earlier
from batchline.pipelines import Pipeline
from batchline.records import Record

NOVA = "us.amazon.nova-lite-v1:0"


def pipeline(**keys: object) -> Pipeline:
    said = {"model": NOVA, "prompt": "{{ text }}", "chunk": {"by": "row"}, "inference": {"max_tokens": 40}}
    return pipelines.parse(json.dumps(said | keys).encode())


def file(data: str | bytes, name: str = "rows.csv") -> File:
    content = data.encode() if isinstance(data, str) else data
    upload = Upload("", f"inbox/p/{name}", None, len(content), sequencer="")
    return File(name, upload, lambda: io.BytesIO(content))


def rows(count: int) -> str:
    # `a: xxxx` is what a row becomes: 7 characters.
    return "a\n" + "xxxx\n" * count


def made(data: str | bytes, said: Pipeline, *, name: str = "rows.csv") -> Estimate:
    survey = Survey("p", said, Meter.of(said.model))
    survey.add(file(data, name))
    return survey.estimate(expected.answers(said))


def test_a_batch_costs_half() -> None:
    found = made(rows(120), pipeline())
    # Nova has 0.25 tokens per character: ceil(7 * 0.25) = 2, and 7 for the frame.
    # Expected 10 of 40 tokens for each answer.
    assert (found.records, found.expected, found.most) == (120, Usage(1080, 1200), Usage(1080, 4800))
    planned = found.planned
    # 0.06 and 0.24 USD per million on demand: 1080 * 0.06 + 1200 * 0.24 = 352.8 millionths, in batch half.
    assert (planned.expected, planned.saved) == (Decimal("0.0001764"), Decimal("0.0001764"))
    # 1080 * 0.03 + 4800 * 0.12 = 608.4 millionths.
    assert planned.most == Decimal("0.0006084")
    assert {one.way: one.expected for one in found.ways} == {
        "batch": Decimal("0.0001764"),
        "flex": Decimal("0.0001764"),
        "on demand": Decimal("0.0003528"),
    }


def test_a_long_prompt_costs_what_long_ones_cost() -> None:
    def length(one: Record) -> int:
        text: str = orjson.loads(one.model_input)["messages"][0]["content"][0]["text"]
        return len(text)

    said = pipeline(model="global.anthropic.claude-haiku-5-5")
    # A token is a character here, so that the prompts have 7, 100,000 and 100,003 of them.
    survey = Survey("p", said, Meter(length, every=True))
    survey.add(file("a\nxxxx\n" + "x" * 99_997 + "\n" + "x" * 100_000 + "\n"))
    found = survey.estimate(expected.answers(said))
    assert found.expected == Usage(200_010, 30, long_input_tokens=100_003, long_output_tokens=10)
    # 100,007 * 0.1 + 20 * 0.5 + 100,003 * 0.5 + 10 * 2.5 millionths
    assert found.planned.expected == Decimal("0.0600372")
    # 40 tokens to each answer: 10,000.7 + 80 * 0.5 + 50,001.5 + 40 * 2.5
    assert found.planned.most == Decimal("0.0601422")
    assert [(one.way, one.expected) for one in found.ways] == [("on demand", Decimal("0.0600372"))]


@pytest.mark.parametrize(
    ("too_few", "usd", "saved", "waiting"),
    [
        # 99 * 9 = 891 in, 99 * 10 = 990 out: 891 * 0.06 + 990 * 0.24 = 291.06 millionths.
        ("on_demand", "0.00029106", "0", 0),
        ("flex", "0.00014553", "0.00014553", 0),
        ("wait", "0", "0", 99),
    ],
)
def test_a_tail_goes_as_the_pipeline_says(too_few: str, usd: str, saved: str, waiting: int) -> None:
    found = made(rows(99), pipeline(too_few=too_few))
    assert (found.planned.expected, found.planned.saved) == (Decimal(usd), Decimal(saved))
    assert found.stages[0].waiting == waiting
    assert {job.engine for job in found.stages[0].plan.jobs} == ({Engine.ON_DEMAND} if usd != "0" else set())


def test_jobs_are_those_of_the_planner(monkeypatch: pytest.MonkeyPatch) -> None:
    # Small shards, so that few rows make several: 30 to a shard, 60 to a job, at least 50.
    monkeypatch.setattr(chunk, "SHARD_RECORDS", 30)
    limits = estimate.catalog.limits(NOVA).model_copy(update={"min_records": 50, "max_records": 60})
    monkeypatch.setattr(estimate.catalog, "limits", lambda _model: limits)
    found = made(rows(150), pipeline(too_few="flex"))
    jobs = [(job.engine, job.tier, job.records) for job in found.stages[0].plan.jobs]
    assert jobs == [
        (Engine.BATCH, Tier.DEFAULT, 60),
        (Engine.BATCH, Tier.DEFAULT, 60),
        (Engine.ON_DEMAND, Tier.FLEX, 30),
    ]


def test_shards_are_shared_by_small_documents() -> None:
    survey = Survey("p", pipeline(), Meter.of(NOVA))
    for _ in range(60):
        survey.add(file(rows(2)))
    found = survey.estimate(expected.answers(pipeline()))
    assert (found.documents, found.records, len(found.stages[0].shards)) == (60, 120, 1)
    assert [job.records for job in found.stages[0].plan.jobs] == [120]


def test_what_would_be_refused_is_listed() -> None:
    survey = Survey("p", pipeline(), Meter.of(NOVA))
    survey.add(file("some words", "letter.txt"))
    survey.add(file(b"\x00\x01\x02" * 100, "what.bin"))
    survey.add(file(rows(1)))
    found = survey.estimate(expected.answers(pipeline()))
    assert [(one.name, one.code, one.records) for one in found.refused] == [
        ("letter.txt", "FORMAT_UNSUPPORTED", 0),
        ("what.bin", "FORMAT_UNSUPPORTED", 0),
    ]
    assert (found.documents, found.records) == (1, 1)


def test_each_document_of_an_archive_counts() -> None:
    found = made(
        Path("samples/inbox/summary/minutes-2026-10.zip").read_bytes(), pipeline(chunk={}), name="m.zip"
    )
    assert (found.documents > 1, found.refused) == (True, ())


def test_earlier_answers_tell_how_long_answers_are() -> None:
    said = pipeline()
    assert expected.answers(said, Earlier(3, 40, 250)) == Answers(
        Decimal("6.25"), 40, "what 40 records of 3 earlier documents were answered"
    )
    # Never more than the pipeline allows now.
    assert expected.answers(said, Earlier(1, 1, 90)).expected == 40
    assert expected.answers(said).expected == 10
    assert "25% of max_tokens" in expected.answers(said).basis


def test_what_came_from_the_cache_tells_nothing_of_the_length_of_answers() -> None:
    assert Earlier.of([(5, 3, 80), (2, 0, 40)]) == Earlier(2, 4, 120)
    assert Earlier.of([]) is None


def test_vectors_write_no_tokens() -> None:
    said = pipelines.parse(
        b"{model: amazon.titan-embed-text-v2:0, prompt: '{{ text }}', combine: list, chunk: {by: row}}"
    )
    found = made(rows(1), said)
    assert (found.expected.output_tokens, found.most.output_tokens) == (0, 0)
    assert found.expected.input_tokens > 7


def test_a_reduce_step_is_a_stage_of_its_own() -> None:
    combine = {"prompt": "{{ text }}", "model": "us.amazon.nova-pro-v1:0"}
    survey = Survey("p", pipeline(combine=combine), Meter.of(NOVA))
    survey.add(file(rows(120)))
    survey.add(file(rows(1)))
    found = survey.estimate(Answers(Decimal(10), 40, ""))
    first, second = found.stages
    assert (first.records, second.records, second.model) == (121, 2, "us.amazon.nova-pro-v1:0")
    # Answers of 10 tokens each, and twice the request around them: 12 for the frame.
    assert second.expected == Usage(121 * 10 + 2 * 12, 2 * 10)
    assert found.planned.expected == sum(
        (one.expected for stage in found.stages for one in [stage.quote(job) for job in stage.plan.jobs]),
        Decimal(0),
    )


def test_many_answers_are_combined_in_stages() -> None:
    # 4 answers of 10 tokens fit into room 40: 10 answers need 3 requests, and those one more.
    # They read 10 * 10 + 3 * 5 tokens, then 3 * 10 + 5.
    assert estimate._stages(10, 40, 5, Decimal(10), Decimal(10)) == (4, 150)


def test_a_sample_stands_for_what_is_between() -> None:
    counted: list[int] = []

    def count(one: Record) -> int:
        counted.append(one.index)
        return 3 * one.input_tokens

    meter = Meter(count, every=False)
    for n in range(400):
        meter.add(Record(n, b"", 10))
    # All of the first 50, every second up to 100, then every third ...
    assert counted[:55] == [*range(50), 50, 52, 54, 56, 58]
    assert 90 < meter.counted < 160
    assert meter.correct(4000) == 12000


def test_the_meter_weighs_a_long_tail_fully() -> None:
    # 1,000 records as estimated, then 9,000 that have twice as many tokens: 19,000 of 10,000 in all.
    meter = Meter(lambda one: 1 if one.index < 1000 else 2, every=False)
    for n in range(10_000):
        meter.add(Record(n, b"", 1))
    assert meter.correct(10_000) == pytest.approx(19_000, rel=0.02)
    assert meter.counted < 400


def test_a_price_that_is_unknown_is_said_to_be() -> None:
    found = made(rows(1), pipeline(model="example.new-v1:0"))
    assert (found.planned.basis, found.planned.expected) == ("unknown", 0)


def test_the_ledger_and_the_estimate_price_alike() -> None:
    found = made(rows(120), pipeline())
    charge = prices.charge(found.expected, NOVA, Engine.BATCH)
    assert (charge.cost_usd, charge.saved_usd) == (found.planned.expected, found.planned.saved)


def test_a_frame_and_the_schema_are_counted() -> None:
    said = pipeline(
        model="us.anthropic.claude-haiku-4-5-20251001-v1:0", output={"schema": {"type": "object"}}
    )
    found = made(rows(1), said)
    text = tokens.count_tokens('a: xxxx{"type":"object"}', said.model)
    assert found.expected.input_tokens == text + 7

"""Requests that were answered before, and those that stand in an upload twice: each is asked once.

Ten records are enough for a batch here.
"""

import json
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from batchline import catalog

from tests.faults import audit
from tests.integration.fake_bedrock import Ending, Say, echo, prompt_of
from tests.integration.test_pack import ready, rows
from tests.integration.world import World

MINIMUM = 10
# 100 tokens in and 20 out at half of 0.06 and 0.24 USD a million.
ANSWER_USD = Decimal("0.0000054")


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    limits = catalog.limits
    monkeypatch.setattr(
        catalog, "limits", lambda model: limits(model).model_copy(update={"min_records": MINIMUM})
    )
    world.bedrock.minimum = MINIMUM
    return world


def upload(world: World, name: str, data: str) -> None:
    world.upload(f"inbox/rows/{name}.jsonl", data)


def same(count: int, text: str = "the same") -> str:
    return f"{json.dumps({'a': text})}\n" * count


def document(world: World, name: str) -> Any:
    return world.document(f"inbox/rows/{name}.jsonl")


def asked(world: World) -> int:
    """Count the requests that Bedrock was paid for."""
    return sum(world.bedrock.paid.values())


def engines(world: World) -> Counter[str]:
    return Counter(one["engine"] for one in world.jobs())


def results(world: World, name: str) -> list[Any]:
    return world.results(document(world, name)["document_id"])


def cached(found: Iterable[Any]) -> list[bool]:
    return [one.get("cached", False) for one in found]


def test_a_second_upload_of_the_same_rows_costs_nothing(world: World) -> None:
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", rows(12))
    world.run()
    first = document(world, "a")
    assert (first["status"], "cached" in first, asked(world)) == ("COMPLETED", False, 12)
    assert first["cost_usd"] == 12 * ANSWER_USD
    upload(world, "b", rows(12))
    world.run()
    second = document(world, "b")
    assert (second["status"], second["succeeded"], second["cached"]) == ("COMPLETED", 12, 12)
    assert (second["cost_usd"], second["input_tokens"], second["output_tokens"]) == (0, 0, 0)
    assert (second["saved_usd"], second["cache_saved_usd"]) == (0, 12 * ANSWER_USD)
    assert asked(world) == 12
    assert len(world.bedrock.jobs) == 1
    by_record = {one["record"]: one["output"] for one in results(world, "a")}
    for one in results(world, "b"):
        assert one["output"] == by_record[one["record"]]
        assert (one["cached"], one["cost_usd"], one["input_tokens"]) == (True, 0, 0)
    row = next(one for one in world.jobs() if one["engine"] == "nobody")
    assert (
        row["message"]
        == "Nothing was sent: 12 records were answered before, 0 are cancelled, 0 wait for a job."
    )
    assert (row["cached"], row["cache_saved_usd"]) == (12, 12 * ANSWER_USD)
    assert {one["committed"] for one in world.control("budget#")} == {12 * ANSWER_USD}
    (entry,) = world.costs(f"document#{second['document_id']}")
    assert (entry["cached"], entry["cache_saved_usd"]) == (12, 12 * ANSWER_USD)
    audit.check_end(world)


def test_only_what_is_new_is_sent(world: World) -> None:
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", rows(12))
    world.run()
    upload(world, "b", rows(25))
    world.run()
    second = document(world, "b")
    assert (second["succeeded"], second["cached"]) == (25, 12)
    assert second["cost_usd"] == 13 * ANSWER_USD
    assert sorted(cached(results(world, "b"))) == [False] * 13 + [True] * 12
    assert (asked(world), engines(world)) == (25, {"batch": 2})
    audit.check_end(world)


def test_the_same_request_within_an_upload_is_sent_once(world: World) -> None:
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", rows(11) + same(4) + same(2, "row 7"))
    world.run()
    assert Counter(Counter(prompts(world)).values()) == {1: 12}
    row = document(world, "a")
    assert (row["status"], row["succeeded"], row["cached"]) == ("COMPLETED", 17, 5)
    assert (row["cost_usd"], row["cache_saved_usd"]) == (12 * ANSWER_USD, 5 * ANSWER_USD)
    assert {one["output"] for one in results(world, "a")[11:15]} == {"answer to the same"}
    assert world.job()["reuse"] | {"prefix": ""} == {
        "prefix": "",
        "cancelled": 0,
        "sent": 12,
        "known": 0,
        "same": 5,
        "elsewhere": 0,
    }
    audit.check_end(world)


def prompts(world: World) -> list[str]:
    """Say what Bedrock's batch jobs were asked."""
    return [
        prompt_of(json.loads(line)["modelInput"])
        for job in world.bedrock.jobs.values()
        for key in world.keys(job.input_uri.removeprefix("s3://batchline-work/"))
        for line in world.object(key).splitlines()
    ]


@pytest.mark.parametrize("keys", [{}, {"cache": False}])
def test_without_a_cache_every_request_is_asked(world: World, keys: Any) -> None:
    ready(world, max_wait="0s", **keys)
    for name in "ab":
        upload(world, name, rows(9) + same(3))
        world.run()
    assert asked(world) == 24
    assert not any(cached(results(world, "a") + results(world, "b")))
    assert world.control("cache#") == []
    assert not [key for one in world.jobs() for key in world.keys(f"jobs/{one['job_id']}/reuse/")]


def test_an_answer_is_used_as_long_as_the_pipeline_says(world: World) -> None:
    ready(world, max_wait="0s", cache={"ttl": "2h"})
    upload(world, "a", rows(12))
    world.run()
    world.clock.advance(3600)
    upload(world, "b", rows(12))
    world.run()
    assert asked(world) == 12
    # An answer that was used is not younger for it.
    world.clock.advance(3600)
    upload(world, "c", rows(12))
    world.run()
    assert (asked(world), "cached" in document(world, "c")) == (24, False)
    audit.check_end(world)


def test_a_shorter_time_holds_for_answers_that_are_there(world: World) -> None:
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", rows(12))
    world.run()
    world.clock.advance(3600)
    ready(world, max_wait="0s", cache={"ttl": "30m"})
    upload(world, "b", rows(12))
    world.run()
    assert asked(world) == 24


def test_an_answer_is_not_kept_longer_than_the_output_of_its_job(world: World) -> None:
    """The world keeps answers for 90 days."""
    ready(world, max_wait="0s", cache={"ttl": "365d"})
    upload(world, "a", rows(12))
    world.run()
    opened = int(world.job()["created_at"][14:16]) * 60 + 9 * 3600  # minutes after nine
    (end,) = {one["expires_at"] for one in world.control("cache#")}
    midnight = 1795305600  # of 2026-11-22
    assert end == midnight + opened + 90 * 86400


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "Say {{ row.a }}"},
        {"system": "Be brief."},
        {"inference": {"max_tokens": 101}},
        {"inference": {"max_tokens": 100, "temperature": 0.5}},
        {"model": "us.amazon.nova-micro-v1:0"},
        {"output": {"schema": {"type": "string"}}},
    ],
    ids=lambda one: next(iter(one)),
)
def test_another_request_is_asked(world: World, change: Any) -> None:
    world.bedrock.answer = lambda _name, _body: Say('"yes"')
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", rows(10))
    world.run()
    ready(world, max_wait="0s", cache=True, **change)
    upload(world, "b", rows(10))
    world.run()
    assert (asked(world), document(world, "b")["status"]) == (20, "COMPLETED")


def test_pipelines_share_no_answers(world: World) -> None:
    for name in ("rows", "others"):
        ready(world, name, max_wait="0s", cache=True)
    for name in ("rows", "others"):
        world.upload(f"inbox/{name}/a.jsonl", rows(10))
    world.run()
    assert asked(world) == 20


def test_only_good_answers_are_kept(world: World) -> None:
    """Of 15 answers two are cut, two empty, two errors; those that were cut are at least readable."""
    bad = {
        0: Say("half", "max_tokens"),
        1: Say(""),
        2: Say(error=400),
    }

    def answer(_name: str, body: dict[str, Any]) -> Say:
        number = int(prompt_of(body).split()[1])
        return bad[number % 3] if number < 6 else Say(f"answer {number}")

    world.bedrock.answer = answer
    ready(world, max_wait="0s", cache=True, attempts=1)
    upload(world, "a", rows(15))
    world.run()
    assert (document(world, "a")["succeeded"], document(world, "a")["failed"]) == (11, 4)
    assert len([one for one in world.control("cache#") if "at" in one]) == 9
    world.bedrock.answer = echo
    before = asked(world)
    upload(world, "b", rows(15))
    world.run()
    assert (document(world, "b")["succeeded"], document(world, "b")["cached"]) == (15, 9)
    assert asked(world) - before == 6
    audit.check_end(world)


def test_copies_of_a_request_share_its_retries(world: World) -> None:
    """The answer is cut off at first; all of its copies are asked with more room, once."""

    def answer(_name: str, body: dict[str, Any]) -> Say:
        cut = prompt_of(body) == "the same" and body["inferenceConfig"]["maxTokens"] == 100
        return Say("the begin", "max_tokens") if cut else echo("", body)

    world.bedrock.answer = answer
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", rows(11) + same(4))
    world.run()
    row = document(world, "a")
    assert (row["status"], row["succeeded"], row["cached"]) == ("COMPLETED", 15, 3)
    assert {one["attempt"] for one in results(world, "a")[11:]} == {2}
    assert asked(world) == 13
    audit.check_end(world)


def test_copies_of_a_request_share_its_failure(world: World) -> None:
    world.bedrock.answer = lambda _name, body: Say("" if prompt_of(body) == "the same" else "good")
    ready(world, max_wait="0s", cache=True, attempts=2)
    upload(world, "a", rows(11) + same(4))
    world.run()
    row = document(world, "a")
    assert (row["status"], row["succeeded"], row["failed"]) == ("PARTIAL", 11, 4)
    failed = results(world, "a")[11:]
    assert {one["error"]["code"] for one in failed} == {"ANSWER_EMPTY"}
    assert (sum(one["input_tokens"] for one in failed), "cached" in row) == (100, False)
    assert asked(world) == 13
    audit.check_end(world)


@pytest.mark.parametrize("too_few", ["on_demand", "flex"])
def test_a_job_that_falls_under_the_minimum_asks_the_rest_on_demand(world: World, too_few: str) -> None:
    ready(world, max_wait="0s", cache=True, too_few=too_few)
    upload(world, "a", rows(12))
    world.run()
    upload(world, "b", rows(15))
    world.run()
    row = document(world, "b")
    assert (row["status"], row["succeeded"], row["cached"]) == ("COMPLETED", 15, 12)
    assert engines(world) == {"batch": 1, "nobody": 1, "on_demand": 1}
    assert world.bedrock.tiers == ["flex" if too_few == "flex" else "default"] * 3
    audit.check_end(world)


def test_many_copies_of_few_requests_are_no_batch(world: World) -> None:
    """They are counted as records when the first job is opened, and as requests from then on."""
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", same(14) + rows(1))
    world.run()
    row = document(world, "a")
    assert (row["status"], row["succeeded"], row["cached"]) == ("COMPLETED", 15, 13)
    assert engines(world) == {"nobody": 1, "on_demand": 1}
    assert asked(world) == 2
    audit.check_end(world)


def test_many_copies_wait_for_company_where_the_pipeline_says_so(world: World) -> None:
    ready(world, max_wait="0s", cache=True, too_few="wait")
    upload(world, "a", same(15))
    world.run()
    assert (document(world, "a")["status"], document(world, "a")["error"]["code"]) == ("HELD", "TOO_FEW")
    for _ in range(20):
        world.minute()
    assert len(world.jobs()) == 1
    upload(world, "b", rows(10))
    world.run()
    assert {one["status"] for one in world.documents()} == {"COMPLETED"}
    assert asked(world) == 11
    audit.check_end(world)


def test_on_demand_jobs_use_the_cache_as_well(world: World) -> None:
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", rows(4) + same(5))
    world.run()
    assert (asked(world), document(world, "a")["cached"]) == (5, 4)
    upload(world, "b", rows(7))
    world.run()
    assert (asked(world), document(world, "b")["cached"]) == (8, 4)
    upload(world, "c", rows(7))
    world.run()
    assert (asked(world), document(world, "c")["cached"], document(world, "c")["cost_usd"]) == (8, 7, 0)
    # 100 tokens in and 20 out at 0.06 and 0.24 USD a million
    assert document(world, "c")["cache_saved_usd"] == 7 * 2 * ANSWER_USD
    assert engines(world).keys() == {"on_demand"}
    audit.check_end(world)


def test_long_answers_stay_where_they_are(world: World) -> None:
    world.bedrock.answer = lambda _name, body: Say(prompt_of(body) + " word" * 2_000)
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", rows(10) + rows(5))
    world.run()
    assert all("output_ref" in one for one in world.control("cache#"))
    upload(world, "b", rows(10))
    world.run()
    assert (asked(world), document(world, "b")["cached"]) == (10, 10)
    job_id = document(world, "b")["applied"].pop()
    assert {one["output_ref"]["key"].split("/")[1] for one in results(world, "b")} == {job_id}
    first, second = (json.loads(world.object(document(world, one)["result_key"])) for one in "ab")
    assert second["result"] == "\n\n".join(first["result"].split("\n\n")[:10])
    audit.check_end(world)


def test_an_answer_that_somebody_has_deleted_is_asked_again(world: World) -> None:
    world.bedrock.answer = lambda _name, body: Say(prompt_of(body) + " word" * 2_000)
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", rows(10))
    world.run()
    for key in world.keys(f"jobs/{world.job()['job_id']}/output/"):
        world.submitter().work.client.delete_object(Bucket="batchline-work", Key=key)
    upload(world, "b", rows(10))
    world.run()
    assert asked(world) == 20
    upload(world, "c", rows(10))
    world.run()
    assert (asked(world), document(world, "c")["cached"]) == (20, 10)


def test_pipelines_without_a_cache_share_jobs_with_those_that_have_one(world: World) -> None:
    ready(world, max_wait="0s", cache=True)
    ready(world, "others", max_wait="0s")
    upload(world, "a", rows(8) + same(3))
    world.upload("inbox/others/b.jsonl", same(4))
    world.run()
    assert (len(world.jobs()), asked(world)) == (1, 9 + 4)
    assert Counter(prompts(world))["the same"] == 1 + 4
    assert {one["status"] for one in world.documents()} == {"COMPLETED"}
    assert "cached" not in world.document("inbox/others/b.jsonl")
    audit.check_end(world)


def test_a_vector_is_reused_as_well(world: World) -> None:
    keys: dict[str, Any] = {"model": "amazon.titan-embed-text-v2:0", "combine": "list"}
    ready(world, max_wait="0s", cache=True, inference={"dimensions": 256}, **keys)
    upload(world, "a", rows(3) + same(2))
    world.run()
    upload(world, "b", rows(4))
    world.run()
    assert max(world.bedrock.paid.values()) == 1
    assert (asked(world), document(world, "b")["cached"]) == (5, 3)
    # "row 0" to "row 2" have 5 tokens each in this Bedrock, at 0.02 USD a million.
    assert document(world, "b")["cache_saved_usd"] == 15 * Decimal("0.02") / 1_000_000
    one, *_ = results(world, "b")
    assert one["cached"]
    vectors = json.loads(world.object(document(world, "b")["result_key"]))["result"]
    assert vectors == [{"dimensions": 256, "vector": [0.5] * 256}] * 4
    audit.check_end(world)


def test_a_reduce_prompt_is_asked_once_for_the_same_answers(world: World) -> None:
    ready(world, max_wait="0s", cache=True, combine={"prompt": "Merge {{ text }}"})
    upload(world, "a", rows(3))
    world.run()
    upload(world, "b", rows(3))
    world.run()
    assert (asked(world), document(world, "b")["cached"], document(world, "b")["cost_usd"]) == (4, 4, 0)
    assert document(world, "b")["result"] == document(world, "a")["result"]
    audit.check_end(world)


# cancelled


def test_who_is_sent_is_chosen_again_when_records_are_cancelled(world: World) -> None:
    """Bedrock is full, so the job waits with its input written when one of its documents is cancelled."""
    ready(world, max_wait="0s", cache=True)
    world.bedrock.quota = 0
    upload(world, "a", same(3) + rows(3))
    upload(world, "b", same(3) + rows(12, 100))
    world.deliver("UploadsQueue")
    world.pack()
    world.deliver("JobsQueue")
    (row,) = world.jobs()
    assert (row["status"], row["reuse"]["sent"], row["input"]["records"]) == ("WAITING", 16, 16)
    world.submitter().control.marks.cancel_document(document(world, "a")["document_id"], world.clock())
    world.bedrock.quota = 1
    world.run(minutes=60)
    assert (document(world, "a")["status"], document(world, "a")["failed"]) == ("CANCELLED", 6)
    assert (document(world, "b")["succeeded"], document(world, "b")["cached"]) == (15, 2)
    assert sorted(prompts(world)) == sorted(["the same", *(f"row {n}" for n in range(100, 112))])
    audit.check_end(world)


def test_a_request_that_others_wait_for_is_sent_although_its_document_is_cancelled(world: World) -> None:
    """Both are in a job on demand; the first is cancelled between two runs of invoke."""
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", same(1) + rows(2))
    upload(world, "b", same(2))
    world.deliver("UploadsQueue")
    world.pack()
    job_id = world.job()["job_id"]
    world.invoker().run(job_id, "first", until=world.clock())  # no time to ask anything
    assert (asked(world), world.job()["reuse"]["same"]) == (0, 2)
    world.submitter().control.marks.cancel_document(document(world, "a")["document_id"], world.clock())
    world.run()
    assert (document(world, "b")["status"], document(world, "b")["succeeded"]) == ("COMPLETED", 2)
    assert (document(world, "a")["status"], asked(world)) == ("CANCELLED", 1)
    audit.check_end(world)


# two jobs at once


def both_running(world: World, first: str, second: str) -> None:
    """Have two documents in a job of Bedrock each."""
    for name, data in (("a", first), ("b", second)):
        upload(world, name, data)
        world.deliver("UploadsQueue")
        world.pack()
        world.deliver("JobsQueue")
    assert [one["status"] for one in world.jobs()] == ["RUNNING", "RUNNING"]


def test_what_another_job_asks_is_not_asked_again(world: World) -> None:
    ready(world, max_wait="0s", cache=True)
    both_running(world, rows(12), rows(10, 6) + rows(6, 20))
    assert sum(one["reuse"]["elsewhere"] for one in world.jobs()) == 6
    world.run()
    assert (asked(world), max(world.bedrock.paid.values())) == (22, 1)
    assert {one["status"] for one in world.documents()} == {"COMPLETED"}
    assert document(world, "b")["cached"] == 6
    assert {one["attempt"] for one in results(world, "b")} == {1}
    audit.check_end(world)


def test_it_is_asked_by_whoever_is_left_when_the_other_job_fails(world: World) -> None:
    ready(world, max_wait="0s", cache=True, attempts=1)
    world.bedrock.ending = Ending(left_out=lambda name: name.startswith(document(world, "a")["document_id"]))
    both_running(world, rows(12), rows(10, 6) + rows(6, 20))
    world.run()
    assert document(world, "a")["status"] == "FAILED"
    assert (document(world, "b")["status"], document(world, "b")["succeeded"]) == ("COMPLETED", 16)
    assert {one["attempt"] for one in results(world, "b")} == {1}
    assert asked(world) == 16
    audit.check_end(world)


def test_what_waits_for_another_job_looks_again_every_five_minutes(world: World) -> None:
    ready(world, max_wait="0s", cache=True)
    upload(world, "a", rows(12))
    world.deliver("UploadsQueue")
    world.pack()
    world.deliver("JobsQueue")
    upload(world, "b", rows(12))
    for _ in range(16):
        world.clock.advance(60)
        world.pack()
        world.deliver_all()
    # The first at once, then every five minutes: 1, 6, 11, 16.
    assert len(world.jobs()) == 1 + 4
    assert {one["engine"] for one in world.jobs()[1:]} == {"nobody"}
    assert len(world.bedrock.jobs) == 1
    assert all(not one.get("fails") for one in world.control("lanes"))
    world.run()
    assert (asked(world), document(world, "b")["cached"]) == (12, 12)
    audit.check_end(world)


def test_what_is_past_its_deadline_does_not_wait_for_another_job(world: World) -> None:
    ready(world, max_wait="0s", cache=True, deadline="10m")
    upload(world, "a", rows(12))
    world.deliver("UploadsQueue")
    world.pack()
    world.deliver("JobsQueue")
    upload(world, "b", rows(3))
    for _ in range(16):
        world.clock.advance(60)
        world.pack()
        world.deliver_all()
    assert (document(world, "b")["status"], document(world, "b")["succeeded"]) == ("COMPLETED", 3)
    assert asked(world) == 3

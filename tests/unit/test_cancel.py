from batchline.cancel import Cancels, documents_of
from batchline.models import Shard

BEFORE, THEN, AFTER = ("2026-01-05T08:00:00.000Z", "2026-01-05T09:00:00.000Z", "2026-01-05T10:00:00.000Z")
ONE, TWO = "a" * 16, "b" * 16


def shard(*documents: str, pipeline: str = "letters", first_at: str = BEFORE) -> Shard:
    return Shard(
        shard_id="s",
        lane="m#Converse",
        key="shards/s.jsonl",
        pipeline=pipeline,
        version="v",
        model="m",
        too_few="wait",
        records=len(documents),
        bytes=1,
        input_tokens=1,
        output_tokens=1,
        created_at=AFTER,
        first_at=first_at,
        urgent_at=AFTER,
        ranges=tuple(f"{one} m 0 1 1" for one in documents),
    )


def test_a_document_is_cancelled_wherever_its_records_are() -> None:
    cancels = Cancels(documents=frozenset({ONE}))
    shared, other = shard(ONE, TWO), shard(TWO)
    assert documents_of(shared) == {ONE, TWO}
    assert cancels.covers(shared, ONE)
    assert not cancels.covers(shared, TWO)
    assert cancels.touched([other, shared]) == [shared]


def test_a_pipeline_is_cancelled_up_to_a_time() -> None:
    cancels = Cancels(pipelines={"letters": THEN})
    assert cancels.covers(shard(ONE, first_at=THEN), ONE)
    assert not cancels.covers(shard(ONE, first_at=AFTER), ONE)
    assert not cancels.covers(shard(ONE, pipeline="bills"), ONE)


def test_a_further_attempt_counts_from_its_first() -> None:
    again = shard(ONE)
    assert again.created_at > THEN
    assert Cancels(pipelines={"letters": THEN}).touched([again]) == [again]


def test_nothing_is_cancelled_at_first() -> None:
    assert not Cancels()
    assert Cancels().touched([shard(ONE)]) == []

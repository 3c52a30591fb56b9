"""What the pipeline itself costs: counted by the clients, on each document's row, and equal on all sides."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from batchline.aws import clients, dynamo
from batchline.aws.meter import S3_READS, Meter, units
from batchline.money import overhead
from batchline.money.overhead import Work
from botocore.awsrequest import AWSResponse

from tests.faults import audit
from tests.integration.calls import Died
from tests.integration.moto_world import open_moto_world
from tests.integration.test_pack import ready
from tests.integration.world import WORK, World


@pytest.fixture
def world(moto_world: World) -> World:
    """What is sent to AWS is counted."""
    return moto_world


@pytest.fixture
def meter() -> Meter:
    return clients.meter()


def counted(meter: Meter, before: Work) -> Work:
    return meter.counted - before


def test_clients_count_their_own_calls(world: World, meter: Meter) -> None:
    before = meter.counted
    clients.s3().put_object(Bucket=WORK, Key="a", Body=b"1")
    clients.s3().get_object(Bucket=WORK, Key="a")
    clients.s3().list_objects_v2(Bucket=WORK)
    clients.s3().delete_object(Bucket=WORK, Key="a")  # costs nothing
    assert counted(meter, before) == Work(s3_writes=2, s3_reads=1)

    before = meter.counted
    world.send("WakeQueue", {"hop": 0})
    world.send("WakeQueue", {"padding": "x" * 65_536})  # more than 64 KB are two requests
    assert counted(meter, before) == Work(sqs_requests=3)

    before = meter.counted
    entry: Any = {"Source": "batchline", "DetailType": "Test", "Detail": "{}"}
    clients.events().put_events(Entries=[entry, entry])
    assert counted(meter, before) == Work(events=2)

    before = meter.counted
    request = dynamo.put("Costs", {"scope": "s", "entry": "e"}, when="attribute_not_exists(#scope)")
    assert dynamo.write(clients.dynamodb(), request).done
    assert not dynamo.write(clients.dynamodb(), request).done  # is charged all the same
    dynamo.get(clients.dynamodb(), "Costs", {"scope": "s", "entry": "e"})
    assert counted(meter, before) == Work(write_units=2, read_units=1)


def test_each_try_of_a_request_is_counted(world: World, meter: Meter) -> None:
    """Whatever botocore sends again."""
    failures = iter([503, 503])

    def busy(**_: Any) -> Any:
        status = next(failures, None)
        return None if status is None else AWSResponse("https://aws.test", status, {}, _Raw())

    client = clients.sqs()
    client.meta.events.register_first("before-send.sqs", busy)
    before = meter.counted
    try:
        world.send("WakeQueue", {"hop": 0})
    finally:
        client.meta.events.unregister("before-send.sqs", busy)
    assert counted(meter, before) == Work(sqs_requests=3)


class _Raw:
    def stream(self, **_: Any) -> list[bytes]:
        return [b"{}"]

    def read(self, *_: Any, **__: Any) -> bytes:
        return b"{}"


def test_a_run_costs_what_it_has_asked_for_and_how_long_it_took(world: World) -> None:
    meter = Meter("us-east-1", 2_048, "arm64")
    meter.begin(world.clock, messages=4)
    meter.counted += Work(s3_writes=2)
    world.clock.advance(0.5)
    # 0.5 s at 2 GB: 0.0000133334; two PUT: 0.00001; received and deleted: 0.0000008;
    # a quarter of an invocation 0.00000005 and of 1,000 bytes of log 0.000000125
    assert meter.spent() == Decimal("0.000024308400")
    assert meter.lap() == Decimal("0.000024308400")
    assert meter.lap() == 0
    world.clock.advance(1)
    assert meter.lap() == Decimal("0.0000266668")


def rows(world: World, name: str, documents: int, records: int) -> None:
    for n in range(documents):
        lines = "".join(json.dumps({"a": f"row {n} {i}"}) + "\n" for i in range(records))
        world.upload(f"inbox/{name}/{n}.jsonl", lines)


def total(found: list[Mapping[str, Any]]) -> Decimal:
    return sum((Decimal(one["overhead_usd"]) for one in found), Decimal(0))


def test_documents_jobs_and_days_say_the_same(world: World) -> None:
    ready(world, max_wait="0s")
    rows(world, "rows", documents=20, records=6)
    world.run()
    job, documents = world.job(), world.documents()
    assert job["overhead_usd"] > 0
    assert {one["status"] for one in documents} == {"COMPLETED"}
    assert total(documents) == job["overhead_usd"]
    assert total(world.costs("document#")) == job["overhead_usd"]
    assert total(world.costs("day#")) == job["overhead_usd"]
    assert total(world.costs(f"job#{job['job_id']}")) == job["overhead_usd"]
    each = [one["overhead_usd"] for one in documents]
    assert max(each) - min(each) <= overhead.NANODOLLAR
    audit.check_end(world)


def asked(world: World) -> Work:
    """Count what the stages have asked of AWS, from their calls."""
    found = Work()
    for call in world.calls.made:
        service, _, operation = call.name.partition(".")
        if service == "dynamodb":
            found += units(operation, call.parameters, call.reply)
        elif service == "sqs":
            found += Work(sqs_requests=1)
        elif service == "events":
            found += Work(events=1)
        elif service == "s3":
            found += Work(s3_reads=1) if operation in S3_READS else Work(s3_writes=1)
    return found


@dataclass(frozen=True)
class Ran:
    """What so many documents of so many records each have asked of AWS until they were done."""

    documents: int
    records: int
    engine: str
    booked: Decimal
    asked: Work

    @property
    def work(self) -> Work:
        """What they took, messages and runs included."""
        messages, runs = 2 * self.documents + 4, self.documents // 10 + 6
        return self.asked + overhead.MESSAGE * messages + overhead.RUN * runs


@pytest.fixture(scope="module")
def ran(request: pytest.FixtureRequest) -> Ran:
    documents, records = request.param
    with pytest.MonkeyPatch.context() as patch, open_moto_world(patch) as begin:
        world = begin()
        world.fatal = True
        ready(world, max_wait="0s")
        world.calls.made.clear()
        rows(world, "rows", documents, records)
        world.run()
        return Ran(documents, records, world.job()["engine"], total(world.documents()), asked(world))


@pytest.mark.parametrize("ran", [(120, 1), (20, 10), (3, 70)], indirect=True, ids=str)
def test_what_is_foreseen_is_what_is_asked_for(ran: Ran, meter: Meter) -> None:
    """Chunk, pack, close and aggregate foresee what they cannot count in time."""
    # The test's clock stands still while functions run, and no message goes through Lambda's pollers.
    by_time = Work(gb_seconds=(overhead.ENDING.gb_seconds + overhead.ACCOUNT.gb_seconds) * ran.documents)
    assert ran.booked == pytest.approx(meter.usd(ran.work + by_time), rel=Decimal("0.1"))


@pytest.mark.parametrize("ran", [(1, 1), (1, 60), (120, 1), (20, 10)], indirect=True, ids=str)
def test_what_is_estimated_beforehand_is_what_is_asked_for(ran: Ran, meter: Meter) -> None:
    nothing, all_of_it = overhead.Jobs(0, 0), overhead.Jobs(1, ran.documents * ran.records)
    batch, invoked = (all_of_it, nothing) if ran.engine == "batch" else (nothing, all_of_it)
    expected = overhead.expected(ran.documents, -(-ran.documents // 99), batch, invoked)
    # The test's clock stands still while functions run.
    timeless = replace(expected, gb_seconds=0)
    assert meter.usd(timeless) == pytest.approx(meter.usd(ran.work), rel=Decimal("0.15"))


def test_a_crash_and_a_repeat_give_a_document_one_share(world: World) -> None:
    ready(world, max_wait="0s")
    rows(world, "rows", documents=20, records=6)
    world.fatal = False
    seen: list[str] = []

    def die(name: str, _parameters: Any) -> None:
        if world.calls.stage == "collect" and name == "dynamodb.UpdateItem":
            seen.append(name)
            if len(seen) == 13:
                raise Died

    world.calls.watch = die
    world.run()
    assert any(isinstance(one, Died) for one in world.errors)
    assert total(world.documents()) == world.job()["overhead_usd"]
    assert total(world.costs("document#")) == world.job()["overhead_usd"]
    audit.check_end(world)


def test_a_job_of_two_pipelines_shares_by_records(world: World) -> None:
    for name in ("one", "two"):
        ready(world, name, max_wait="0s")
    rows(world, "one", documents=12, records=10)
    rows(world, "two", documents=12, records=5)
    world.run()
    job = world.job()
    by_pipeline = {one["pipeline"]: one["overhead_usd"] for one in world.costs("day#")}
    assert sum(by_pipeline.values()) == job["overhead_usd"]
    assert by_pipeline["one"] == pytest.approx(2 * by_pipeline["two"], abs=Decimal("1E-8"))

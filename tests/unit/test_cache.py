import json

from batchline import cache
from batchline.cache import Decision, Fate, Fates, Group

from tests.unit.test_pack import shard

BODY = b'{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":9}}'
NOW = "2026-11-22T09:00:00.000Z"


# requests


def test_a_request_is_read_from_its_shard_as_it_stands() -> None:
    line = b'{"recordId":"abc","modelInput":{"b": 1, "a":[1.50]}}'
    assert cache.read(line) == ("abc", b'{"b": 1, "a":[1.50]}')


def test_the_same_bytes_to_the_same_model_are_the_same_request() -> None:
    one = cache.digest("m#Converse", "p", BODY)
    assert one == cache.digest("m#Converse", "p", bytes(BODY))
    assert len(one) == 64
    others = {
        cache.digest("n#Converse", "p", BODY),
        cache.digest("m#InvokeModel", "p", BODY),
        cache.digest("m#Converse", "q", BODY),
        cache.digest("m#Converse", "p", BODY.replace(b"hi", b"ho")),
        cache.digest("m#Converse", "p", BODY.replace(b"9", b"10")),
    }
    assert len(others | {one}) == 6


def test_an_answer_is_written_as_a_line_of_another_record() -> None:
    said = b'{"output": {"message": 1}, "usage":{}}'
    taken = cache.output(b'{"modelInput":{"x":1},"modelOutput":%b,"recordId":"abc"}' % said)
    assert taken == said
    assert json.loads(cache.line("xyz", taken)) == {"recordId": "xyz", "modelOutput": json.loads(said)}
    assert cache.line("xyz", taken).endswith(b"\n")


# rows


def test_an_answer_may_be_as_old_as_the_pipeline_says() -> None:
    row = {"job_id": "j", "at": 1000, "expires_at": 5000}
    assert cache.usable(row, now=1099, ttl=100)
    assert not cache.usable(row, now=1100, ttl=100)
    assert cache.usable(row, now=4999, ttl=9999)
    assert not cache.usable(row, now=5000, ttl=9999)  # DynamoDB may delete it days later
    assert cache.claimant(row, now=1000) is None


def test_a_claim_is_no_answer() -> None:
    row = {"job_id": "j", "expires_at": 5000}
    assert not cache.usable(row, now=1000, ttl=9999)
    assert (cache.claimant(row, now=4999), cache.claimant(row, now=5000)) == ("j", None)


# decisions


def group(*records: str) -> Group:
    found = Group("p", 60)
    for one in records:
        found.add(one, shard(1, 9), NOW)
    return found


def test_a_group_waits_unless_one_of_it_is_past_its_deadline() -> None:
    found = group("a")
    found.add("b", shard(2, 1, deadline_at="2026-11-22T09:00:00.001Z"), NOW)
    assert found.patient
    found.add("c", shard(3, 1, deadline_at=NOW), NOW)
    found.add("d", shard(2, 1), NOW)
    assert not found.patient
    assert found.records == [("a", "s0001"), ("b", "s0002"), ("c", "s0003"), ("d", "s0002")]


DECISIONS = [
    Decision("a", Fate.KNOWN, "k", "s0001"),
    Decision("b", Fate.KNOWN, "k", "s0001"),
    Decision("c", Fate.SENT, "x", "s0001"),
    Decision("d", Fate.SAME, "x", "s0001"),
    Decision("e", Fate.SAME, "x", "s0001"),
    Decision("f", Fate.SENT, "y", "s0001"),
    Decision("g", Fate.ELSEWHERE, "z", "s0001"),
]


def test_one_of_a_group_is_sent_unless_the_answer_comes_from_elsewhere() -> None:
    groups = {"k": group("a", "b"), "x": group("c", "d", "e"), "y": group("f"), "z": group("g")}
    assert list(cache.decide(groups, {"k"}, {"z"})) == DECISIONS
    assert cache.leaders(DECISIONS) == {"c"}
    assert cache.counts(DECISIONS) == {"sent": 2, "known": 2, "same": 2, "elsewhere": 1}


def test_decisions_are_read_as_they_were_written() -> None:
    assert cache.load(cache.dump(DECISIONS)) == DECISIONS
    assert cache.load(cache.dump([])) == []


def test_fates_are_found_by_position() -> None:
    fates = Fates(DECISIONS, "abcdefg".find)
    assert (fates.digests, fates.elsewhere, fates.left_out) == ({2: "x", 5: "y"}, {6: "z"}, 5)
    assert [list(fates.copies(n)) for n in range(7)] == [[], [], [3, 4], [], [], [], []]
    assert [n for n in range(7) if fates.is_copy(n)] == [3, 4]
    nothing = Fates([], "abcdefg".find)
    assert (nothing.left_out, list(nothing.copies(2)), nothing.is_copy(3)) == (0, [], False)

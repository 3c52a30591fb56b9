from datetime import UTC, datetime, timedelta
from string import ascii_lowercase

import pytest
from batchline import ids
from batchline.ids import RecordId
from hypothesis import given
from hypothesis import strategies as st

DOCUMENT = "mfzwizltmfzwizlt"
RECORDS = st.builds(
    RecordId,
    document_id=st.text(ascii_lowercase + "234567", min_size=16, max_size=16),
    stage=st.sampled_from(ascii_lowercase),
    index=st.integers(0, ids.MAX_RECORDS - 1),
    attempt=st.integers(1, ids.MAX_ATTEMPTS),
)


def test_a_record_id_says_document_stage_index_and_attempt() -> None:
    record = RecordId(DOCUMENT, "m", 12, 3)
    assert str(record) == "mfzwizltmfzwizlt" + "m" + "0000012" + "3"
    assert record.record == "m0000012"


@given(RECORDS)
def test_record_ids_are_read_back_and_fit_bedrock(record: RecordId) -> None:
    assert RecordId.parse(str(record)) == record
    assert str(record).isalnum()
    assert len(str(record)) == 16 + 1 + 7 + 1


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "CALL0000001",
        f"{DOCUMENT}m00000120",  # attempts begin with 1
        f"{DOCUMENT}m000001",
        f"{DOCUMENT}m00000012 ",
        f"{DOCUMENT}m00000012\n",
        f"{DOCUMENT.upper()}m00000123",
        f"{DOCUMENT}m٠٠٠٠٠١٢3",  # digits, but not these
        f"1{DOCUMENT[1:]}m00000123",  # base 32 has no 1
    ],
)
def test_foreign_record_ids_are_nobodys(foreign: str) -> None:
    assert RecordId.parse(foreign) is None


@given(st.text())
def test_any_text_is_read_back_or_foreign(text: str) -> None:
    found = RecordId.parse(text)
    assert found is None or str(found) == text


@given(st.lists(RECORDS, max_size=20))
def test_results_of_a_stage_sort_by_index(records: list[RecordId]) -> None:
    names = sorted(one.record for one in records)
    assert names == [one.record for one in sorted(records, key=lambda one: (one.stage, one.index))]


def test_a_document_id_depends_on_key_content_and_version_alone() -> None:
    first = ids.document_id(key="inbox/p/a.txt", content="sum 3", version="v1")
    # printf "inbox/p/a.txt\nsum 3\nv1" | sha256sum, its bytes in base 32, 16 places
    assert first == "gqsg6nf7lykmabxv"
    assert ids.document_id(key="inbox/p/a.txt", content="sum 3", version="v1") == first
    others = {
        ids.document_id(key="inbox/p/b.txt", content="sum 3", version="v1"),
        ids.document_id(key="inbox/p/a.txt", content="sum 4", version="v1"),
        ids.document_id(key="inbox/p/a.txt", content="sum 3", version="v2"),
    }
    assert len(others | {first}) == 4


@given(st.text(st.characters(codec="utf-8")))
def test_document_ids_fit_record_ids(key: str) -> None:
    document = ids.document_id(key=key, content="c", version="v")
    assert RecordId.parse(str(RecordId(document, "m", 0, 1))) is not None


def test_job_ids_sort_by_time() -> None:
    start = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
    # 2026-01-05T09:00Z is 1767603600000 ms = "mk0xjmo0" in base 36
    assert ids.job_id(start)[:8] == "mk0xjmo0"
    made = [ids.job_id(start + timedelta(milliseconds=n * 7919)) for n in range(200)]
    assert made == sorted(made)
    assert {len(one) for one in made} == {ids.JOB_LENGTH}
    assert len({ids.job_id(start) for _ in range(50)}) > 1


def test_a_job_is_found_by_its_name() -> None:
    name = ids.job_name("5f0c9b2e", "mk0xq2a17c4f")
    assert name == "5f0c9b2e-mk0xq2a17c4f"
    assert ids.job_of(name, prefix="5f0c9b2e") == "mk0xq2a17c4f"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nightly-evaluation",
        "mk0xq2a17c4f",
        "5f0c9b2e-",
        "5f0c9b2e-mk0xq2a17c4",
        "5f0c9b2e-mk0xq2a17c4f0",
        "5f0c9b2e-MK0XQ2A17C4F",
        "5f0c9b2e-mk0xq2a17c4f\n",
        "5f0c9b2f-mk0xq2a17c4f",
        "x-5f0c9b2e-mk0xq2a17c4f",
    ],
)
def test_jobs_of_others_are_foreign(name: str) -> None:
    assert ids.job_of(name, prefix="5f0c9b2e") is None


def test_shard_ids_stay_inside_bedrocks_key_pattern() -> None:
    assert ids.shard_id().isalnum()
    assert ids.shard_id() != ids.shard_id()
    assert ids.document_shard_id(DOCUMENT, 7) == f"{DOCUMENT}-m00007"

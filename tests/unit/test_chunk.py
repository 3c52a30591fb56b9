import json
from typing import Any

import orjson
import pytest
from batchline import chunk
from batchline.chunk import DocumentFile, PipelineFile
from batchline.errors import Code, Refused
from batchline.models import Range
from batchline.pipelines import Pipeline
from batchline.records import Record
from hypothesis import given
from hypothesis import strategies as st

NOVA = "us.amazon.nova-lite-v1:0"
DOCUMENT = "mfzwizltmfzwizlt"


def pipeline(**changes: Any) -> Pipeline:
    return Pipeline.model_validate({"model": NOVA, "prompt": "{{ text }}"} | changes)


def prompts(data: bytes, name: str = "a/b.txt", **changes: Any) -> list[str]:
    found = chunk.records(DocumentFile("p", name), f"inbox/p/{name}", data, pipeline(**changes))
    return [orjson.loads(one.model_input)["messages"][0]["content"][0]["text"] for one in found]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("pipelines/summary.yaml", PipelineFile("summary")),
        ("pipelines/sum-mary_2.yml", PipelineFile("sum-mary_2")),
        ("inbox/summary/a.txt", DocumentFile("summary", "a.txt")),
        ("inbox/summary/2026/契約 (1).txt", DocumentFile("summary", "2026/契約 (1).txt")),
        ("inbox/summary//a", DocumentFile("summary", "/a")),
        ("inbox/" + "p" * 64 + "/a", DocumentFile("p" * 64, "a")),
        ("inbox/", None),
        ("inbox/summary/", None),
        ("pipelines/", None),
        ("anything/", None),
    ],
)
def test_keys_say_what_an_object_is(key: str, expected: object) -> None:
    assert chunk.destination(key) == expected


@pytest.mark.parametrize(
    "key",
    [
        "a.txt",
        "inbox",
        "inbox/a.txt",
        "inbox//a.txt",
        "inbox/契約/a.txt",
        "inbox/-p/a.txt",
        "inbox/" + "p" * 65 + "/a",
        "Inbox/summary/a.txt",
        "/inbox/summary/a.txt",
        "pipelines/summary",
        "pipelines/summary.json",
        "pipelines/sub/summary.yaml",
        "pipelines/./summary.yaml",
        "pipelines//summary.yaml",
        "pipelines/.yaml",
        "pipelines/a b.yaml",
        "pipelines/a.b.yaml",
        "pipelines/summary\n.yaml",
    ],
)
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(Refused) as caught:
        chunk.destination(key)
    assert caught.value.code == Code.KEY_INVALID
    assert "Upload it under such a key." in caught.value.message


@given(st.text())
def test_any_key_is_something_or_refused(key: str) -> None:
    for full in (key, f"inbox/{key}", f"pipelines/{key}.yaml"):
        try:
            found = chunk.destination(full)
        except Refused:
            continue
        if isinstance(found, PipelineFile):
            assert full in {f"pipelines/{found.name}.yaml", f"pipelines/{found.name}.yml"}
        elif isinstance(found, DocumentFile):
            assert full == f"inbox/{found.pipeline}/{found.name}"
        else:
            assert full.endswith("/")


def test_large_uploads_are_refused_unread() -> None:
    chunk.refuse_size(100_000_000)
    with pytest.raises(Refused, match="100,000,001 bytes; 100,000,000 are read") as caught:
        chunk.refuse_size(100_000_001)
    assert caught.value.code == Code.UPLOAD_TOO_LARGE


def test_a_document_is_one_record() -> None:
    assert prompts(b"\xef\xbb\xbf  One.\r\nTwo. \n", chunk={"by": "document"}) == ["One.\nTwo."]


def test_a_document_is_cut_by_tokens() -> None:
    # 50 tokens of Nova are 200 bytes of ASCII: four words of 49 letters and their spaces.
    words = ["w" * 49] * 9
    found = prompts(" ".join(words).encode(), chunk={"max_tokens": 50})
    assert found == [" ".join(words[:4]), " ".join(words[4:8]), words[8]]


def test_a_prompt_knows_its_document_and_chunk() -> None:
    template = "{{ document.name }}|{{ document.key }}|{{ document.pipeline }}|{{ chunk.index }}|{{ text }}"
    found = prompts(("a" * 190 + " " + "b" * 190).encode(), prompt=template, chunk={"max_tokens": 50})
    assert found == [
        f"b.txt|inbox/p/a/b.txt|p|0|{'a' * 190}",
        f"b.txt|inbox/p/a/b.txt|p|1|{'b' * 190}",
    ]


def test_a_table_is_a_record_per_row() -> None:
    found = prompts(
        "name,items\n山田,3\n鈴木,\n".encode(),
        "t.csv",
        chunk={"by": "row"},
        prompt="{{ row.name }}:{{ row.items }}\n{{ text }}",
    )
    assert found == ["山田:3\nname: 山田\nitems: 3", "鈴木:\nname: 鈴木\nitems: "]


def test_json_cells_stay_json() -> None:
    row = {"a": None, "b": True, "c": [1, "é"], "d": "plain"}
    found = prompts(json.dumps(row).encode(), "t.jsonl", chunk={"by": "row"})
    assert found == ['a: null\nb: true\nc: [1, "é"]\nd: plain']


def test_a_page_is_read_as_text_whatever_its_name() -> None:
    assert prompts(b"<!doctype html><p>Hello <b>you</b><script>x</script>") == ["Hello you"]


@pytest.mark.parametrize(
    ("data", "name", "changes", "code"),
    [
        (b"", "a.txt", {}, Code.UPLOAD_EMPTY),
        (b" \n ", "a.txt", {}, Code.TEXT_MISSING),
        (b"a,b\n", "a.csv", {"chunk": {"by": "row"}}, Code.TEXT_MISSING),
        (b"a,b\n1,2\n1,2,3\n", "a.csv", {"chunk": {"by": "row"}}, Code.ROWS_INVALID),
        (b"text", "a.txt", {"chunk": {"by": "row"}}, Code.FORMAT_UNSUPPORTED),
        (b"%PDF-1.7", "a.txt", {}, Code.FORMAT_UNSUPPORTED),
        (b"caf\xe9s", "a.txt", {}, Code.TEXT_ENCODING),
        (b"x" * 1_300_000, "a.txt", {"chunk": {"by": "document"}}, Code.PROMPT_TOO_LONG),
        (b"a\n1\n", "a.csv", {"chunk": {"by": "row"}, "prompt": "{{ row.b }}"}, Code.PROMPT_FAILED),
        (b'{"a":"\\ud800"}', "a.jsonl", {"chunk": {"by": "row"}}, Code.PROMPT_FAILED),
    ],
)
def test_what_cannot_become_records_is_refused(
    data: bytes, name: str, changes: dict[str, Any], code: Code
) -> None:
    with pytest.raises(Refused) as caught:
        prompts(data, name, **changes)
    assert caught.value.code == code


def test_too_many_records_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "MAX_RECORDS", 3)
    assert len(prompts(b"a\n1\n2\n3\n", "a.csv", chunk={"by": "row"})) == 3
    with pytest.raises(Refused) as caught:
        prompts(b"a\n1\n2\n3\n4\n", "a.csv", chunk={"by": "row"})
    assert caught.value.code == Code.TOO_MANY_RECORDS


def test_the_same_upload_makes_the_same_records() -> None:
    data = ("Some text. " * 500).encode()
    file, spec = DocumentFile("p", "a.txt"), pipeline(chunk={"max_tokens": 100, "overlap_tokens": 20})
    first = list(chunk.records(file, "inbox/p/a.txt", data, spec))
    assert first == list(chunk.records(file, "inbox/p/a.txt", data, spec))
    assert [one.index for one in first] == list(range(len(first)))


@pytest.mark.parametrize(
    ("model", "lane"),
    [
        (NOVA, f"{NOVA}#Converse"),
        ("arn:aws:bedrock:us-east-1::foundation-model/a.b-v1:0",) * 2,
    ],
)
def test_a_lane_is_a_model_and_a_way_to_ask_it(model: str, lane: str) -> None:
    assert chunk.lane(model) == f"{lane.removesuffix('#Converse')}#Converse"


def test_a_part_names_its_records() -> None:
    part = chunk.Part(DOCUMENT, [Record(5, b"{}", 1), Record(6, b"{}", 1)])
    assert part.range == Range(DOCUMENT, "m", 5, 2, 1)
    assert list(part.lines()) == [
        b'{"recordId":"mfzwizltmfzwizltm00000051","modelInput":{}}\n',
        b'{"recordId":"mfzwizltmfzwizltm00000061","modelInput":{}}\n',
    ]


@given(st.lists(st.integers(2, 9), max_size=60), st.integers(1, 7), st.integers(2, 30))
def test_parts_hold_every_record_once_and_in_order(sizes: list[int], most: int, bytes_: int) -> None:
    found = [Record(n, b"x" * size, 1) for n, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk, "SHARD_RECORDS", most)
        patch.setattr(chunk, "SHARD_BYTES", bytes_)
        parts = list(chunk.parts(DOCUMENT, iter(found)))
    assert [one for part in parts for one in part.records] == found
    for part in parts:
        assert 1 <= len(part.records) <= most
        assert sum(len(one.model_input) for one in part.records) <= bytes_ or len(part.records) == 1
        assert part.range.first + part.range.count - 1 == part.records[-1].index

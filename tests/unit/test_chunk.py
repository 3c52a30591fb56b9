import io
import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

import orjson
import pytest
from batchline import catalog, chunk, formats, splitting, units
from batchline.chunk import DocumentFile, OutOfTime, Part, PipelineFile, Upload
from batchline.errors import Code, Refused
from batchline.formats import Archive, Image, Scan, Section, Text
from batchline.models import Range
from batchline.pipelines import Pipeline
from batchline.records import Record
from batchline.tokens import counter
from hypothesis import given
from hypothesis import strategies as st

NOVA = "us.amazon.nova-lite-v1:0"
DOCUMENT = "mfzwizltmfzwizlt"


def pipeline(**changes: Any) -> Pipeline:
    return Pipeline.model_validate({"model": NOVA, "prompt": "{{ text }}"} | changes)


def parts(data: bytes, name: str = "b.txt", *, spec: Pipeline | None = None, **keys: Any) -> Iterator[Part]:
    spec = spec or pipeline()
    content = formats.read(io.BytesIO(data), name, size=len(data), rows=spec.chunk.by == "row")
    return chunk.parts(DOCUMENT, units.cut(content, spec), spec, {"name": name}, **keys)


def prompts(data: bytes, name: str = "b.txt", **changes: Any) -> list[str]:
    found = [one for part in parts(data, name, spec=pipeline(**changes)) for one in part.records]
    assert [one.index for one in found] == list(range(len(found)))
    return [said(one) for one in found]


def said(one: Record) -> str:
    """What the model is asked, without pictures."""
    content = orjson.loads(one.model_input)["messages"][0]["content"]
    return str(content[-1]["text"])


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
    chunk.refuse_size(10_737_418_240)
    with pytest.raises(Refused, match="10,737,418,241 bytes; 10,737,418,240 are read") as caught:
        chunk.refuse_size(10_737_418_241)
    assert caught.value.code == Code.UPLOAD_TOO_LARGE


def test_an_upload_has_one_name_however_often_it_is_told_of() -> None:
    first = Upload("b", "inbox/p/a.zip", "v1", 10, "01")
    assert first.name == replace(first, sequencer="02", created_on="2026-11-22").name
    others = [
        replace(first, version_id="v2"),
        replace(first, key="inbox/p/b.zip"),
        replace(first, member="a"),
    ]
    assert len({first.name, *(one.name for one in others)}) == 4
    # Where a bucket keeps no versions, the sequencer tells them apart.
    plain = replace(first, version_id=None)
    assert plain.name != replace(plain, sequencer="02").name


# the order of a batch


def in_turn(*messages: tuple[str, int]) -> list[str]:
    found = chunk.in_turn(messages, name=itemgetter(0), receives=itemgetter(1))
    return [name for name, _ in found]


def test_new_messages_come_before_those_that_may_have_killed() -> None:
    assert in_turn(("d", 2), ("c", 1), ("b", 2), ("a", 1)) == ["a", "c", "b", "d"]


def test_the_order_turns_round_with_each_delivery() -> None:
    """What came after a deadly message comes before it the next time."""
    assert in_turn(("a", 2), ("deadly", 2), ("z", 2)) == ["a", "deadly", "z"]
    assert in_turn(("a", 3), ("deadly", 3), ("z", 3)) == ["z", "deadly", "a"]
    assert in_turn(("a", 4), ("deadly", 4), ("z", 4)) == ["a", "deadly", "z"]


# records


def test_a_document_is_one_record() -> None:
    assert prompts(b"\xef\xbb\xbf  One.\r\nTwo. \n", chunk={"by": "document"}) == ["One.\nTwo."]


def test_a_document_is_cut_by_tokens() -> None:
    words = ["w" * 49] * 9
    found = prompts(" ".join(words).encode(), chunk={"max_tokens": 50})
    assert len(found) > 1
    assert " ".join(found) == " ".join(words)


def test_a_prompt_knows_its_document_and_chunk() -> None:
    template = "{{ document.name }}|{{ chunk.index }}|{{ chunk.start }}-{{ chunk.end }}|{{ text[0] }}"
    text = "a" * 190 + " " + "b" * 190
    found = prompts(text.encode(), prompt=template, chunk={"max_tokens": 60})
    assert found == ["b.txt|0|0-190|a", "b.txt|1|191-381|b"]


def test_a_table_is_a_record_per_row() -> None:
    found = prompts(
        "name,items\n山田,3\n鈴木,\n".encode(),
        "t.csv",
        chunk={"by": "row"},
        prompt="{{ row.name }}:{{ row.items }} {{ chunk.start }}\n{{ text }}",
    )
    assert found == ["山田:3 0\nname: 山田\nitems: 3", "鈴木: 1\nname: 鈴木\nitems: "]


def test_only_prompts_that_may_be_long_are_told() -> None:
    (part,) = parts(b"a\nshort\n" + b"x" * 70_000 + b"\n", "b.csv", spec=pipeline(chunk={"by": "row"}))
    assert len(part.records) == 2
    assert part.lengths == [part.records[1].input_tokens]


def test_a_record_may_have_several_rows() -> None:
    template = "{% for one in rows %}{{ one.a }}{% endfor %} {{ chunk.start }}-{{ chunk.end }} {{ text }}"
    found = prompts(b"a\n1\n2\n3\n", "t.csv", chunk={"by": "row", "rows": 2}, prompt=template)
    assert found == ["12 0-2 a: 1\n\na: 2", "3 2-3 a: 3"]


def test_a_page_of_html_is_read_as_text_whatever_its_name() -> None:
    assert prompts(b"<!doctype html><p>Hello <b>you</b><script>x</script>") == ["Hello you"]


PAGED = (
    Section("One.\n\n", 1, ("Terms",)),
    Section("Two.\n\n", 1, ("Terms", "Payment")),
    Section(" \n", 2),
    Section("Three.\n", 3, ("End",)),
)


def test_each_page_that_has_text_is_a_record() -> None:
    template = "{{ chunk.page }} {{ chunk.headings }} {{ chunk.start }}-{{ chunk.end }} {{ text }}"
    spec = pipeline(chunk={"by": "page"}, prompt=template)
    found = units.cut(Text(iter(PAGED)), spec)
    (part,) = chunk.parts(DOCUMENT, found, spec, {})
    assert [said(one) for one in part.records] == ["1 Terms 0-10 One.\n\nTwo.", "3 End 14-20 Three."]


def test_pieces_travel_together_but_for_those_of_pages_which_may_be_slow_to_read() -> None:
    spec = pipeline(chunk={"max_tokens": 100})
    text = "One is enough. " * 500
    (together,) = units.cut(Text(iter([Section(text)])), spec)
    paged = list(units.cut(Text(iter([Section(text, 1)])), spec))
    assert together.units == len(paged) > 10
    assert {one.units for one in paged} == {1}


def test_pieces_before_a_text_is_refused_come_first() -> None:
    def sections() -> Iterator[Section]:
        yield Section("One is enough.\n\n" * 20_000)
        raise Refused(Code.FILE_DAMAGED, "x")

    spec = pipeline(chunk={"max_tokens": 100})
    pieces: list[splitting.Piece] = []
    with pytest.raises(Refused):
        pieces.extend(splitting.split(sections(), max_tokens=100, count=counter(spec.model)))
    read: list[Any] = []
    with pytest.raises(Refused):
        read.extend(one for (some,) in units.cut(Text(sections()), spec) for one in some)
    assert pieces
    assert read == pieces


def test_headings_read_as_a_path() -> None:
    spec = pipeline(
        chunk={"by": "page"}, prompt="{{ chunk.headings }}|{{ chunk.headings|length }}|{{ text }}"
    )
    found = units.cut(Text(iter([Section("x", 1, ("Terms", "Payment"))])), spec)
    (part,) = chunk.parts(DOCUMENT, found, spec, {})
    assert said(part.records[0]) == "Terms > Payment|2|x"


def test_what_has_no_pages_knows_neither_page_nor_headings() -> None:
    found = prompts(
        b"x", prompt="{% if chunk.page %}p{% endif %}[{{ chunk.page }}{{ chunk.headings }}]{{ text }}"
    )
    assert found == ["[]x"]


@pytest.mark.parametrize(
    "content", [Image("png", b"\x89PNG", None), Scan(iter([Image("png", b"\x89PNG", 1)]))]
)
def test_a_picture_stands_before_its_prompt(content: Image | Scan) -> None:
    spec = pipeline(prompt="Say what you see{{ text }}")
    (part,) = chunk.parts(DOCUMENT, units.cut(content, spec), spec, {})
    (one,) = part.records
    assert orjson.loads(one.model_input)["messages"][0]["content"] == [
        {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}},
        {"text": "Say what you see"},
    ]
    assert one.input_tokens > 1600


def test_a_model_that_reads_text_only_gets_no_picture() -> None:
    spec = pipeline(model="us.amazon.nova-micro-v1:0")
    with pytest.raises(Refused, match=r"nova-micro.* reads text only") as caught:
        list(chunk.parts(DOCUMENT, units.cut(Image("png", b"x"), spec), spec, {}))
    assert caught.value.code == Code.MODEL_CANNOT_SEE


# prompts that are too long

SMALL_CONTEXT = 300


@pytest.fixture
def small_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that takes 300 tokens, of which an answer may have 100."""
    small = catalog.model(NOVA).model_copy(update={"context": SMALL_CONTEXT})
    monkeypatch.setattr(catalog, "model", lambda _id: small)


@pytest.mark.usefixtures("small_context")
def test_a_prompt_that_is_too_long_is_split_further() -> None:
    text = " ".join(f"word{n:04d}." for n in range(200))
    found = prompts(
        text.encode(),
        chunk={"max_tokens": 1000},
        prompt="{{ chunk.index }} {{ chunk.start }} {{ chunk.end }} {{ text }}",
        inference={"max_tokens": 100},
    )
    assert len(found) > 2
    said = [one.split(" ", 3) for one in found]
    assert " ".join(one[3] for one in said) == text
    assert all(text[int(start) : int(stop)] == body for _, start, stop, body in said)


@pytest.mark.usefixtures("small_context")
def test_several_rows_that_are_too_long_come_in_fewer() -> None:
    rows = "".join(f"{'w' * 200}{n}\n" for n in range(7))
    found = prompts(
        f"a\n{rows}".encode(),
        "t.csv",
        chunk={"by": "row", "rows": 7},
        prompt="{{ chunk.start }}{% for one in rows %} {{ one.a[200] }}{% endfor %}{{ text }}",
        inference={"max_tokens": 100},
    )
    starts = [one.split("a:")[0] for one in found]
    assert len(found) > 1
    assert "".join(one.partition(" ")[2].replace(" ", "") for one in starts) == "0123456"


@pytest.mark.usefixtures("small_context")
@pytest.mark.parametrize("shape", [{"by": "document"}, {"by": "row"}])
def test_what_is_to_stay_whole_is_refused_with_numbers(shape: dict[str, str]) -> None:
    with pytest.raises(Refused, match=r"Record 0 has about [0-9]+ tokens .* takes 300 in all") as caught:
        prompts(b"a\n" + b"word " * 2000, "t.csv", chunk=shape, inference={"max_tokens": 100})
    assert caught.value.code == Code.PROMPT_TOO_LONG


@pytest.mark.usefixtures("small_context")
def test_a_prompt_whose_own_words_are_too_many_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        prompts(b"text " * 200, prompt="word " * 2000 + "{{ text }}", inference={"max_tokens": 100})
    assert caught.value.code == Code.PROMPT_TOO_LONG


def test_more_text_than_any_model_takes_is_not_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MAX_CHARACTERS", 1000)
    taken = 0

    def sections() -> Iterator[Section]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield Section("x" * 100)

    with pytest.raises(Refused, match="longer than 1,000 characters"):
        list(units.cut(Text(sections()), pipeline(chunk={"by": "document"})))
    assert taken == 11


@pytest.mark.parametrize(
    ("data", "name", "changes", "code"),
    [
        (b"", "a.txt", {}, Code.UPLOAD_EMPTY),
        (b" \n ", "a.txt", {}, Code.TEXT_MISSING),
        (b"a,b\n", "a.csv", {"chunk": {"by": "row"}}, Code.TEXT_MISSING),
        (b"a,b\n1,2\n1,2,3\n", "a.csv", {"chunk": {"by": "row"}}, Code.ROWS_INVALID),
        (b"text", "a.txt", {"chunk": {"by": "row"}}, Code.FORMAT_UNSUPPORTED),
        (b"text", "a.txt", {"chunk": {"by": "page"}}, Code.FORMAT_UNSUPPORTED),
        (b"x" * 4_000_000, "a.txt", {"chunk": {"by": "document"}}, Code.PROMPT_TOO_LONG),
        (b"a\n1\n", "a.csv", {"chunk": {"by": "row"}, "prompt": "{{ row.b }}"}, Code.PROMPT_FAILED),
        (b'{"a":"\\ud800"}', "a.jsonl", {"chunk": {"by": "row"}}, Code.ROWS_INVALID),
    ],
)
def test_what_cannot_become_records_is_refused(
    data: bytes, name: str, changes: dict[str, Any], code: Code
) -> None:
    with pytest.raises(Refused) as caught:
        prompts(data, name, **changes)
    assert caught.value.code == code


def test_an_archive_in_an_archive_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        units.cut(Archive(iter([])), pipeline())
    assert caught.value.code == Code.FORMAT_UNSUPPORTED


def test_too_many_records_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "MAX_RECORDS", 3)
    assert len(prompts(b"a\n1\n2\n3\n", "a.csv", chunk={"by": "row"})) == 3
    with pytest.raises(Refused) as caught:
        prompts(b"a\n1\n2\n3\n4\n", "a.csv", chunk={"by": "row"})
    assert caught.value.code == Code.TOO_MANY_RECORDS


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
    part = chunk.Part(DOCUMENT, [Record(5, b"{}", 1), Record(6, b"{}", 1)], 3)
    assert part.progress == chunk.Progress(3, 7)
    assert part.range == Range(DOCUMENT, "m", 5, 2, 1)
    assert part.lines() == (
        b'{"recordId":"mfzwizltmfzwizltm00000051","modelInput":{}}\n'
        b'{"recordId":"mfzwizltmfzwizltm00000061","modelInput":{}}\n'
    )


# parts


def rows(count: int) -> bytes:
    return b"a\n" + b"".join(f"{n}{'x' * (n % 7)}\n".encode() for n in range(count))


BY_ROW = pipeline(chunk={"by": "row"}, prompt="{{ row.a }}")


@given(st.integers(1, 40), st.integers(1, 7), st.integers(100, 2000))
def test_parts_hold_every_record_once_and_in_order(count: int, most: int, bytes_: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk, "SHARD_RECORDS", most)
        patch.setattr(chunk, "SHARD_BYTES", bytes_)
        found = list(parts(rows(count), "a.csv", spec=BY_ROW))
    assert [one.index for part in found for one in part.records] == list(range(count))
    for part in found:
        assert 1 <= len(part.records) <= most
        assert part.size <= bytes_ or len(part.records) == 1
        assert part.units == part.progress.records == part.range.first + part.range.count


def told(record: Record) -> tuple[int, bytes, int]:
    return record.index, record.model_input, record.input_tokens


@given(st.integers(1, 30), st.integers(1, 7), st.lists(st.integers(1, 9), min_size=1))
def test_runs_that_break_off_make_the_same_records(count: int, most: int, looks: list[int]) -> None:
    """The clock runs out after any number of looks at it, and each run makes at least one record."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk, "SHARD_RECORDS", most)
        whole = [told(one) for part in parts(rows(count), "a.csv", spec=BY_ROW) for one in part.records]
        made: list[tuple[int, bytes, int]] = []
        progress = chunk.Progress()
        for run in itertools.count():
            left = itertools.count(looks[run % len(looks)], -1)
            clock = partial(lambda left: next(left) <= 1, left)
            try:
                for part in parts(rows(count), "a.csv", spec=BY_ROW, done=progress, out_of_time=clock):
                    made += map(told, part.records)
                    progress = part.progress
            except OutOfTime:
                assert run <= count
            else:
                break
    assert made == whole


@pytest.mark.usefixtures("small_context")
def test_a_run_goes_on_after_a_unit_that_was_split() -> None:
    text = ("word " * 500 + "\n\n").encode() * 3
    spec = pipeline(chunk={"max_tokens": 600}, inference={"max_tokens": 100})
    whole = [one for part in parts(text, spec=spec) for one in part.records]
    made: list[Record] = []
    progress = chunk.Progress()
    runs = 0
    while True:
        runs += 1
        try:
            for part in parts(text, spec=spec, done=progress, out_of_time=lambda: True):
                made += part.records
                progress = part.progress
        except OutOfTime:
            continue
        break
    assert made == whole
    assert 1 < runs < len(whole)


@pytest.mark.usefixtures("small_context")
@given(
    st.lists(st.text('ab,\n"あ😀', max_size=20) | st.sampled_from(["x" * 150, "word " * 700]), min_size=1),
    st.sampled_from(
        ["{{ row.a }}", "{{ document.name }}: {{ text }}", "{{ chunk.index }}/{{ row.a|upper }}"]
    ),
    st.integers(1, 3),
)
def test_records_made_together_are_those_made_one_by_one(cells: list[str], prompt: str, each: int) -> None:
    spec = pipeline(prompt=prompt, chunk={"by": "row"}, inference={"max_tokens": 100})

    def made(together: int) -> list[tuple[int, bytes, int] | Code]:
        """The records, and why the last one is missing."""
        found: list[tuple[int, bytes, int] | Code] = []
        cut = units.cut(formats.Table(iter([{"a": one} for one in cells])), spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(units, "TOGETHER", together)
            patch.setattr(chunk, "SHARD_RECORDS", each)
            try:
                for part in chunk.parts(DOCUMENT, cut, spec, {"name": "b"}):
                    found += [(one.index, one.model_input, one.input_tokens) for one in part.records]
            except Refused as refusal:
                found.append(refusal.code)
        return found

    assert made(1_000) == made(0)


def test_a_run_that_only_reads_again_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "LOOK_EVERY", 5)
    monkeypatch.setattr(units, "TOGETHER", 0)
    done = chunk.Progress(10, 10)
    with pytest.raises(Refused, match="before record 10") as caught:
        list(parts(rows(20), "a.csv", spec=BY_ROW, done=done, out_of_time=lambda: True))
    assert caught.value.code == Code.FILE_TOO_COMPLEX


def test_the_pipeline_names_the_columns_of_a_file_that_does_not() -> None:
    spec = pipeline(chunk={"by": "row", "columns": ["id", "name"]}, prompt="{{ row.id }}={{ row.name }}")
    content = units.read(io.BytesIO(b"1,x\n2,y\n"), "b.csv", spec, size=8)
    (part,) = chunk.parts(DOCUMENT, units.cut(content, spec), spec, {})
    assert [said(one) for one in part.records] == ["1=x", "2=y"]

"""Gzip: what is inside decides."""

import gzip
from collections.abc import Iterator

import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import Text
from batchline.formats.compressed import Unpacked
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.formats.reading import Dripping, Repeating, refusal, rows, sections, text
from tests.unit.formats.test_tables import PARQUET


@pytest.mark.parametrize("name", ["会議.txt.gz", "a.gz", "a.txt"])
def test_compressed_text(name: str) -> None:
    assert text(gzip.compress("会議の記録\r\n".encode("cp932")), name) == "会議の記録\n"


def test_the_name_inside_decides_as_for_any_upload() -> None:
    assert rows(gzip.compress(b"a,b\n1,2\n"), "a.csv.gz") == [{"a": "1", "b": "2"}]
    assert rows(gzip.compress(b'{"a": 1}\n'), "a.jsonl.gz") == [{"a": 1}]
    assert sections(gzip.compress(b"# A\nx\n"), "a.md.GZ")[0].headings == ("A",)
    assert text(gzip.compress(b"<html><p>x"), "a.gz").strip() == "x"


def test_what_needs_another_order_is_copied_first() -> None:
    assert len(rows(gzip.compress(PARQUET), "a.parquet.gz")) == 3


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.lists(st.integers(1, 50), min_size=1))
def test_parts_after_each_other_are_one_file_however_they_arrive(
    parts: list[bytes], sizes: list[int]
) -> None:
    packed = b"".join(map(gzip.compress, parts)) + bytes(16)
    stream = Unpacked(Dripping(packed, sizes))  # type: ignore[arg-type]
    assert b"".join(iter(lambda: stream.read(7), b"")) == b"".join(parts)


@pytest.mark.parametrize("cut", [1, 8, 9, 20])
def test_a_file_that_breaks_off_is_damaged(cut: int) -> None:
    code, message = refusal(gzip.compress(b"a,b\n1,2\n" * 9)[:-cut], "a.csv.gz")
    assert code is Code.FILE_DAMAGED
    assert "breaks off" in message


def test_a_damaged_file_is_refused() -> None:
    data = bytearray(gzip.compress(b"some words " * 100))
    data[-6] ^= 1  # in the check sum
    assert refusal(bytes(data), "a.txt.gz")[0] is Code.FILE_DAMAGED
    assert refusal(gzip.compress(b"x") + b"trailing", "a.txt.gz")[0] is Code.FILE_DAMAGED


def test_twice_compressed_is_refused() -> None:
    code, message = refusal(gzip.compress(gzip.compress(b"x")), "a.txt.gz.gz")
    assert code is Code.FILE_TOO_COMPLEX
    assert "Unpack it once" in message


def test_nothing_compressed_is_refused() -> None:
    assert refusal(gzip.compress(b""), "a.txt.gz")[0] is Code.UPLOAD_EMPTY


@pytest.mark.parametrize("name", ["a.txt.gz", "a.csv.gz", "a.html.gz", "a.md.gz"])
def test_a_bomb_is_refused_after_bounded_work(name: str) -> None:
    zeros = gzip.compress(b"0" * 20_000_000)
    stream = Repeating(b"", zeros, 1_000)  # would unpack to 20 GB
    with pytest.raises(Refused) as caught:
        for _ in opened(stream, name, len(zeros) * 1_000):
            pass
    assert caught.value.code in {Code.FILE_TOO_COMPLEX, Code.ROWS_INVALID}


def opened(stream: Repeating, name: str, size: int) -> Iterator[object]:
    content = formats.read(stream, name, size=size, rows=False)  # type: ignore[arg-type]
    assert isinstance(content, Text)
    return content.sections

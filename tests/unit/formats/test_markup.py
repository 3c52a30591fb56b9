"""HTML: the whole page as a person reads it."""

import re

import pytest
from batchline.errors import Code
from batchline.formats import Section, pages
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.formats.reading import refusal, sections, text

ENGLISH = b"""<!DOCTYPE html><html><head><title>T</title><style>p{}</style></head><body>
<nav><a href="/">Home</a></nav>
<h1>Price <em>list</em></h1>
<p>All prices
are in <b>yen</b>.</p>
<h2>Fruit</h2>
<ul><li>fresh<ul><li>daily</li></ul></li><li>local</li></ul>
<ol><li>one</li><li>two</li></ol>
<table><tr><th>Name</th><th>Price</th></tr>
<tr><td>Apple | pear</td><td>3<br>each</td></tr></table>
<h2></h2>
<pre>code
   # no heading</pre>
<script>alert(1)</script></body></html>"""


def test_a_page_becomes_text_with_headings_lists_and_tables() -> None:
    assert sections(ENGLISH, "a.html") == [
        Section("# T\n\n", headings=("T",)),
        Section("Home\n\n", headings=("T",)),
        Section("# Price list\n\nAll prices are in yen.\n\n", headings=("T", "Price list")),
        Section(
            "## Fruit\n\n- fresh\n  - daily\n- local\n1. one\n2. two\n\n"
            "| Name | Price |\n| --- | --- |\n| Apple \\| pear | 3 each |\n\n"
            "code\n   # no heading\n\n",
            headings=("T", "Price list", "Fruit"),
        ),
    ]


@pytest.mark.parametrize("name", ["shift_jis", "euc-jp", "utf-8", "iso-2022-jp"])
def test_a_japanese_page_in_the_encoding_that_it_declares(name: str) -> None:
    page = (
        f'<html><head><meta charset="{name}"></head><body><h1>料金表</h1><p>価格は<b>円</b>です。</p>'
        "<table><tr><th>品名</th><th>価格</th></tr><tr><td>りんご</td><td>３円</td></tr></table>"
    )
    assert sections(page.encode(name), "a.html") == [
        Section(
            "# 料金表\n\n価格は円です。\n\n| 品名 | 価格 |\n| --- | --- |\n| りんご | ３円 |\n\n",
            headings=("料金表",),
        )
    ]


@pytest.mark.parametrize(
    ("title", "first", "path"),
    [
        ("Prices 2026", "Fruit", ("Prices 2026", "Fruit")),
        ("Fruit – The Shop", "Fruit", ("Fruit",)),
        ("FRUIT", "Fruit", ("Fruit",)),
        (" \n", "Fruit", ("Fruit",)),
        ("料金\n表", "果物", ("料金 表", "果物")),
    ],
)
def test_a_title_is_the_outermost_heading_unless_the_first_one_says_the_same(
    title: str, first: str, path: tuple[str, ...]
) -> None:
    page = f"<html><title>{title}</title><h2>{first}</h2><p>x</p>"
    found = sections(page.encode(), "a.html")
    assert found[-1].headings == path
    assert "".join(one.text for one in found).startswith(f"# {path[0]}\n\n## " if path[1:] else "## ")


def test_a_page_with_nothing_but_a_title_has_no_text() -> None:
    code, _ = refusal(b"<html><title>Prices</title><p>", "a.html")
    assert code == Code.TEXT_MISSING


def test_cells_that_span_rows_and_columns_keep_their_place() -> None:
    page = b"<html><table><tr><td rowspan=2>A<td>1<tr><td>2<tr><td colspan=2>wide</table>"
    assert text(page).strip() == "| A | 1 |\n| --- | --- |\n| A | 2 |\n| wide |  |"


@pytest.mark.parametrize(
    ("rows", "letters"),
    [
        ("<tr><td rowspan=65000 colspan=1000>x" * 3_000, 3_000),
        ("<tr><td colspan=200>x" + "<tr><td>x" * 10_000, 10_001),
        (("<tr>" + ("<td rowspan=999>" + "x" * 1_900) * 200 + "<tr>" * 199) * 4, 4 * 200 * 1_900),
    ],
    ids=["many columns", "one long row", "long cells"],
)
def test_cells_that_span_far_more_than_they_hold_are_not_repeated(rows: str, letters: int) -> None:
    found = text(f"<html><table>{rows}</table>".encode(), "a.html")
    assert found.count("x") == letters
    assert "|" not in found


def test_a_table_that_lays_out_a_page_is_no_table() -> None:
    inner = "<table><tr><td>a<td>b<tr><td>c<td>d</table>"
    page = f"<html><table><tr><td>menu<td>{inner}<tr><td>x<td>foot</table>"
    found = text(page.encode())
    assert "| a | b |\n| --- | --- |\n| c | d |" in found
    assert "| menu" not in found


def test_a_table_keeps_its_caption() -> None:
    page = b"<html><table><caption>Prices</caption><tr><td>a<td>b<tr><td>c<td>d</table>"
    assert text(page) == "Prices\n\n| a | b |\n| --- | --- |\n| c | d |\n\n"


def test_each_cell_of_a_table_that_lays_out_a_page_is_a_block() -> None:
    page = f"<html><table><tr><td>menu<td><p>one</p><p>{'two ' * 1_000}</p><tr><td>x<td>foot</table>"
    words = ("two " * 1_000).strip()
    assert text(page.encode()) == f"menu\n\none\n\n{words}\n\nx\n\nfoot\n\n"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<ul><li><p>a</p><p>b</p></li><li><div>c</div></li></ul>", "- a\n  b\n- c"),
        ("<ol start=3><li><p>a</p><ul><li><p>b</p></ul></ol>", "3. a\n   - b"),
        # What stands in a list beside its items, and a link that is never closed around them.
        ("<ul>a<p>b</p><li>c</li><ul><li>d</ul></ul>", "- a\n- b\n- c\n  - d"),
        ("<ul><a id=x><li>a</li><li>b</li></ul>", "- a\n- b"),
    ],
)
def test_lists(page: str, expected: str) -> None:
    assert text(f"<html>{page}".encode()).rstrip() == expected


def test_what_nobody_reads_is_left_out_and_the_reading_of_a_word_is_not() -> None:
    page = (
        "<html><p>漢字<ruby>東京<rp>（</rp><rt>とうきょう</rt><rp>）</rp></ruby><noscript>on</noscript></p>"
        "<form><label>Name</label><button>Send</button><select><option>a</select></form>"
        "<svg><text>b</text></svg><iframe>c</iframe><!-- d -->"
    )
    assert text(page.encode()) == "漢字東京（とうきょう）\n\nName\n\n"


@pytest.mark.parametrize("name", ["a.pdf", "a.csv", "report", "a.md"])
def test_a_page_with_another_name_is_a_page(name: str) -> None:
    assert text(b"<!-- saved -->\n<html><p>Not found", name).strip() == "Not found"


def test_source_code_that_begins_as_a_page_is_source_code() -> None:
    assert text(b"<html><?php echo 1 ?>", "a.php") == "<html><?php echo 1 ?>"


def test_a_page_without_text_is_refused() -> None:
    code, message = refusal(b"<html><script>x</script><img src=a>", "a.html")
    assert code is Code.TEXT_MISSING
    assert "Upload a file that has text" in message


TAGS = re.findall(
    "[a-z0-9]+",
    "a b span p div pre blockquote h1 h2 ul ol menu li dl dt dd table caption tbody tr td th ruby rp",
)


@given(st.lists(st.sampled_from([*TAGS, *(f"/{name}" for name in TAGS)]), min_size=1, max_size=30))
def test_no_word_of_a_page_is_lost(tags: list[str]) -> None:
    page = "".join(f"<{name}> word{number} " for number, name in enumerate(tags))
    found = re.findall("word[0-9]+", text(f"<html>{page}".encode()))
    assert sorted(found) == sorted(f"word{number}" for number in range(len(tags)))


def test_an_empty_heading_is_none() -> None:
    page = "<html><title>T</title><h1>&nbsp;</h1><p>x</p><h2><img></h2>"
    assert {one.headings for one in sections(page.encode(), "a.html")} == {("T",)}


@pytest.mark.parametrize(
    "part",
    [
        "<div>",
        "<table><tr><td>",
        "<ul><li>",
        "<b><p>",
        "<div><h2>x",
        "<!--",
        "<script>",
        "<h1>x",
        "</div>",
        "<a>x",
        "<ul><b>",
        "<table><tr><td>x</table>",
        "<ruby>x<rp>(",
    ],
)
def test_hostile_pages_end(part: str) -> None:
    sections(b"<html><p>seen</p>" + part.encode() * 30_000, "a.html")


def test_pieces_of_a_page_hold_all_of_it_and_cut_no_table() -> None:
    table = "<table>" + "<tr><td>a<td>b" * 20_000 + "</table>"
    page = "<p>x</p>" * 50_000 + table + "<div>y</div>" * 50_000
    found = list(pages.pieces([page[i : i + 1000] for i in range(0, len(page), 1000)]))
    assert "".join(found) == page
    assert sum(table in one for one in found) == 1
    assert max(map(len, found)) < pages.PIECE + len(table) + 1000


def test_a_table_of_many_megabytes_is_cut_and_begun_again() -> None:
    row = "<tr><td>a<td>b</tr>"
    page = "<html><table>" + row * 400_000
    found = list(pages.pieces([page]))
    assert len(found) == 4
    assert "".join(found).replace("<html>", "").replace("<table>", "") == row * 400_000
    assert all(one.startswith("<table><tr>") for one in found[1:])


def test_headings_go_on_behind_a_cut() -> None:
    page = "<html><h1>One</h1>" + "<p>some words</p>" * 30_000
    found = sections(page.encode(), "a.html")
    assert len(found) > 2
    assert {one.headings for one in found} == {("One",)}
    assert "".join(one.text for one in found).count("some words\n\n") == 30_000

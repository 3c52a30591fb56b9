"""Markdown: the text unchanged, cut where headings begin."""

from batchline.formats import Section, markdown
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.formats.reading import sections, text

ENGLISH = """\
Before any heading.

# Contract

Between A and B.

## 1. Price ##
| Item | Price |
| --- | --- |
| Apple | 3 |

```sh
# no heading: a comment
~~~
```
After the fence.

Annex
-----
- a list
---
# *Last*
"""


def test_headings_are_metadata_and_the_text_stays_as_it_is() -> None:
    assert sections(ENGLISH.encode(), "a.md") == [
        Section("Before any heading.\n\n"),
        Section("# Contract\n\nBetween A and B.\n\n", headings=("Contract",)),
        Section(
            "## 1. Price ##\n| Item | Price |\n| --- | --- |\n| Apple | 3 |\n\n"
            "```sh\n# no heading: a comment\n~~~\n```\nAfter the fence.\n\n",
            headings=("Contract", "1. Price"),
        ),
        Section("Annex\n-----\n- a list\n---\n", headings=("Contract", "Annex")),
        Section("# *Last*\n", headings=("*Last*",)),
    ]


def test_japanese_headings() -> None:
    page = "# 契約書\n\n甲と乙は次のとおり契約する。\n\n## 第1条（目的）\n\n本契約は売買を定める。\n"
    assert sections(page.encode("cp932"), "契約.md") == [
        Section("# 契約書\n\n甲と乙は次のとおり契約する。\n\n", headings=("契約書",)),
        Section("## 第1条（目的）\n\n本契約は売買を定める。\n", headings=("契約書", "第1条（目的）")),
    ]


def test_a_heading_ends_those_of_its_level_and_below() -> None:
    found = sections(b"# A\n### C\n## B\n# D\n", "a.md")
    assert [one.headings for one in found] == [("A",), ("A", "C"), ("A", "B"), ("D",)]


def test_what_only_looks_like_a_heading_is_none() -> None:
    page = "#hashtag\n\n    # code\n\n####### seven\n\na line\nof a paragraph\n---\n\n- item\n---\n"
    assert {one.headings for one in sections(page.encode(), "a.md")} == {()}


def test_a_fence_that_is_never_closed_holds_the_rest() -> None:
    assert {one.headings for one in sections(b"```\n# a\n" + b"# b\n" * 1000, "a.md")} == {()}


LINES = st.sampled_from(
    ["# A", "## B", "Title", "===", "---", "", "", "```", "~~~~", "text", "- item", "| a |", "  # C #"]
)


@given(st.lists(LINES, max_size=30), st.lists(st.integers(1, 30), min_size=1))
def test_any_cut_of_the_text_gives_the_same_headings(lines: list[str], sizes: list[int]) -> None:
    page = "\n".join(lines)
    blocks, start, turn = [], 0, 0
    while start < len(page):
        blocks.append(page[start : start + sizes[turn % len(sizes)]])
        start += len(blocks[-1])
        turn += 1
    cut = [(sign, one.headings) for one in markdown.sections(blocks) for sign in one.text]
    assert cut == [(sign, one.headings) for one in markdown.sections([page]) for sign in one.text]
    assert "".join(sign for sign, _ in cut) == page


def test_underlines_without_end_cost_no_more_than_other_lines() -> None:
    page = "Title\n" + "---\n" * 200_000
    assert text(page.encode(), "a.md") == page

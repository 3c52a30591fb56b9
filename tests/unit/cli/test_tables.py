import io
from decimal import Decimal

import pytest
from batchline.cli import tables
from batchline.cli.tables import Column, Layout
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text


def render(width: int, columns: tuple[Column, ...], *rows: tuple[str, ...], **more: object) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(tables.table(columns, rows, width=width, **more))  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short.txt", 9, "short.txt"),
        ("a-long-name.txt", 10, "a-lon….txt"),
        ("a-long-name.txt", 9, "a-lo….txt"),
        # Each of these takes two cells: 旅費規程 is 8 wide, .md 3.
        ("旅費規程.md", 11, "旅費規程.md"),
        ("旅費規程.md", 10, "旅費….md"),
        ("旅費規程.md", 8, "旅費….md"),
        ("旅費規程.md", 7, "旅….md"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_a_name_is_cut_in_the_middle_and_never_wider_than_it_may_be(
    text: str, width: int, shown: str
) -> None:
    assert tables.shorten(text, width) == shown
    assert cell_len(shown) <= width


COLUMNS = (Column("id"), Column("name", least=5), Column("a", drop=2), Column("b", drop=1))


@pytest.mark.parametrize(
    ("width", "layout"),
    [
        # natural: 4 + 12 + 3 + 3 and three gaps of 2
        (28, Layout((0, 1, 2, 3), (4, 12, 3, 3), 2)),
        (40, Layout((0, 1, 2, 3), (4, 12, 3, 3), 2)),
        (25, Layout((0, 1, 2, 3), (4, 9, 3, 3), 2)),
        (21, Layout((0, 1, 2, 3), (4, 5, 3, 3), 2)),
        (20, Layout((0, 1, 2, 3), (4, 7, 3, 3), 1)),
        (17, Layout((0, 1, 2), (4, 6, 3), 2)),
        (14, Layout((0, 1, 2), (4, 5, 3), 1)),
        (13, Layout((0, 1), (4, 7), 2)),
        # narrower than it can be made: shown as narrow as it gets
        (3, Layout((0, 1), (4, 5), 1)),
    ],
)
def test_gaps_close_and_columns_go_before_the_name_falls_below_its_least(width: int, layout: Layout) -> None:
    assert tables.fit(COLUMNS, (4, 12, 3, 3), width) == layout


def test_two_long_columns_share_the_room() -> None:
    columns = (Column("a", least=4), Column("b", least=4))
    assert tables.fit(columns, (30, 10), 32).widths == (20, 10)
    assert tables.fit(columns, (30, 30), 22).widths == (10, 10)


def test_wide_characters_keep_the_columns_in_line() -> None:
    columns = (Column("name", least=8), Column("cost\nUSD", "right"))
    rows = (("議事録.md", "1.5"), ("a.txt", "10.25"))
    assert render(40, columns, *rows, footer=("total", "11.75")) == [
        "            cost",
        "name         USD",
        "議事録.md    1.5",
        "a.txt      10.25",
        "total      11.75",
    ]


def test_a_text_under_a_row_is_indented_and_wraps() -> None:
    columns = (Column("job"), Column("n", "right"))
    lines = render(18, columns, ("j1", "7"), under=[Text("because it has waited")])
    assert lines == ["job  n", "j1   7", "     because it", "     has waited"]


def test_the_head_and_the_sums_stand_out_on_a_terminal_alone() -> None:
    laid = tables.table((Column("a"),), [("x",)], width=20, footer=("y",))
    terminal = Console(file=io.StringIO(), width=20, force_terminal=True, color_system="standard")
    terminal.print(laid)
    assert isinstance(terminal.file, io.StringIO)
    head, row, total = terminal.file.getvalue().splitlines()
    assert "\x1b[1m" in head
    assert "\x1b" not in row
    assert "\x1b[1m" in total


def test_what_steers_a_terminal_is_replaced() -> None:
    assert tables.printable("a\x1b[31mred\x07\u202egnp.exe\nb\tc") == "a�[31mred��gnp.exe\nb\tc"


@pytest.mark.parametrize(
    ("amounts", "places"),
    [([], 2), (["1"], 2), (["0.1", "100"], 2), (["0.00004728", "3.5"], 8), (["0.10"], 2)],
)
def test_places_are_as_many_as_the_most_exact_amount_needs(amounts: list[str], places: int) -> None:
    assert tables.places(map(Decimal, amounts)) == places


def test_money_is_exact_and_nothing_is_0() -> None:
    assert tables.money(Decimal("1234.5"), 4) == "1,234.5000"
    assert tables.money(Decimal("0.00004728"), 8) == "0.00004728"
    assert tables.money(Decimal("0E-8"), 8) == "0"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (90000, "1d")],
)
def test_a_span_is_said_in_its_largest_unit(seconds: float, said: str) -> None:
    assert tables.age(seconds) == said

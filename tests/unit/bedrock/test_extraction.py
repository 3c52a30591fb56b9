"""The default model's reading: sentences, task and document, ranking, facts."""

from datetime import date

import pytest

from local.bedrock import facts, ranking, sentences, task
from local.bedrock.prompts import Prompt, Turn


def prompt(text: str, system: str = "") -> Prompt:
    return Prompt(turns=(Turn("user", text),), max_tokens=100, system=system)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Version 1.5 is out. See a.example.com now.", ["Version 1.5 is out.", "See a.example.com now."]),
        ("Mr. Smith met Dr. Jones. They talked.", ["Mr. Smith met Dr. Jones.", "They talked."]),
        ("The line goes\non here. Next.", ["The line goes on here.", "Next."]),
        ("Heading\n\nBody text.", ["Heading", "Body text."]),
        ("- first\n- second", ["first", "second"]),
        (
            "雨が降る。風も強い！「行くな。」と言った。",
            ["雨が降る。", "風も強い！", "「行くな。」", "と言った。"],
        ),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences.split(text) == expected


def test_words_leave_out_what_carries_no_meaning() -> None:
    assert sentences.words("The payments of the companies") == ["payment", "company"]
    assert sentences.words("省エネ基準") == ["省エ", "エネ", "ネ基", "基準"]


DOCUMENT = "The harbour opened in 1868. Ferries leave daily."


@pytest.mark.parametrize(
    "text",
    [
        f"Summarize the following text:\n\n{DOCUMENT}",
        f"Summarize this in two sentences.\n\n{DOCUMENT}",
        f"Text:\n{DOCUMENT}\n\nReturn only the summary.",
        f"Summarize this: {DOCUMENT}",
        f"Summarize the document.\n<document>\n{DOCUMENT}\n</document>\nBe brief.",
        f'Summarize:\n"""{DOCUMENT}"""',
        f"次の文書を要約してください。\n\n{DOCUMENT}",
        f'Answer as JSON like this schema:\n{{"type": "object", "properties": {{}}}}\n\n{DOCUMENT}',
        DOCUMENT,
    ],
)
def test_the_document_is_told_from_the_instructions(text: str) -> None:
    assert task.read(prompt(text)).document == DOCUMENT


@pytest.mark.parametrize(
    ("instruction", "count"),
    [
        ("Summarize in two sentences:", 2),
        ("Summarize in 4 sentences:", 4),
        ("Give me a one-sentence summary:", 1),
        ("Summarize:", 3),
        ("2文で要約してください。", 2),
        ("三文で要約してください。", 3),
        ("When did the harbour open?", 1),
    ],
)
def test_as_many_sentences_as_asked(instruction: str, count: int) -> None:
    assert task.read(prompt(f"{instruction}\n\n{DOCUMENT}")).sentences == count


def test_a_schema_in_the_prompt_or_the_system_text_is_found() -> None:
    schema = '{"type": "object", "properties": {"year": {"type": "integer"}}}'
    for asked in (
        prompt(f"Fill this schema: {schema}\n\n{DOCUMENT}"),
        prompt(DOCUMENT, system=f"Answer with {schema}"),
    ):
        found = task.read(asked)
        assert found.schema == {"type": "object", "properties": {"year": {"type": "integer"}}}
        assert found.document == DOCUMENT
    assert task.read(prompt('Data: {"a": 1} and more')).schema is None


def test_a_summary_holds_the_sentences_about_what_the_text_is_about() -> None:
    text = (
        "The new tram line joins the harbour and the airport. It was sunny. "
        "The tram line cost 200 million euros. Cake was eaten. "
        "The harbour tram runs every ten minutes."
    )
    chosen = ranking.summarize(text, count=3)
    assert "sunny" not in chosen
    assert "Cake" not in chosen
    assert chosen.index("joins") < chosen.index("cost") < chosen.index("runs")


def test_a_question_is_answered_by_its_sentence() -> None:
    text = "The harbour opened in 1868. The terminal was rebuilt in 1995. Ferries leave daily."
    assert ranking.summarize(text, count=1, question="When was the terminal rebuilt?") == (
        "The terminal was rebuilt in 1995."
    )


def test_a_repeated_sentence_is_told_once() -> None:
    assert ranking.summarize("It rains. It rains. It rains.", count=3) == "It rains."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 2025-03-12", date(2025, 3, 12)),
        ("on 12 March 2025", date(2025, 3, 12)),
        ("on the 1st day of April 2025", date(2025, 4, 1)),
        ("March 3rd, 2025", date(2025, 3, 3)),
        ("Sept. 9, 2024", date(2024, 9, 9)),
        ("2025年6月1日に", date(2025, 6, 1)),
        ("令和7年6月1日", date(2025, 6, 1)),
        ("令和元年5月1日", date(2019, 5, 1)),
        ("2025/07/08", date(2025, 7, 8)),
    ],
)
def test_dates(text: str, expected: date) -> None:
    assert [day for _, day in facts.dates(text)] == [expected]


def test_a_day_that_does_not_exist_is_no_date() -> None:
    assert facts.dates("2025-02-31 and 31 April 2025") == []


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("$1,234.50", 1234.5, "USD"),
        ("USD 900", 900, "USD"),
        ("€2 million", 2_000_000, "EUR"),
        ("500 euros", 500, "EUR"),
        ("3.5 million dollars", 3_500_000, "USD"),
        ("月額500,000円", 500_000, "JPY"),
        ("総額120億円", 12_000_000_000, "JPY"),
        ("18万円", 180_000, "JPY"),
    ],
)
def test_money(text: str, value: float, currency: str) -> None:
    [found] = facts.money(text)
    assert (found.value, found.currency) == (value, currency)


def test_names_and_addresses() -> None:
    text = (
        "Acme Trading Ltd and 株式会社青空商事 met. Maria Lopez wrote to info@acme.example "
        "from +1 555-010-7788, see https://acme.example/a."
    )
    assert facts.organisations(text) == ["Acme Trading Ltd", "株式会社青空商事"]
    assert facts.persons(text) == ["Maria Lopez"]
    assert facts.emails(text) == ["info@acme.example"]
    assert facts.phones(text) == ["+1 555-010-7788"]
    assert facts.urls(text) == ["https://acme.example/a"]


def test_labels_and_roles() -> None:
    assert facts.labelled("Bill to: Northwind\n合計：12円") == [("Bill to", "Northwind"), ("合計", "12円")]
    assert facts.defined('Maria Lopez (the "Tenant") and 青空商事（以下「甲」という）') == [
        ("Tenant", "Maria Lopez"),
        ("甲", "青空商事"),
    ]


@pytest.mark.parametrize(
    ("sentence", "who"),
    [
        ("The Supplier shall deliver.", "The Supplier"),
        ("3.1 Each tenant must pay.", "Each tenant"),
        ("乙は報告書を提出しなければならない。", "乙"),
        ("It rains.", None),
    ],
)
def test_who_is_bound(sentence: str, who: str | None) -> None:
    assert facts.bound_party(sentence) == who

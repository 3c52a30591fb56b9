"""Word documents: made by python-docx or by hand, with the Markdown that a person would write down."""

import io
import random
import zipfile
from typing import Any

import docx
import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import Section, word
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"


def saved(document: Any) -> bytes:
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


def by_hand(body: str, *, namespace: str = W, head: str = "", **parts: str) -> bytes:
    """A document of nothing but what is given: parts by the type of their relation."""
    data = io.BytesIO()
    relations = "".join(
        f'<Relationship Id="r{kind}" Type="http://x/{kind}" Target="{kind}.xml"/>' for kind in parts
    )
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(
            "_rels/.rels",
            '<Relationships><Relationship Id="r" Type="http://x/officeDocument" Target="word/document.xml"/>'
            "</Relationships>",
        )
        package.writestr(
            "word/document.xml",
            f'{head}<w:document xmlns:w="{namespace}"><w:body>{body}</w:body></w:document>',
        )
        package.writestr("word/_rels/document.xml.rels", f"<Relationships>{relations}</Relationships>")
        for kind, xml in parts.items():
            package.writestr(f"word/{kind}.xml", f'<w:{kind} xmlns:w="{namespace}">{xml}</w:{kind}>')
    return data.getvalue()


def p(text: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def sections(data: bytes) -> list[Section]:
    return list(word.parse(io.BytesIO(data)))


def text(data: bytes) -> str:
    return "".join(section.text for section in sections(data))


def refusal(data: bytes, name: str = "a.docx") -> Refused:
    with pytest.raises(Refused) as caught:
        upload(data, name)
    return caught.value


def upload(data: bytes, name: str = "a.docx") -> str:
    content = formats.read(io.BytesIO(data), name, size=len(data), rows=False)
    assert isinstance(content, formats.Text)
    return "".join(section.text for section in content.sections)


def test_headings_paragraphs_lists_and_tables_in_their_order() -> None:
    document = docx.Document()
    document.add_heading("Contract", level=0)
    document.add_heading("Parties", level=1)
    document.add_paragraph("Between A and B.")
    document.add_heading("Duties", level=2)
    document.add_paragraph("pay", style="List Bullet")
    document.add_paragraph("deliver", style="List Bullet")
    document.add_paragraph("first", style="List Number")
    document.add_paragraph("second", style="List Number")
    table = document.add_table(rows=2, cols=2)
    for cell, words in zip(table._cells, ["Item", "Price", "pen | ink", "3\nUSD"], strict=True):
        cell.text = words
    document.add_heading("End", level=1)
    document.add_paragraph("Signed.")

    found = sections(saved(document))

    assert "".join(section.text for section in found) == (
        "# Contract\n\n# Parties\n\nBetween A and B.\n\n"
        "## Duties\n\n- pay\n- deliver\n1. first\n2. second\n\n"
        "| Item | Price |\n| --- | --- |\n| pen \\| ink | 3 USD |\n\n# End\n\nSigned.\n\n"
    )
    assert [(section.text.split("\n")[0], section.headings) for section in found] == [
        ("# Contract", ("Contract",)),
        ("# Parties", ("Contract", "Parties")),
        ("## Duties", ("Contract", "Parties", "Duties")),
        ("# End", ("Contract", "End")),
    ]


def test_japanese() -> None:
    document = docx.Document()
    document.add_heading("業務委託契約書", level=1)
    document.add_paragraph("甲は、乙に対し「本業務」を委託する。")
    table = document.add_table(rows=2, cols=2)
    for cell, words in zip(table._cells, ["項目", "金額", "開発", "１２３万円"], strict=True):
        cell.text = words

    assert text(saved(document)) == (
        "# 業務委託契約書\n\n甲は、乙に対し「本業務」を委託する。\n\n"
        "| 項目 | 金額 |\n| --- | --- |\n| 開発 | １２３万円 |\n\n"
    )


def test_numbers_that_word_draws_are_written() -> None:
    numbering = (
        '<w:abstractNum w:abstractNumId="7">'
        '<w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="decimal"/><w:lvlText w:val="第%1条"/></w:lvl>'
        '<w:lvl w:ilvl="1"><w:numFmt w:val="lowerRoman"/><w:lvlText w:val="(%1-%2)"/></w:lvl>'
        '</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>'
    )
    first, second = (f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr>' for level in (0, 1))
    body = (
        p("目的", first) + p("甲", second) + p("乙", second) + p("期間", first) + p("丙", second) + p("以上")
    )

    assert text(by_hand(body, numbering=numbering)) == (
        "第3条 目的\n  (3-i) 甲\n  (3-ii) 乙\n第4条 期間\n  (4-i) 丙\n\n以上\n\n"
    )


def test_headings_by_outline_and_by_inherited_style() -> None:
    styles = (
        '<w:style w:styleId="a"><w:name w:val="heading 2"/></w:style>'
        '<w:style w:styleId="b"><w:name w:val="Mine"/><w:basedOn w:val="a"/></w:style>'
        '<w:style w:styleId="c"><w:name w:val="Loop"/><w:basedOn w:val="c"/></w:style>'
    )
    body = (
        p("One", '<w:outlineLvl w:val="0"/>')
        + p("Two", '<w:pStyle w:val="b"/>')
        + p("not", '<w:pStyle w:val="c"/><w:outlineLvl w:val="9"/>')
    )

    assert text(by_hand(body, styles=styles)) == "# One\n\n## Two\n\nnot\n\n"


def test_what_was_deleted_moved_or_drawn_twice_is_read_once() -> None:
    run = "<w:r><w:t>{}</w:t></w:r>"
    box = "<w:txbxContent>" + p("boxed") + "</w:txbxContent>"
    body = (
        "<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr>" + run.format("kept") + "<w:r><w:tab/></w:r>"
        "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        f"<w:moveFrom>{run.format('moved')}</w:moveFrom><w:ins>{run.format('new')}</w:ins></w:p>"
        f"<w:p><w:r><w:Choice>{box}</w:Choice><w:Fallback>{box}</w:Fallback></w:r>{run.format('anchor')}</w:p>"
        f"<w:p><w:r><w:ruby><w:rt>{run.format('かんじ')}</w:rt><w:rubyBase>{run.format('漢字')}</w:rubyBase>"
        "</w:ruby></w:r></w:p>"
    )

    assert text(by_hand(body)) == "kept\tnew\n\nboxed\n\nanchor\n\n漢字\n\n"


def test_notes_follow_the_body() -> None:
    body = '<w:p><w:r><w:t>Claim</w:t><w:footnoteReference w:id="2"/></w:r></w:p>'
    notes = (
        f'<w:footnote w:id="0" w:type="separator">{p("---")}</w:footnote>'
        f'<w:footnote w:id="2">{p("Source.")}</w:footnote>'
    )

    assert text(by_hand(body, footnotes=notes)) == "Claim[^2]\n\n[^2]: Source.\n\n"


def test_merged_cells_and_tables_in_tables() -> None:
    inner = f"<w:tbl><w:tr><w:tc>{p('in')}</w:tc><w:tc>{p('ner')}</w:tc></w:tr></w:tbl>"
    body = (
        "<w:tbl>"
        f'<w:tr><w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>{p("wide")}</w:tc></w:tr>'
        f"<w:tr><w:tc>{p('a')}{p('b')}</w:tc><w:tc>{inner}</w:tc></w:tr>"
        f"<w:tr><w:tc><w:tcPr><w:vMerge/></w:tcPr>{p('hidden')}</w:tc><w:tc>{p('c')}</w:tc></w:tr>"
        f"</w:tbl>{p('after')}"
    )

    assert text(by_hand(body)) == "| wide |  |\n| --- | --- |\n| a b | in ner |\n|  | c |\n\nafter\n\n"


def test_the_strict_edition_of_the_standard() -> None:
    assert text(by_hand(p("strict"), namespace=STRICT)) == "strict\n\n"


def test_an_equation_does_not_vanish() -> None:
    document = docx.Document()
    math = f"<m:oMath {nsdecls('m')}><m:r><m:t>E=mc²</m:t></m:r></m:oMath>"
    document.add_paragraph("Mass: ")._p.append(parse_xml(math))
    assert text(saved(document)) == "Mass: E=mc²\n\n"


def test_entities_are_not_expanded() -> None:
    layers = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 100}">' for before, name in zip("abcdefg", "bcdefgh", strict=True)
    )
    bomb = by_hand(p("&h;"), head=f"<!DOCTYPE w:document [{layers}]>")
    refused = refusal(bomb)
    assert refused.code in {Code.TEXT_MISSING, Code.FILE_DAMAGED}


def test_a_file_of_the_machine_is_not_read() -> None:
    leak = by_hand(p("&x;"), head='<!DOCTYPE w:document [<!ENTITY x SYSTEM "file:///etc/passwd">]>')
    assert refusal(leak).code in {Code.TEXT_MISSING, Code.FILE_DAMAGED}


@pytest.mark.parametrize("limit", ["SMALL_BYTES", "SMALL_UNPACKED_BYTES"])
def test_a_large_document_is_read_in_a_child(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word, limit, 300)
    monkeypatch.setattr(word, "parse", None)  # in this process; a child has its own
    assert upload(by_hand(p("価格") + p("x" * 300))) == f"価格\n\n{'x' * 300}\n\n"


def test_what_is_damaged_anywhere_is_read_or_refused() -> None:
    pick = random.Random(1)
    document = docx.Document()
    document.add_paragraph("one", style="List Number")
    document.add_table(rows=2, cols=2)
    whole = zipfile.ZipFile(io.BytesIO(saved(document)))
    parts = {name: whole.read(name) for name in whole.namelist() if name.endswith((".xml", ".rels"))}
    ended = set()
    for _ in range(300):
        damaged = dict(parts)
        name = pick.choice(["_rels/.rels", "word/document.xml", "word/numbering.xml"])
        data = bytearray(parts[name])
        for _ in range(pick.randint(1, 5)):
            data[pick.randrange(len(data))] = pick.randrange(256)
        damaged[name] = bytes(data)
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            for each, content in damaged.items():
                archive.writestr(each, content)
        try:
            ended.add("one" in text(package.getvalue()))
        except Refused as refused:
            ended.add(refused.code)
    assert {True, Code.FILE_DAMAGED} <= ended


def test_an_encoding_that_nobody_knows_is_damage() -> None:
    assert refusal(by_hand(p("x"), head='<?xml version="1.0" encoding="UTFt8"?>')).code is Code.FILE_DAMAGED


def test_names_without_end_are_refused() -> None:
    assert "10,000 kinds" in refusal(by_hand("".join(f"<w:a{n}/>" for n in range(10_001)))).message


def test_numbers_without_measure_stay_short() -> None:
    numbering = (
        '<w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:start w:val="9999999"/>'
        f'<w:numFmt w:val="lowerLetter"/><w:lvlText w:val="{"%1" * 10_000}"/></w:lvl></w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num>'
    )
    found = text(by_hand(p("x", '<w:numPr><w:numId w:val="1"/></w:numPr>'), numbering=numbering))
    assert found == "9999999" * 50 + " x\n\n"


def test_styles_in_a_ring_and_levels_without_end() -> None:
    styles = (
        '<w:style w:styleId="a"><w:name w:val="A"/><w:basedOn w:val="b"/></w:style>'
        '<w:style w:styleId="b"><w:name w:val="B"/><w:basedOn w:val="a"/></w:style>'
        '<w:style w:styleId="c"><w:name w:val="heading 9999999"/></w:style>'
    )
    body = p("plain", '<w:pStyle w:val="a"/>') + p("deep", '<w:pStyle w:val="c"/>') * 2
    assert sections(by_hand(body, styles=styles))[-1] == Section("###### deep\n\n", headings=("deep",))


def test_nesting_without_end_is_refused() -> None:
    refused = refusal(by_hand("<w:sdt>" * 100_000 + "</w:sdt>" * 100_000))
    assert refused.code is Code.FILE_DAMAGED
    assert "document.xml" in refused.message


def test_a_bomb_is_refused_by_its_claim() -> None:
    refused = refusal(by_hand(p(" " * 30_000_000)))
    assert refused.code is Code.FILE_TOO_COMPLEX
    assert "packs 30,0" in refused.message


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_document_is_refused(share: float) -> None:
    data = saved(docx.Document())
    refused = refusal(data[: int(len(data) * share)])
    assert refused.code is Code.FILE_DAMAGED
    assert "its end is missing" in refused.message


def test_a_damaged_part_is_named() -> None:
    data = by_hand(p("x" * 1000)).replace(b"word/document.xml", b"word/documENt.xml", 1)
    assert refusal(data).code is Code.FILE_DAMAGED
    assert "is not XML" in refusal(by_hand("<w:p>")).message


def test_a_zip_named_docx_is_told_what_it_is() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused = refusal(data.getvalue())
    assert refused.code is Code.FORMAT_UNSUPPORTED
    assert "name the archive .zip" in refused.message

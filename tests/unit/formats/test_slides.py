"""Presentations made by python-pptx, with the text that a person would write down."""

import io
from typing import Any

import pptx
import pytest
from batchline import formats
from batchline.errors import Code, Refused
from batchline.formats import Section, slides
from pptx.util import Inches


def saved(presentation: Any) -> bytes:
    data = io.BytesIO()
    presentation.save(data)
    return data.getvalue()


def sections(data: bytes) -> list[Section]:
    return list(slides.parse(io.BytesIO(data)))


def test_slides_in_the_order_of_the_show_with_tables_and_notes() -> None:
    show = pptx.Presentation()
    title = show.slides.add_slide(show.slide_layouts[0])
    title.shapes.title.text = "Plan\n2027"
    title.placeholders[1].text = "for the board"
    points = show.slides.add_slide(show.slide_layouts[1])
    points.shapes.title.text = "Goals"
    frame = points.placeholders[1].text_frame
    frame.text = "grow"
    deeper = frame.add_paragraph()
    deeper.text, deeper.level = "in Asia", 1
    points.notes_slide.notes_text_frame.text = "Do not hurry."
    numbers = show.slides.add_slide(show.slide_layouts[6])
    table = numbers.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for cell, words in zip(table.iter_cells(), ["Year", "USD", "2027", "1|2"], strict=True):
        cell.text = words
    group = numbers.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(3), Inches(2), Inches(1)).text_frame.text = "in a group"
    show.slides._sldIdLst.insert(0, show.slides._sldIdLst[2])  # the table comes first in the show

    assert sections(saved(show)) == [
        Section("| Year | USD |\n| --- | --- |\n| 2027 | 1\\|2 |\n\nin a group\n\n", 1),
        Section("# Plan 2027\n\nfor the board\n\n", 2, ("Plan 2027",)),
        Section("# Goals\n\n- grow\n  - in Asia\n\nNotes: Do not hurry.\n\n", 3, ("Goals",)),
    ]


def test_japanese() -> None:
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "事業計画"
    slide.placeholders[1].text = "売上を「倍」にする。\n海外へ"

    assert sections(saved(show)) == [
        Section("# 事業計画\n\n- 売上を「倍」にする。\n- 海外へ\n\n", 1, ("事業計画",))
    ]


def test_an_upload_without_text_is_refused() -> None:
    show = pptx.Presentation()
    show.slides.add_slide(show.slide_layouts[6])
    data = saved(show)
    content = formats.read(io.BytesIO(data), "a.pptx", size=len(data), rows=False)
    assert isinstance(content, formats.Text)
    with pytest.raises(Refused) as caught:
        list(content.sections)
    assert caught.value.code is Code.TEXT_MISSING


def test_a_truncated_presentation_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        sections(saved(pptx.Presentation())[:-500])
    assert caught.value.code is Code.FILE_DAMAGED
    assert "PowerPoint presentation is damaged" in caught.value.message

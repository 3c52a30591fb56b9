"""Make the samples that are no plain text: `.venv/bin/python samples/make.py`. The same bytes every time."""

import gzip
import io
import json
import re
import zipfile
from email.message import EmailMessage
from pathlib import Path

import docx
import openpyxl
import pptx
from arro3.core import Array, DataType, Table
from arro3.io import write_parquet
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer

INBOX = Path(__file__).parent / "inbox"
WHEN = (2026, 10, 1, 9, 0, 0)


def write(path: str, data: bytes) -> None:
    target = INBOX / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def fixed(data: bytes) -> bytes:
    """Write an Office file anew without the time at which it was made."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            body = old.read(name)
            if name == "docProps/core.xml":
                body = re.sub(rb">\d{4}-\d\d-\d\dT[^<]*<", b">2026-10-01T09:00:00Z<", body)
            new.writestr(zipfile.ZipInfo(name, WHEN), body, zipfile.ZIP_DEFLATED)
    return made.getvalue()


ENERGY = [
    (
        "Annual energy report 2025/26",
        [
            "Halden Ceramics AG used 41.2 GWh of energy in the year to 30 June 2026, 6 per cent less than in the "
            "year before. Natural gas for the two tunnel kilns made up 29.8 GWh of it.",
            "The board has decided on 17 September 2026 to replace kiln 1 by an electric one. The order goes to "
            "Vestergaard Ovens for 3,450,000 EUR; the kiln is to be delivered by 1 May 2027.",
        ],
    ),
    (
        "What was done",
        [
            "Heat from the exhaust of kiln 2 has warmed the drying rooms since January. It saves 1.9 GWh a year. "
            "The work cost 212,000 EUR and was finished eleven days late.",
            "Ingrid Solheim, who is responsible for energy, reports that the compressed-air network lost 23 per "
            "cent of its air in March. After the repair of forty couplings it loses 9 per cent.",
        ],
    ),
    (
        "What is open",
        [
            "The permit for the second transformer is still missing. The district office has promised an answer "
            "by 15 November 2026. Without it the electric kiln cannot be connected.",
        ],
    ),
]
SAFETY = [
    (
        "安全衛生委員会 報告書",
        [
            "2026年9月の労働災害は2件でした。1件目は9月4日、第2倉庫でのフォークリフトの接触事故です。けが人はいませんでした。",
            "2件目は9月18日、包装ラインでの指の切り傷です。作業者は3日間休業しました。",
        ],
    ),
    (
        "再発防止策",
        [
            "第2倉庫では、歩行者の通路を10月末までに柵で分けます。担当は物流課の小林健太です。費用は86万円を見込んでいます。",
            "包装ラインの刃には11月15日までに保護カバーを付けます。カバーが届くまでは、耐切創手袋の着用を義務とします。",
        ],
    ),
]


def pdf(pages: list[tuple[str, list[str]]], *, font: str = "Helvetica", bold: str = "Helvetica-Bold") -> bytes:
    made = io.BytesIO()
    wrap = None if font == "Helvetica" else "CJK"
    body = ParagraphStyle("body", fontName=font, fontSize=11, leading=16, spaceAfter=9, wordWrap=wrap)
    head = ParagraphStyle("head", fontName=bold, fontSize=16, leading=22, spaceAfter=12, wordWrap=wrap)
    story = []
    for title, paragraphs in pages:
        story += [Paragraph(title, head), *(Paragraph(one, body) for one in paragraphs), Spacer(1, 6), PageBreak()]
    SimpleDocTemplate(made, pagesize=A4, title=pages[0][0], invariant=1).build(story[:-1])
    return made.getvalue()


def word() -> bytes:
    document = docx.Document()
    document.add_heading("Onboarding plan: warehouse team", 1)
    document.add_paragraph(
        "Rosa Lindqvist joins the warehouse in Tilburg on 2 November 2026. Her mentor is Daan Verhoeven."
    )
    document.add_heading("First week", 2)
    for line in (
        "Safety briefing and fire drill on the first day, before anything else.",
        "Forklift theory on Tuesday; the test is on Friday at 14:00.",
        "Access card and scanner from the office of Ms Bakker.",
    ):
        document.add_paragraph(line, style="List Bullet")
    document.add_heading("Shifts", 2)
    table = document.add_table(rows=1, cols=3)
    for cell, text in zip(table.rows[0].cells, ("Week", "Shift", "Area"), strict=True):
        cell.text = text
    for row in (("1", "Day", "Goods in"), ("2", "Day", "Packing"), ("3", "Late", "Goods out")):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.add_paragraph("After three weeks both decide whether she takes the late shift for good.")
    return saved(document)


def slides() -> bytes:
    deck = pptx.Presentation()
    for title, lines in (
        ("新製品「みなも」発売計画", ["発売日は2027年3月3日", "価格は税込み4,980円", "初回は12,000個を生産する"]),
        ("販売の進め方", ["1月に直営店6店で予約を始める", "通販は2月20日から受け付ける", "担当は営業企画部の森由美子"]),
        ("課題", ["容器の納期が2週間遅れている", "代わりの業者を11月末までに決める"]),
    ):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = "\n".join(lines)
    return saved(deck)


def spreadsheet() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Complaints"
    for row in (
        ("date", "customer", "product", "complaint"),
        ("2026-10-02", "Fjordmarkt", "Rain barrel 200 l", "Two of eight barrels arrived with a crack at the tap."),
        ("2026-10-05", "A. Moreau", "Garden hose 25 m", "The coupling leaks. Wants 18.90 EUR back."),
        ("2026-10-09", "緑の里", "剪定ばさみ", "刃がさびていた。交換を希望している。"),
        ("2026-10-12", "Baxter & Sons", "Wheelbarrow", "Delivered to the wrong address in Leeds."),
    ):
        sheet.append(row)
    return saved(book)


def saved(document: object) -> bytes:
    made = io.BytesIO()
    document.save(made)
    return fixed(made.getvalue())


def mail() -> bytes:
    message = EmailMessage()
    message["From"] = "Mika Tanaka <mika.tanaka@aozora.example>"
    message["To"] = "Orders <orders@brightwell.example>"
    message["Date"] = "Thu, 08 Oct 2026 10:12:00 +0900"
    message["Subject"] = "Change to order 77120 / 注文77120の変更"
    message.set_content(
        "Dear Ms Hughes,\n\nplease raise order 77120 from 40 to 65 lamps and deliver to our new store in "
        "Kobe by 20 November 2026. The price of 38 USD each stays as agreed.\n\n"
        "念のため日本語でも書きます。数量は65個、納品先は神戸店です。\n\nBest regards\nMika Tanaka\n"
    )
    message.add_alternative(
        "<p>Dear Ms Hughes,</p><p>please raise order 77120 from 40 to 65 lamps.</p>", subtype="html"
    )
    message.set_boundary("=-sample-boundary")
    return message.as_bytes()


def parquet() -> bytes:
    table = Table.from_pydict(
        {
            "station": Array(["Harbour", "Mill Lane", "North Gate", "駅前"], type=DataType.utf8()),
            "day": Array(["2026-10-01"] * 4, type=DataType.utf8()),
            "note": Array(
                [
                    "Pump 2 stopped twice; the float switch was cleaned by T. Ode.",
                    "No events.",
                    "Water level 14 cm above normal after rain.",
                    "排水ポンプの異音を確認。10月5日に点検する。",
                ],
                type=DataType.utf8(),
            ),
        }
    )
    made = io.BytesIO()
    write_parquet(table, made)
    return made.getvalue()


def poster() -> bytes:
    image = Image.new("RGB", (640, 400), "#f4efe2")
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 620, 380), outline="#22577a", width=6)
    font = ImageFont.load_default(40)
    for at, line in enumerate(("Harbour Market", "Saturday 14 November 2026", "9:00 to 15:00, Pier 4")):
        draw.text((50, 60 + 100 * at), line, fill="#22577a", font=font)
    made = io.BytesIO()
    image.save(made, "png")
    return made.getvalue()


def archive(**members: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(zipfile.ZipInfo(name, WHEN), text, zipfile.ZIP_DEFLATED)
    return made.getvalue()


RECIPES = [
    {
        "name": "Barley soup",
        "serves": 4,
        "steps": ["Soak 150 g of barley overnight.", "Boil it with two carrots and a leek for 50 minutes."],
    },
    {"name": "ほうれん草のごま和え", "serves": 2, "steps": ["ほうれん草を1分ゆでる。", "すりごまとしょうゆで和える。"]},
]
NOTICE = (
    "断水のお知らせ\n\n水道管の取り替え工事のため、2026年11月9日(月)の午前9時から午後4時まで、"
    "緑町1丁目と2丁目で断水します。\n飲み水とトイレの水を、前の日までにくみ置きしてください。\n"
    "雨の場合は11月11日(水)に延期します。お問い合わせは水道課の佐藤まで。\n"
)
DIARY = (
    "Log of the survey boat Petrel, 6 to 8 October 2026\n\n"
    "6 October. Left Stavanger at 05:40 in fog. The echo sounder failed at 09:15; Olsen replaced a fuse.\n\n"
    "7 October. Surveyed lines 11 to 19. A lost net fouled the tow cable, and the work stood still for two hours.\n\n"
    "8 October. Wind of 19 m/s. The captain, Marit Dahl, broke the survey off and returned. Lines 20 to 24 are "
    "left for the next voyage on 21 October.\n"
)


def main() -> None:
    pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3"))
    write("summary/reports/energy-report-2026.pdf", pdf(ENERGY))
    write("summary/reports/安全衛生報告 2026年9月.pdf", pdf(SAFETY, font="HeiseiMin-W3", bold="HeiseiMin-W3"))
    write("summary/people/onboarding-plan.docx", word())
    write("summary/slides/新製品発売計画.pptx", slides())
    write("summary/mail/order-77120.eml", mail())
    write("summary/notices/断水のお知らせ-sjis.txt", NOTICE.encode("shift_jis"))
    write("summary/logs/petrel-2026-10.txt.gz", gzip.compress(DIARY.encode(), mtime=0))
    write(
        "summary/minutes-2026-10.zip",
        archive(
            **{
                "board/2026-10-05.md": "# Board, 5 October 2026\n\nThe board approves the lease of hall 3 for five "
                "years at 8,400 EUR a month. Ms Adeyemi votes against it.\n",
                "店長会議/2026-10-07.md": "# 店長会議 2026年10月7日\n\n年末の営業時間を22時までとする。12月31日は18時に閉店する。\n",
            }
        ),
    )
    write("rows/complaints-2026-10.xlsx", spreadsheet())
    write("rows/pumping-stations.parquet", parquet())
    write("facts/recipes.json", json.dumps(RECIPES, ensure_ascii=False, indent=1).encode())
    write("pictures/harbour-market.png", poster())


if __name__ == "__main__":
    main()

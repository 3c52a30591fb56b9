"""Bytes to text, in any encoding and however the bytes arrive."""

import io

import pytest
from batchline.errors import Code
from batchline.formats import encoding
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.formats.reading import Dripping, refusal, text

JAPANESE = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"
    "何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。\n"
)
CHINESE = "我们的公司在北京。今天天气很好，我们去公园玩。合同的义务如下所列，请仔细检查。\n"
TAIWAN = "我們的公司在臺北。今天天氣很好，我們去公園玩。合約的義務如下所列，請仔細檢查。\n"
KOREAN = "우리 회사는 서울에 있습니다. 오늘은 날씨가 매우 좋습니다. 계약의 의무는 다음과 같습니다.\n"
FRENCH = "Le contrat prévoit que l’acheteur réglera la somme de 400 € à l'échéance. Ça a été payé.\n"
GERMAN = "Die Gebühr beträgt 300 €. Für Rückfragen stehen wir Ihnen gern zur Verfügung.\n"
RUSSIAN = "Договор вступает в силу со дня подписания. Покупатель обязан оплатить товар в срок.\n"
POLISH = "Umowa wchodzi w życie z dniem podpisania. Kupujący zobowiązany jest zapłacić należność.\n"
GREEK = "Η σύμβαση τίθεται σε ισχύ από την ημέρα υπογραφής. Ο αγοραστής υποχρεούται να πληρώσει.\n"
TURKISH = "Sözleşme imza tarihinde yürürlüğe girer. Alıcı bedeli ödemekle yükümlüdür. İstanbul güzeldir.\n"
HEBREW = "החוזה נכנס לתוקף ביום החתימה. הקונה חייב לשלם את התמורה במועד.\n"
ARABIC = "يدخل العقد حيز التنفيذ من تاريخ التوقيع. يلتزم المشتري بدفع الثمن.\n"

WRITTEN = [
    *((JAPANESE, one) for one in ("cp932", "shift_jis", "euc_jp", "iso2022_jp", "utf-8", "utf-16", "utf-32")),
    *((JAPANESE, one) for one in ("utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")),
    (CHINESE, "gb18030"),
    (CHINESE, "gb2312"),
    (CHINESE, "utf-16-le"),
    (CHINESE, "utf-16-be"),
    (TAIWAN, "big5"),
    (KOREAN, "cp949"),
    (KOREAN, "euc_kr"),
    (FRENCH, "cp1252"),
    (FRENCH, "utf-16-le"),
    (GERMAN, "cp1252"),
    (RUSSIAN, "cp1251"),
    (RUSSIAN, "utf-16-be"),
    (POLISH, "cp1250"),
    (GREEK, "cp1253"),
    (TURKISH, "cp1254"),
    (HEBREW, "cp1255"),
    (ARABIC, "cp1256"),
]


@pytest.mark.parametrize("times", [1, 500])
@pytest.mark.parametrize(("written", "name"), WRITTEN)
def test_text_is_read_in_whatever_encoding_it_was_written(written: str, name: str, times: int) -> None:
    assert text((written * times).encode(name)) == written * times


@pytest.mark.parametrize(
    ("written", "name"),
    [(JAPANESE, "cp932"), (JAPANESE, "iso2022_jp"), (JAPANESE, "euc_jp"), (FRENCH, "cp1252")],
)
@pytest.mark.parametrize("before", [encoding.BLOCK_BYTES - 1, encoding.BLOCK_BYTES, 700_001])
def test_an_encoding_that_shows_only_after_much_ascii_is_still_found(
    written: str, name: str, before: int
) -> None:
    start = "x" * (before - 1) + "\n"
    assert text((start + written).encode(name)) == start + written


@given(
    written=st.sampled_from([one for one in WRITTEN if one[1] != "shift_jis"]),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    ends=st.lists(st.sampled_from(["\n", "\r", "\r\n"]), min_size=1, max_size=4),
)
def test_any_cut_of_the_bytes_gives_the_same_text_with_line_feeds(
    written: tuple[str, str], sizes: list[int], ends: list[str]
) -> None:
    lines = written[0].split("\n") * 2
    data = "".join(line + ends[i % len(ends)] for i, line in enumerate(lines)).encode(written[1])
    stream = Dripping(data, sizes)
    assert "".join(encoding.decode(stream)) == text(data)  # type: ignore[arg-type]
    assert "\r" not in text(data)
    assert text(data).replace("\n", "") == "".join(lines)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), min_size=1))
def test_what_was_written_as_utf8_comes_back(written: str) -> None:
    data = b"\xef\xbb\xbf" + written.encode()
    found = (
        "".join(encoding.decode(io.BytesIO(b"text\n" + written.encode()))) if written.isprintable() else ""
    )
    assert found in {"", "text\n" + written}
    assert "".join(encoding.decode(io.BytesIO(b"\xff\xfe" + written.encode("utf-16-le")))) == written
    if not any(byte in data for byte in (*range(9), 11, *range(14, 27), 28, 29, 30, 31)):
        assert "".join(encoding.decode(io.BytesIO(data))) == written


def test_what_a_document_declares_decides_where_it_is_not_utf8() -> None:
    data = "Größe\n".encode("cp850")  # statistics cannot tell the code pages of DOS apart on a word
    assert "".join(encoding.decode(io.BytesIO(data), declared="cp850")) == "Größe\n"
    assert "".join(encoding.decode(io.BytesIO("Größe\n".encode()), declared="cp850")) == "Größe\n"


def test_a_damaged_byte_in_utf8_is_refused_with_its_place_and_not_read_as_another_encoding() -> None:
    data = JAPANESE.encode() + b"\xff" + JAPANESE.encode()
    code, message = refusal(data, "a.txt")
    assert code is Code.TEXT_ENCODING
    assert message == (
        f"Byte {len(JAPANESE.encode())} (0xff) is not UTF-8, which the text before it is. "
        "Save the file as UTF-8 and upload it again."
    )


def test_the_place_of_a_damaged_byte_is_told_far_into_a_file_with_a_mark() -> None:
    start = b"\xef\xbb\xbf" + "日".encode() * 200_000
    code, message = refusal(start + b"\x80", "a.txt")
    assert code is Code.TEXT_ENCODING
    assert message.startswith("Byte 600003 (0x80)")


@pytest.mark.parametrize("name", ["utf-8", "cp932", "euc_jp", "utf-16"])
def test_a_file_that_ends_inside_a_character_is_truncated(name: str) -> None:
    code, message = refusal((JAPANESE * 5 + "日").encode(name)[:-1], "a.txt")
    assert code is Code.TEXT_TRUNCATED
    assert "Upload the whole file" in message


@pytest.mark.parametrize(
    "data", [b"text\x00more", b"\x7fELF\x02\x01\x01" + bytes(90), bytes(range(256)) * 40]
)
def test_binary_is_refused(data: bytes) -> None:
    code, message = refusal(data, "a.txt")
    assert code is Code.FORMAT_UNSUPPORTED
    assert "binary" in message


def test_escape_sequences_of_terminals_and_form_feeds_are_text() -> None:
    assert text(b"a\tb\fc\x1b[0m\n") == "a\tb\fc\x1b[0m\n"


@pytest.mark.parametrize(
    "written", ["café noir", "naïve résumé", "Müller", "Übergröße", "garçon", "Straße", "© 2024 Acme", "Zoë"]
)
def test_a_few_letters_among_ascii_are_western(written: str) -> None:
    assert text(written.encode("cp1252")) == written


@pytest.mark.parametrize(
    ("written", "name"),
    [("да, OK", "cp1251"), ("ABC 日本", "cp932"), ("Ελληνικά abc", "cp1253")],
)
def test_a_few_words_of_another_script_are_not(written: str, name: str) -> None:
    assert text(written.encode(name)) == written


@pytest.mark.parametrize("written", ["東京の天気は", "です", "請求書を送ります", "営業時間は10時から"])
@pytest.mark.parametrize("name", ["euc_jp", "cp932"])
def test_a_few_words_with_kana_are_japanese(written: str, name: str) -> None:
    assert text(written.encode(name)) == written


@pytest.mark.parametrize(
    "written",
    [
        "東京都渋谷区神南一丁目",
        "株式会社山田製作所",
        "請求書",
        "大阪",
        "カタログ,価格\nリンゴ,100\n",
        "名前,住所,電話\n山田太郎,東京都,03\n鈴木花子,大阪府,06\n",
        "領収書 金額 壱万円也",
    ],
)
@pytest.mark.parametrize("name", ["euc_jp", "cp932"])
def test_a_few_everyday_kanji_are_japanese(written: str, name: str) -> None:
    assert text(written.encode(name)) == written


@pytest.mark.parametrize(
    "written", ["合同编号", "订单号", "北京市朝阳区", "姓名,地址\n张三,北京\n", "采购订单"]
)
def test_a_few_everyday_hanzi_are_chinese(written: str) -> None:
    assert text(written.encode("gb18030")) == written


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("我们的产品价格表", "gb18030"),
        ("계약", "euc_kr"),
        ("서울특별시 강남구", "euc_kr"),
        ("繁體中文的價格表說明", "big5"),
        (KOREAN, "euc_kr"),
    ],
)
def test_a_few_words_without_kana_are_not(written: str, name: str) -> None:
    assert text(written.encode(name)) == written

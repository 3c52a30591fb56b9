"""Finds dates, amounts, names, organisations and addresses in text, in order of appearance."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from local.bedrock import lexicon

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul",
         "august aug", "september sep sept", "october oct", "november nov", "december dec"),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATE = re.compile(
    rf"\b(?P<iso>\d{{4}}-\d{{2}}-\d{{2}})\b"
    rf"|\b(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?(?:\s+day\s+of)?\s+(?P<m1>{_MONTH})\.?,?\s+(?P<y1>\d{{4}})\b"
    rf"|\b(?P<m2>{_MONTH})\.?\s+(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y2>\d{{4}})\b"
    r"|(?P<y3>\d{4})年\s*(?P<m3>\d{1,2})月\s*(?P<d3>\d{1,2})日"
    r"|(?P<era>令和|平成)\s*(?P<y4>\d{1,2}|元)年\s*(?P<m4>\d{1,2})月\s*(?P<d4>\d{1,2})日"
    r"|\b(?P<y5>\d{4})/(?P<m5>\d{1,2})/(?P<d5>\d{1,2})\b",
    re.IGNORECASE,
)
_ERA_START: Final = {"令和": 2018, "平成": 1988}
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_MONEY = re.compile(
    rf"(?P<sign>[$€£¥￥])\s?(?P<a1>{_NUMBER})(?:\s?(?P<s1>million|billion|thousand|[mMkK]\b))?"
    rf"|\b(?P<code>USD|EUR|GBP|JPY|CHF|CAD|AUD)\s?(?P<a2>{_NUMBER})"
    r"(?:\s?(?P<s2>million|billion|thousand))?"
    rf"|(?P<a3>{_NUMBER})\s?(?:(?P<s3>million|billion|thousand)\s)?"
    r"(?P<code3>USD|EUR|GBP|JPY|CHF|dollars|euros|pounds|yen)\b"
    rf"|(?P<a4>{_NUMBER})\s?(?P<s4>億|万|千)?円"
)
_SCALE: Final = {
    "thousand": 1e3, "k": 1e3, "million": 1e6, "m": 1e6, "billion": 1e9,
    "千": 1e3, "万": 1e4, "億": 1e8,
}  # fmt: skip
_CURRENCY: Final = {
    "$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "￥": "JPY",
    "dollars": "USD", "euros": "EUR", "pounds": "GBP", "yen": "JPY",
}  # fmt: skip
_ORGANISATION = re.compile(
    r"\b(?:[A-Z][\w&'’-]*\.?\s+){1,5}?(?:Inc|Incorporated|Ltd|Limited|LLC|LLP|Corp|Corporation|"
    r"Company|GmbH|AG|PLC|Plc|S\.A|K\.K|Bank|University|Group|Holdings|Partners|Foundation|Association|Institute|"
    r"Agency|Ministry|Council|Authority)\b\.?"
    r"|(?:株式会社|有限会社|合同会社|一般社団法人)[一-龥ァ-ヶーA-Za-z0-9]{1,15}"
    r"|[一-龥ァ-ヶーA-Za-z0-9]{1,15}(?:株式会社|有限会社|合同会社)"
)
_PERSON = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof)\.? [A-Z][a-z]+(?: [A-Z][a-z]+)?"
    r"|\b[A-Z][a-z]{1,14} (?:[A-Z]\. )?[A-Z][a-z]{1,19}\b"
    r"(?! (?:Inc|Ltd|LLC|Corp|Company|Bank|University|Group))"
    r"|[一-龥]{2,4}[ ]?[一-龥]{1,3}(?=(?:氏|様|さん|社長|部長|教授))"
)
_NOT_A_NAME = lexicon.words("not_a_name")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
_URL = re.compile(r"https?://[^\s<>\"')\]]+[^\s<>\"')\].,]")
_PHONE = re.compile(r"(?<![\d-])\+?\d{1,4}[-\s]\(?\d{2,4}\)?[-\s]\d{3,4}(?:[-\s]\d{3,4})?(?![\d-])")
_LABELLED = re.compile(r"^[ \t*-]*([^\s:：][^:：\n]{0,40}?)\s*[:：]\s*(\S[^\n]{0,200})$", re.MULTILINE)
_IDENTIFIER = re.compile(r"\b(?:[A-Z]{1,6}[-/#]?\d{2,}[\w/-]*|\d{5,})\b")
# `Maria Lopez ("Tenant")`, `株式会社青空商事（以下「甲」という）`: a name and the role it is given.
_DEFINED = re.compile(
    r"((?:[A-Z][\w&'’.-]*\s+){0,6}[A-Z][\w&'’.-]*),?\s*\((?:hereinafter\s+)?(?:the\s+)?[\"“']"
    r"(?:the\s+)?(\w+)[\"”']\)"
    r"|([一-龥ァ-ヶーA-Za-z0-9]{2,20})（以下、?「(.{1,10}?)」という。?）"
)
_PERIOD = re.compile(
    r"\bwithin\s+(?:\w+\s+){1,3}(?:hours?|days?|weeks?|months?|years?)\b"
    r"|\bby the [\w ]{3,30}?(?:month|week|year|day)\b"
    r"|(?<![0-9年月])(?:毎月)?[0-9０-９一二三四五六七八九十末]{1,3}日(?:以内|まで)|[0-9０-９]{1,3}(?:か月|ヶ月|週間|年)(?:以内|まで)",
    re.IGNORECASE,
)
_SUBJECT = re.compile(r"^(?:\W*|\d[\d.]*\s*)([^\s,.。、][^,.。、]{0,60}?)\s*$")
_SUBJECT_JA = re.compile(r"^\W*(\S{1,20}?)[はが]、?")
_PLAIN_NUMBER = re.compile(rf"(?<![\w.,-])-?(?:{_NUMBER})(?![\d,]*\d)")
_PERCENT = re.compile(rf"({_NUMBER})\s?(?:%|％|percent|per cent|パーセント)")
DUTY: Final = re.compile(
    r"\b(?:shall|must|will be (?:required|responsible)|is required to|are required to|agrees? to|"
    r"undertakes? to|is obliged to|has to|have to|may not|is responsible for|ensure|do not|never|"
    r"always|please)\b"
    r"|しなければならない|ものとする|義務|こと。$|する必要|してはならない|ください",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Money:
    """An amount as it stands in the text, its value in units and its currency's code."""

    text: str
    value: float
    currency: str


def dates(text: str) -> list[tuple[str, date]]:
    """Return the dates of `text`: as written, and as a calendar day."""
    found = ((match[0], _day(match)) for match in _DATE.finditer(text))
    return [(written, day) for written, day in found if day is not None]


def _day(match: re.Match[str]) -> date | None:
    part = match.groupdict()
    try:
        if part["iso"]:
            return date.fromisoformat(part["iso"])
        if part["era"]:
            years = 1 if part["y4"] == "元" else int(part["y4"])
            return date(_ERA_START[part["era"]] + years, int(part["m4"]), int(part["d4"]))
        for n in "12":
            if part[f"d{n}"]:
                month = _MONTHS[part[f"m{n}"].lower()]
                return date(int(part[f"y{n}"]), month, int(part[f"d{n}"]))
        n = "3" if part["y3"] else "5"
        return date(int(part[f"y{n}"]), int(part[f"m{n}"]), int(part[f"d{n}"]))
    except ValueError:  # a day that no calendar has, such as 2025-02-31
        return None


def money(text: str) -> list[Money]:
    """Return the amounts of money in `text`."""
    found = []
    for match in _MONEY.finditer(text):
        part = match.groupdict()
        amount = part["a1"] or part["a2"] or part["a3"] or part["a4"]
        scale = part["s1"] or part["s2"] or part["s3"] or part["s4"]
        sign = part["sign"] or part["code"] or part["code3"] or "¥"
        value = float(amount.replace(",", "")) * _SCALE.get((scale or "").lower(), 1)
        found.append(Money(match[0], value, _CURRENCY.get(sign, sign)))
    return found


def organisations(text: str) -> list[str]:
    return _distinct(_trim_start(match[0]) for match in _ORGANISATION.finditer(text))


def persons(text: str) -> list[str]:
    firms = " ".join(organisations(text))
    names = (match[0] for match in _PERSON.finditer(text))
    return _distinct(
        name
        for name in names
        if name not in firms and not _NOT_A_NAME & {word.lower() for word in name.split()}
    )


def labelled(text: str) -> list[tuple[str, str]]:
    """Return the pairs of lines such as `Bill to: Northwind Traders`."""
    return [(label, value.strip()) for label, value in _LABELLED.findall(text)]


def defined(text: str) -> list[tuple[str, str]]:
    """Return the roles that a contract gives to names, and those names."""
    return [
        (role or role_ja, _trim_start(name or name_ja))
        for name, role, name_ja, role_ja in _DEFINED.findall(text)
    ]


def identifiers(text: str) -> list[str]:
    """Return what looks like a reference: INV-2044, PO 77120, 1234567."""
    return _distinct(_IDENTIFIER.findall(text))


def periods(text: str) -> list[str]:
    """Return the spans of time in which something is due."""
    return _distinct(match[0] for match in _PERIOD.finditer(text))


def bound_party(sentence: str) -> str | None:
    """Return who a sentence binds: what stands before `shall`, `must` and their like."""
    if match := _SUBJECT_JA.match(sentence):
        return match[1]
    duty = DUTY.search(sentence)
    subject = _SUBJECT.match(sentence[: duty.start()]) if duty else None
    return subject[1] if subject else None


def emails(text: str) -> list[str]:
    return _distinct(_EMAIL.findall(text))


def urls(text: str) -> list[str]:
    return _distinct(_URL.findall(text))


def phones(text: str) -> list[str]:
    return _distinct(_PHONE.findall(text))


def percentages(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in _PERCENT.findall(text)]


def numbers(text: str) -> list[float]:
    """Return the numbers that are not part of a date."""
    without_dates = _DATE.sub(" ", text)
    return [float(number.replace(",", "")) for number in _PLAIN_NUMBER.findall(without_dates)]


def _trim_start(name: str) -> str:
    parts = name.split()
    while len(parts) > 1 and parts[0].lower() in _NOT_A_NAME:
        parts.pop(0)
    return " ".join(parts)


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))

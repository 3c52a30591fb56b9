"""What a text says about a property: the candidates for its value, best first."""

import functools
from collections.abc import Callable, Iterator

from local.bedrock import facts, lexicon, ranking, sentences

_TOP_WORDS = 8
_TITLE_LENGTH = 120
# Which words in a property's name or description call for which kind of fact.
_DATE = lexicon.words("date")
_MONEY = lexicon.words("money")
_PERSON = lexicon.words("person")
_FIRM = lexicon.words("firm")
_DUTY = lexicon.words("duty")
_TITLE = lexicon.words("title")
_TOPIC = lexicon.words("topic")
_SUMMARY = lexicon.words("summary")
_PERCENT = lexicon.words("percent")
_CURRENCY = lexicon.words("currency")
_POSITIVE = lexicon.words("positive")
_NEGATIVE = lexicon.words("negative")
_NO = lexicon.words("denial")


class Evidence:
    """One text, or one sentence of it, asked for facts."""

    def __init__(self, text: str) -> None:
        self.text = text

    @functools.cached_property
    def sentences(self) -> list[str]:
        return sentences.split(self.text)

    @functools.cached_property
    def _words(self) -> set[str]:
        return set(sentences.words(self.text))

    def texts(self, sought: frozenset[str], *, form: str) -> Iterator[str]:
        """Yield strings for a property described by the words `sought` and a JSON Schema format."""
        if form in _BY_FORM:
            yield from _BY_FORM[form](self.text)
            return
        specific = list(self._typed(sought))
        yield from specific
        if not specific and not sought & (_PERSON | _FIRM | _DATE | _MONEY):
            yield from self._statements(sought)

    def _typed(self, sought: frozenset[str]) -> Iterator[str]:
        """Yield facts of the kinds that the words call for; nearest to those words first."""
        for words, find in _BY_WORDS:
            if sought & words:
                yield from self._nearest(find(self.text), sought - words)
        if sought & _CURRENCY:
            yield from (amount.currency for amount in facts.money(self.text))
        if sought & _TITLE:
            yield self._title()
        if "name" in sought and not sought & (_FIRM | _PERSON):
            yield from [*facts.organisations(self.text), *facts.persons(self.text)]

    def _statements(self, sought: frozenset[str]) -> Iterator[str]:
        if not self.sentences:
            return
        if sought & _SUMMARY:
            yield self._summary()
        overlap = [len(sought & set(sentences.words(s))) for s in self.sentences]
        yield from (self.sentences[at] for at in sorted(range(len(overlap)), key=lambda at: -overlap[at]))

    def number(self, sought: frozenset[str]) -> float | None:
        """Return the number that a property described by `sought` most likely means."""
        if sought & _MONEY and (amounts := facts.money(self.text)):
            nearest = self._nearest([amount.text for amount in amounts], sought)
            return next(amount.value for amount in amounts if amount.text == nearest[0])
        if sought & _PERCENT and (shares := facts.percentages(self.text)):
            return shares[0]
        for sentence in self._by_overlap(sought):
            if values := facts.numbers(sentence):
                return values[0]
        return None

    def says(self, sought: frozenset[str]) -> bool:
        """Say whether some sentence holds the words sought and does not deny them."""
        best = next(iter(self._by_overlap(sought)), "")
        words = set(sentences.words(best))
        if not sought & words:
            return False
        return not _NO & set(best.lower().replace(",", " ").split())

    def support(self, option: str, sought: frozenset[str]) -> float:
        """Return how much of the text speaks for one value of an enum."""
        wanted = set(sentences.words(option.replace("_", " ")))
        whole_words = f" {' '.join(self.text.lower().split())} "
        literal = whole_words.count(f" {option.lower()} ") * 2 + (option in self.text)
        mood = 0.0
        if wanted & {"positive", "negative", "neutral", "mixed"}:
            good, bad = len(self._words & _POSITIVE), len(self._words & _NEGATIVE)
            mood = {"positive": good - bad, "negative": bad - good, "neutral": 0.5}.get(option.lower(), 0)
        near = any(wanted & set(sentences.words(s)) for s in self._by_overlap(sought)[:1]) if sought else 0
        return literal + mood + len(wanted & self._words) + 0.5 * near

    def parts(self, sought: frozenset[str], *, by_sentence: bool) -> list["Evidence"]:
        """Return the pieces of the text that each make one element of an array."""
        if sought & _DUTY:
            chosen = [s for s in self.sentences if facts.DUTY.search(s)]
        elif by_sentence:
            chosen = [s for s in self.sentences if self._has_facts(s)] or self._by_overlap(sought)[:3]
        else:
            chosen = self._elements(sought)
        return [Evidence(piece) for piece in chosen]

    def _elements(self, sought: frozenset[str]) -> list[str]:
        for words, find in _BY_WORDS:
            if sought & words:
                return find(self.text)
        if sought & _TOPIC:
            return self._topics()
        if "name" in sought:
            return [*facts.persons(self.text), *facts.organisations(self.text)]
        overlapping = [s for s in self.sentences if sought & set(sentences.words(s))]
        if overlapping:
            return overlapping
        if not self.sentences:
            return []
        best = sorted(ranking.rank(self.sentences)[:3])
        return [self.sentences[at] for at in best]

    def _topics(self) -> list[str]:
        counted: dict[str, int] = {}
        for word in sentences.words(self.text):
            counted[word] = counted.get(word, 0) + 1
        return sorted(counted, key=lambda word: -counted[word])[:_TOP_WORDS]

    def _summary(self) -> str:
        return ranking.summarize(self.text, count=2)

    def _title(self) -> str:
        first = next((line.strip(" #*\t") for line in self.text.splitlines() if line.strip()), "")
        return first if len(first) <= _TITLE_LENGTH else (self.sentences or [first])[0][:_TITLE_LENGTH]

    def _by_overlap(self, sought: frozenset[str]) -> list[str]:
        overlap = {s: len(sought & set(sentences.words(s))) for s in self.sentences}
        return sorted(overlap, key=lambda s: -overlap[s])

    def _nearest(self, found: list[str], sought: frozenset[str]) -> list[str]:
        """Put those first that stand in a sentence with the words sought."""
        if len(found) <= 1 or not sought:
            return found
        shared = {
            value: max(
                (len(sought & set(sentences.words(s))) for s in self.sentences if value in s),
                default=0,
            )
            for value in found
        }
        return sorted(found, key=lambda value: -shared[value])

    @staticmethod
    def _has_facts(sentence: str) -> bool:
        return bool(facts.money(sentence) or facts.dates(sentence) or facts.organisations(sentence))


def _iso_dates(text: str) -> list[str]:
    return list(dict.fromkeys(day.isoformat() for _, day in facts.dates(text)))


def _written_dates(text: str) -> list[str]:
    return list(dict.fromkeys(written for written, _ in facts.dates(text)))


def _instants(text: str) -> list[str]:
    return [f"{day}T00:00:00Z" for day in _iso_dates(text)]


def _amounts(text: str) -> list[str]:
    return list(dict.fromkeys(amount.text for amount in facts.money(text)))


_BY_FORM: dict[str, Callable[[str], list[str]]] = {
    "date": _iso_dates,
    "date-time": _instants,
    "email": facts.emails,
    "uri": facts.urls,
}
_BY_WORDS: tuple[tuple[frozenset[str], Callable[[str], list[str]]], ...] = (
    (lexicon.words("email"), facts.emails),
    (lexicon.words("url"), facts.urls),
    (lexicon.words("phone"), facts.phones),
    (_DATE, _written_dates),
    (_FIRM, facts.organisations),
    (_PERSON, facts.persons),
    (_MONEY, _amounts),
)

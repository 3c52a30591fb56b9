"""What a text says about a property: the candidates for its value, best first."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator

from local.bedrock import facts, lexicon, ranking, sentences
from local.bedrock.sought import Sought

_TOP_WORDS = 8
_TITLE_LENGTH = 120
_LOOSEST_LABEL = 0.3
_POSITIVE = lexicon.words("positive")
_NEGATIVE = lexicon.words("negative")
_DENIAL = lexicon.words("denial")
# A property of one of these kinds without such a fact in the text stays empty: a sentence is no date.
_EXACT = frozenset(
    {"currency", "date", "email", "firm", "identifier", "money", "person", "phone", "role", "url"}
)


class Evidence:
    """A text asked for facts; with `focus` it is the text around that one fact."""

    def __init__(self, text: str, *, focus: str = "", whole: str = "") -> None:
        self.text = text
        self._focus = focus
        self._whole = whole or text

    @functools.cached_property
    def sentences(self) -> list[str]:
        return sentences.split(self.text)

    def texts(self, sought: Sought, *, form: str) -> Iterator[str]:
        """Yield strings for a property and a JSON Schema format."""
        if form in _BY_FORM:
            yield from self._formed(form, sought)
            return
        yield from self._typed(sought)
        if not sought.kinds & _EXACT:
            yield from self._statements(sought)

    def number(self, sought: Sought) -> float | None:
        """Return the number that a property most likely means."""
        for near in filter(None, (self._focus, self._labelled(sought))):
            if values := [amount.value for amount in facts.money(near)] or facts.numbers(near):
                return values[0]
        if "percent" in sought.kinds and (shares := facts.percentages(self.text)):
            return shares[0]
        by_overlap = self._by_overlap(sought.words)
        if "money" in sought.kinds:
            amounts = [amount.value for s in by_overlap for amount in facts.money(s)]
            return amounts[0] if amounts else None
        return next((value for s in by_overlap for value in facts.numbers(s)), None)

    def says(self, sought: Sought) -> bool:
        """Say whether some sentence holds the words sought and does not deny them."""
        best = next(iter(self._by_overlap(sought.words)), "")
        if not sought.words & set(sentences.words(best)):
            return False
        return not _DENIAL & set(best.lower().replace(",", " ").split())

    def support(self, option: str, sought: Sought) -> float:
        """Return how much of the text speaks for one value of an enum."""
        wanted = set(sentences.words(option.replace("_", " ")))
        present = Counter(sentences.words(self.text))
        mood = 0.0
        if option.lower() in {"positive", "negative", "neutral", "mixed"}:
            good, bad = len(present.keys() & _POSITIVE), len(present.keys() & _NEGATIVE)
            moods = {"positive": good - bad, "negative": bad - good, "neutral": 0.5}
            mood = moods.get(option.lower(), 0.0)
        nearest = self._by_overlap(sought.specific)[:1]
        near = any(wanted & set(sentences.words(sentence)) for sentence in nearest)
        return mood + sum(present[word] for word in wanted) + (option in self.text) + 0.5 * near

    def parts(self, sought: Sought, *, objects: bool) -> list["Evidence"]:
        """Return the pieces of the text that each make one element of an array."""
        if "duty" in sought.kinds:
            return [self._part(s) for s in self.sentences if facts.DUTY.search(s)]
        for kind, find in _BY_KIND.items():
            if kind in sought.kinds:
                return self._parts_about(find, objects=objects)
        if not objects:
            return [Evidence(piece) for piece in self._elements(sought)]
        having = [s for s in self.sentences if _has_facts(s)]
        return [self._part(s) for s in having or self._by_overlap(sought.words)[:3]]

    def _part(self, sentence: str, focus: str = "") -> "Evidence":
        return Evidence(sentence, focus=focus, whole=self._whole)

    def _parts_about(self, find: Callable[[str], list[str]], *, objects: bool) -> list["Evidence"]:
        """Return one piece per fact: the fact alone, or for an object the sentence that holds it."""
        if not objects:
            return [Evidence(value) for value in find(self.text)]
        found: dict[str, Evidence] = {}
        for sentence in self.sentences:
            for value in find(sentence):
                found.setdefault(value, self._part(sentence, value))
        return list(found.values())

    def _formed(self, form: str, sought: Sought) -> Iterator[str]:
        """Yield strings of a format: in focus, behind a fitting label, near the words."""
        for near in filter(None, (self._focus, self._labelled(sought))):
            yield from _BY_FORM[form](near)
        for sentence in self._by_overlap(sought.specific):
            yield from _BY_FORM[form](sentence)

    def _typed(self, sought: Sought) -> Iterator[str]:
        """Yield facts of the kinds that the property calls for, nearest to its words first."""
        if "role" in sought.kinds:
            yield from (role for role, name in facts.defined(self._whole) if name == self._focus)
            return
        if "currency" in sought.kinds:
            yield from (amount.currency for amount in facts.money(self._focus or self.text))
            return
        if self._focus and (sought.kinds & _BY_KIND.keys() or sought.name.lower() in {"name", "value"}):
            yield self._focus
        if (labelled := self._labelled(sought)) is not None:
            yield labelled
        if "person" in sought.kinds and (subject := facts.bound_party(self.text)):
            yield subject
        for kind, find in _BY_KIND.items():
            if kind in sought.kinds:
                yield from self._nearest(find(self.text), sought.specific)
        if "title" in sought.kinds:
            yield self._title()
        if sought.name.lower() == "name":
            yield from [*facts.organisations(self.text), *facts.persons(self.text)]

    def _statements(self, sought: Sought) -> Iterator[str]:
        if "summary" in sought.kinds and self.sentences:
            yield ranking.summarize(self.text, count=2)
        if "duty" in sought.kinds:
            yield from (sentence for sentence in self.sentences if facts.DUTY.search(sentence))
        yield from self._by_overlap(sought.words)

    def _labelled(self, sought: Sought) -> str | None:
        """Return what stands behind the label, or before the role, that fits the property best."""
        best, value = _LOOSEST_LABEL, None
        for label, labelled in (*facts.labelled(self.text), *facts.defined(self.text)):
            words = set(sentences.words(label)) or {label}
            fit = len(words & sought.words) / len(words | sought.specific)
            if fit > best:
                best, value = fit, labelled
        return value

    def _elements(self, sought: Sought) -> list[str]:
        if "topic" in sought.kinds:
            counted = Counter(sentences.words(self.text))
            return [word for word, _ in counted.most_common(_TOP_WORDS)]
        if "name" in sought.words:
            return [*facts.persons(self.text), *facts.organisations(self.text)]
        if about := [s for s in self.sentences if sought.words & set(sentences.words(s))]:
            return about
        if not self.sentences:
            return []
        return [self.sentences[at] for at in sorted(ranking.rank(self.sentences)[:3])]

    def _title(self) -> str:
        first = next((line.strip(" #*\t\ufeff") for line in self.text.splitlines() if line.strip()), "")
        return first if len(first) <= _TITLE_LENGTH else (self.sentences or [first])[0][:_TITLE_LENGTH]

    def _by_overlap(self, words: frozenset[str]) -> list[str]:
        overlap = {s: len(words & set(sentences.words(s))) for s in self.sentences}
        return sorted(overlap, key=lambda sentence: -overlap[sentence])

    def _nearest(self, found: list[str], words: frozenset[str]) -> list[str]:
        """Put those first that stand in a sentence with the words sought."""
        if len(found) <= 1 or not words:
            return found
        order = {sentence: at for at, sentence in enumerate(self._by_overlap(words))}
        last = len(order)
        return sorted(found, key=lambda v: min((at for s, at in order.items() if v in s), default=last))


def _has_facts(sentence: str) -> bool:
    return bool(facts.money(sentence) or facts.dates(sentence) or facts.organisations(sentence))


def _iso_dates(text: str) -> list[str]:
    return list(dict.fromkeys(day.isoformat() for _, day in facts.dates(text)))


def _dates_and_periods(text: str) -> list[str]:
    return [*_iso_dates(text), *facts.periods(text)]


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
_BY_KIND: dict[str, Callable[[str], list[str]]] = {
    "email": facts.emails,
    "url": facts.urls,
    "phone": facts.phones,
    "date": _dates_and_periods,
    "money": _amounts,
    "firm": facts.organisations,
    "person": facts.persons,
    "identifier": facts.identifiers,
}

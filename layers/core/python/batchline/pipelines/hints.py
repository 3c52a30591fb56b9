"""What somebody has probably meant."""

import difflib


def did_you_mean(word: str, known: tuple[str, ...] | list[str]) -> str:
    """Say which known word was probably meant, as the end of a sentence."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def ended(sentence: str) -> str:
    """End a sentence with a full stop, unless it is a question."""
    return sentence if sentence.endswith("?") else f"{sentence}."

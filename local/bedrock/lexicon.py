"""Lists of words that the extractive model goes by: `data/lexicon.json`, one line per list."""

import functools
from pathlib import Path

import orjson

_DATA = Path(__file__).parent / "data" / "lexicon.json"


@functools.cache
def words(name: str) -> frozenset[str]:
    """Return one list; KeyError for a name that the file does not have."""
    lists: dict[str, str] = orjson.loads(_DATA.read_bytes())
    return frozenset(lists[name].split())

"""Debian's manuals as measuring texts: written by people, in English and Japanese, as text and as PDF.

Taken from the mirror that apt is set up with, into a cache that git ignores.
"""

import gzip
import re
import subprocess
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".local" / "pdf-quality"
DOCUMENTS = {
    "debian-faq": ["usr/share/doc/debian/FAQ/debian-faq.en"],
    "debian-history": [f"usr/share/doc/debian-history/docs/project-history.{lang}" for lang in ("en", "ja")],
    "debian-policy": ["usr/share/doc/debian-policy/policy", "usr/share/doc/debian-policy/fhs/fhs-3.0"],
    "debian-reference-en": ["usr/share/debian-reference/debian-reference.en"],
    "debian-reference-ja": ["usr/share/debian-reference/debian-reference.ja"],
    "debmake-doc": [f"usr/share/doc/debmake-doc/debmake-doc.{lang}" for lang in ("en", "ja")],
    "developers-reference": ["usr/share/developers-reference/developers-reference"],
    "developers-reference-ja": ["usr/share/developers-reference/ja/developers-reference"],
    "maint-guide": ["usr/share/doc/maint-guide/maint-guide.en"],
    "maint-guide-ja": ["usr/share/doc/maint-guide-ja/maint-guide.ja"],
}
# Running text has so many signs in a paragraph, and so large a share of them are letters.
LETTERS, MOST = 60, 0.7
_WIDE = re.compile("[\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef]")


def fetch(package: str) -> Path:
    """Download and unpack a package once."""
    folder = CACHE / package
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["apt-get", "download", "-q", package], cwd=CACHE, check=True, stdout=subprocess.DEVNULL
        )
        [archive] = CACHE.glob(f"{package}_*.deb")
        subprocess.run(["dpkg", "-x", archive, folder], check=True)
    return folder


def content(stem: Path, suffix: str) -> bytes:
    """Read a file that may be packed."""
    plain, packed = Path(f"{stem}.{suffix}"), Path(f"{stem}.{suffix}.gz")
    return plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())


def paragraphs(language: str) -> list[str]:
    """Read the running text of the manuals in a language, `en` or `ja`; each paragraph on one line, once."""
    found: dict[str, None] = {}
    for package, stems in DOCUMENTS.items():
        for stem in stems:
            if (language == "ja") == (package.endswith("-ja") or stem.endswith(".ja")):
                text = content(fetch(package) / stem, "txt").decode()
                found.update(dict.fromkeys(map(joined, re.split(r"\n\s*\n", text))))
    return [
        one for one in found if _runs_on(one) and (language == "en" or len(_WIDE.findall(one)) > len(one) / 3)
    ]


def _runs_on(text: str) -> bool:
    """Tell running text from headings, tables and lists of commands."""
    return len(text) >= LETTERS and sum(map(str.isalpha, text)) >= MOST * len(text)


def joined(paragraph: str) -> str:
    """Put the lines of a paragraph together, with a space where a language writes one."""
    text = " ".join(paragraph.split())
    return re.sub(f"(?<={_WIDE.pattern}) (?={_WIDE.pattern})", "", text)

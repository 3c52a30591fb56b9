"""How much of PDFs' text is found, and how well: against the texts that Debian ships beside them.

Takes Debian's manuals (manuals.py) in English and Japanese. Prints a row per document:
recall      share of the reference's runs of 6 letters or digits that are in what was extracted; other
            signs are left out, because the reference has quotes, rulers and bullets of its own
strict      the same with every sign but spaces
word F1     of the Latin words as a bag: finds words that were glued together or split
whole       share of the reference's paragraphs (over 100 letters) that stand on one line
gaps        spaces between two Japanese characters, per 1,000 pairs of them
"""

import argparse
import re
import sys
import time
from collections import Counter
from statistics import mean

from batchline.formats import pdf_pages
from batchline.formats.content import Section
from manuals import CACHE, DOCUMENTS, content, fetch

RUN = 6
PARAGRAPH = 100
RECALL_TARGET, F1_TARGET = 0.92, 0.97
JAPANESE = "[\u3040-\u30ff\u4e00-\u9fff]"


def letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)


def runs(dense: str) -> set[str]:
    return {dense[i : i + RUN] for i in range(len(dense) - RUN + 1)}


def word_f1(found: str, wanted: str) -> float:
    ours, theirs = (Counter(re.findall(r"[A-Za-z]+", text)) for text in (found, wanted))
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total())


def whole(found: str, wanted: str) -> float:
    lines = "\n".join(map(letters, found.splitlines()))
    paragraphs = map(letters, re.split(r"\n\s*\n", wanted))
    long = [each for each in paragraphs if len(each) > PARAGRAPH]
    return sum(each in lines for each in long) / len(long)


def gaps(text: str) -> float:
    pairs = len(re.findall(f"{JAPANESE}(?= ?{JAPANESE})", text))
    return 1000 * len(re.findall(f"{JAPANESE} (?={JAPANESE})", text)) / pairs if pairs else 0.0


def recall(found: str, wanted: str) -> float:
    reference = runs(wanted)
    return len(reference & runs(found)) / len(reference)


def extracted(data: bytes) -> str:
    scratch = CACHE / "one.pdf"
    scratch.write_bytes(data)
    with scratch.open("rb") as file:
        return "".join(item.text for item in pdf_pages.parse(file) if isinstance(item, Section))


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    print(f"{'document':<32}{'recall':>8}{'strict':>8}{'word F1':>9}{'whole':>7}{'gaps':>6}{'CPU s':>7}")
    recalls, scores = [], []
    for package, stems in DOCUMENTS.items():
        for stem in stems:
            path = fetch(package) / stem
            wanted = content(path, "txt").decode()
            started = time.process_time()
            found = extracted(content(path, "pdf"))
            spent = time.process_time() - started
            recalls.append(recall(letters(found), letters(wanted)))
            strict = recall("".join(found.split()), "".join(wanted.split()))
            scores.append(word_f1(found, wanted))
            name = path.name + (" ja" if "/ja/" in stem else "")
            print(
                f"{name:<32}{recalls[-1]:>8.3f}{strict:>8.3f}{scores[-1]:>9.3f}{whole(found, wanted):>7.2f}"
                f"{gaps(found):>6.1f}{spent:>7.2f}"
            )
    print(f"{'mean':<32}{mean(recalls):>8.3f}{'':>8}{mean(scores):>9.3f}")
    print(f"{'least':<32}{min(recalls):>8.3f}{'':>8}{min(scores):>9.3f}")
    return 0 if mean(recalls) >= RECALL_TARGET and mean(scores) >= F1_TARGET else 1


if __name__ == "__main__":
    sys.exit(main())

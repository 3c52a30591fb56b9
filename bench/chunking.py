"""Measures the chunk path against the straightforward one: CPU time and peak memory per format and language.

`python bench/chunking.py [--kinds txt pdf] [--megabytes 8] [--runs 3] [--large-megabytes 1000]`

The chunk path: formats.read, units.cut, chunk.parts, their lines; from a file to a file. The straightforward
one (bench/straightforward.py) runs in an environment of its own, .local/bench. Each run is a process;
starting it, importing what every format needs and loading tokenizers is not counted, loading parsers is,
from modules that a run on a small file has compiled. The inputs are made of Debian's manuals (manuals.py),
about 1 MB in English and in Japanese each.
"""

import argparse
import csv
import html
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import manuals
import memory

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".local/bench"
NOVA = "us.amazon.nova-lite-v1:0"
CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
GPT = "openai.gpt-oss-20b-1:0"
MODELS = (NOVA, CLAUDE, GPT)
STREAMED = ("txt", "md", "jsonl", "csv")
KINDS = (*STREAMED, "html", "docx", "pdf")
MAX_TOKENS = 1_000
# Those that are measured as PDF, and for a file of less than this to warm up with.
SMALL = 100_000
MANUALS = {
    "en": ("debian-reference-en", "usr/share/debian-reference/debian-reference.en"),
    "ja": ("debian-reference-ja", "usr/share/debian-reference/debian-reference.ja"),
    "small en": ("maint-guide", "usr/share/doc/maint-guide/maint-guide.en"),
    "small ja": ("maint-guide-ja", "usr/share/doc/maint-guide-ja/maint-guide.ja"),
}


def paragraphs(language: str, size: int) -> Iterator[str]:
    """Yield paragraphs of about so many bytes in all: the manuals' own, again and again."""
    done = 0
    for text in itertools.cycle(manuals.paragraphs(language)):
        if done >= size:
            return
        done += len(text.encode()) + 2
        yield text


def write_text(path: Path, language: str, size: int) -> None:
    path.write_text("\n\n".join(paragraphs(language, size)), "utf-8")


def write_markdown(path: Path, language: str, size: int) -> None:
    with path.open("w", encoding="utf-8") as out:
        for number, text in enumerate(paragraphs(language, size)):
            if number % 10 == 0:
                out.write(f"## Section {number}\n\n")
            out.write(f"{text}\n\n" if number % 4 else f"- {text}\n")


def rows(language: str, size: int) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(paragraphs(language, size)):
        yield {"id": number, "city": "Osaka", "price": number * 1.25, "note": text}


def write_json_lines(path: Path, language: str, size: int) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(language, size))


def write_csv(path: Path, language: str, size: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, ["id", "city", "price", "note"])
        writer.writeheader()
        writer.writerows(rows(language, size))


def write_html(path: Path, language: str, size: int) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.write("<!doctype html><html><head><title>Bench</title><style>p{margin:0}</style></head><body>")
        for number, text in enumerate(paragraphs(language, size)):
            if number % 10 == 0:
                out.write(f"<h2>Section {number}</h2>\n")
            out.write(f'<p class="text">{html.escape(text)} <a href="/{number}">more <b>here</b></a></p>\n')
        out.write("</body></html>")


def write_docx(path: Path, language: str, size: int) -> None:
    from docx import Document

    document = Document()
    for number, text in enumerate(paragraphs(language, size)):
        if number % 10 == 0:
            document.add_heading(f"Section {number}", 1)
        document.add_paragraph(text)
    document.save(str(path))


def copy_manual(path: Path, language: str, size: int) -> None:
    """Take a manual as it is, to warm up with a small one."""
    package, stem = MANUALS[language] if size > SMALL else MANUALS[f"small {language}"]
    path.write_bytes(manuals.content(manuals.fetch(package) / stem, "pdf"))


# How to write a format, and how many bytes of text for each megabyte that is asked for.
WRITERS: dict[str, tuple[Callable[[Path, str, int], None], float]] = {
    "txt": (write_text, 1),
    "md": (write_markdown, 1),
    "jsonl": (write_json_lines, 1),
    "csv": (write_csv, 1),
    "html": (write_html, 0.5),
    "docx": (write_docx, 0.25),
    "pdf": (copy_manual, 1),
}


def own(kind: str, path: Path, model: str) -> None:
    """Run the chunk path in this process and print what it took."""
    from batchline import chunk, formats, tokens, units
    from batchline.formats import isolated
    from batchline.pipelines import Pipeline

    by_row = kind in {"jsonl", "csv"}
    pipeline = Pipeline.model_validate(
        {
            "model": model,
            "prompt": "Summarize this part of {{ document.name }}:\n{{ text }}",
            "chunk": {"by": "row"} if by_row else {"max_tokens": MAX_TOKENS},
            "inference": {"max_tokens": 512},
        }
    )
    if not by_row:
        tokens.count_tokens("warm", model)
    start = time.process_time()
    with path.open("rb") as file, path.with_suffix(".out").open("wb") as out:
        content = formats.read(file, path.name, size=path.stat().st_size, rows=by_row)
        found = chunk.parts("a" * 16, units.cut(content, pipeline), pipeline, {"name": path.name})

        def written(part: chunk.Part) -> tuple[int, int]:
            out.write(part.lines())
            return len(part.records), part.input_tokens

        # As in the stage, no part is held while the next one is made.
        number, tokens_in = map(sum, zip(*map(written, found), strict=True))
    isolated._SERVER.stop()  # noqa: SLF001 - what its children took is known when it has ended
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken = time.process_time() - start + children.ru_utime + children.ru_stime
    peak = max(memory.peak_bytes(), children.ru_maxrss * 1024)
    result = {"seconds": taken, "megabytes": peak / 2**20, "records": number, "tokens": tokens_in}
    print(json.dumps(result))


def straightforward() -> Path:
    """Make the environment of the straightforward pipeline and return its Python."""
    python = HOME / "straightforward/bin/python"
    uv = ROOT / ".venv/bin/uv"
    if not python.exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, python.parent.parent], check=True)
    lock = ROOT / "bench/straightforward.txt"
    subprocess.run([uv, "pip", "sync", "-q", "--require-hashes", "--python", python, lock], check=True)
    return python


def run(*command: object) -> dict[str, float]:
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(HOME / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [str(one) for one in command], check=True, capture_output=True, text=True, env=environment
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def compare(kind: str, language: str, size: int, runs: int, python: Path) -> None:
    """Print the least processor time of each of several runs, which take turns, and the most memory."""
    path = HOME / f"{language}.{kind}"
    write, share = WRITERS[kind]
    naive = (python, ROOT / "bench/straightforward.py", kind, path, path.with_suffix(".naive"))
    commands = [naive, *((sys.executable, __file__, "--own", kind, path, model) for model in MODELS)]
    write(path, language, 10_000)
    for command in commands:
        run(*command)
    write(path, language, int(size * share))
    taken = [[run(*command) for command in commands] for _ in range(runs)]
    seconds = [min(one["seconds"] for one in column) for column in zip(*taken, strict=True)]
    peaks = [max(one["megabytes"] for one in column) for column in zip(*taken, strict=True)]
    megabytes = path.stat().st_size / 1e6
    line = f"{kind:6}{language:4}{megabytes:7.1f} MB"
    for took, held in zip(seconds, peaks, strict=True):
        line += f" |{megabytes / took:8.2f} MB/s{seconds[0] / took:6.1f} x{held:6.0f} MB"
    print(line, flush=True)


def stream(kind: str, language: str, megabytes: int) -> None:
    """Print speed and memory for one large file, which is the small one again and again."""
    path = HOME / f"large-{language}.{kind}"
    block = (HOME / f"{language}.{kind}").read_bytes()
    head, rest = block.split(b"\n", 1) if kind == "csv" else (b"", block)
    with path.open("wb") as file:
        file.write(head + b"\n" * bool(head))
        for _ in range(megabytes * 10**6 // len(rest)):
            file.write(rest)
    result = run(sys.executable, __file__, "--own", kind, path, CLAUDE)
    read = path.stat().st_size / 1e6
    path.unlink()
    path.with_suffix(".out").unlink()
    print(
        f"{kind:6}{language:4}{read:7,.0f} MB |{read / result['seconds']:8.2f} MB/s"
        f"{result['megabytes']:6.0f} MB",
        flush=True,
    )


def main() -> None:
    if sys.argv[1:2] == ["--own"]:
        kind, name, model = sys.argv[2:]
        own(kind, Path(name), model)
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--megabytes", type=float, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large-megabytes", type=int, default=1_000)
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    python = straightforward()
    print(f"{'':20} | straightforward            | Nova: tokens weighed       ", end="")
    print("| Claude: tokens counted     | gpt-oss: tokens counted")
    for kind in options.kinds:
        for language in ("en", "ja"):
            compare(kind, language, int(options.megabytes * 1e6), options.runs, python)
    for kind in (one for one in options.kinds if one in STREAMED and options.large_megabytes):
        for language in ("en", "ja"):
            stream(kind, language, options.large_megabytes)


if __name__ == "__main__":
    main()

"""Every sample becomes records: each format, in both languages."""

from collections import Counter
from typing import Any

from tests import template
from tests.integration.world import World

SAMPLES = template.REPOSITORY / "samples"
# How many records each sample that is no plain text makes.
RECORDS = {
    "summary/reports/energy-report-2026.pdf": 1,
    "summary/reports/安全衛生報告 2026年9月.pdf": 1,
    "summary/people/onboarding-plan.docx": 1,
    "summary/slides/新製品発売計画.pptx": 1,
    "summary/mail/order-77120.eml": 1,
    "summary/notices/断水のお知らせ-sjis.txt": 1,
    "summary/logs/petrel-2026-10.txt.gz": 1,
    "summary/minutes-2026-10.zip": 0,
    "summary/minutes-2026-10.zip/board/2026-10-05.md": 1,
    "summary/minutes-2026-10.zip/店長会議/2026-10-07.md": 1,
    "rows/complaints-2026-10.xlsx": 4,
    "rows/pumping-stations.parquet": 4,
    "facts/recipes.json": 1,
    "pictures/harbour-market.png": 1,
}


def name(row: dict[str, Any]) -> str:
    source = row["source"]
    return "/".join([source["key"].removeprefix("inbox/"), *filter(None, [source.get("member")])])


def test_every_sample_becomes_records(world: World) -> None:
    for path in sorted((SAMPLES / "pipelines").iterdir()):
        world.upload(f"pipelines/{path.name}", path.read_bytes())
    world.deliver_all()
    paths = [one for one in sorted((SAMPLES / "inbox").rglob("*")) if one.is_file()]
    for path in paths:
        if path.parent.name != "novels":
            world.upload(path.relative_to(SAMPLES).as_posix(), path.read_bytes())
    world.deliver_all()
    rows = {name(row): row for row in world.documents()}
    assert Counter(row["status"] for row in rows.values()) == {"QUEUED": len(rows) - 1, "COMPLETED": 1}
    assert {key: rows[key]["records"] for key in RECORDS} == RECORDS
    assert all(row["records"] for key, row in rows.items() if not key.endswith(".zip"))

"""Answers of settled records: in their rows, or in the output that the row points to."""

from batchline import collect
from batchline.aggregate import Settled
from batchline.aws.dynamo import Row
from batchline.aws.objects import Work
from batchline.models import Failure
from batchline.pipelines import Pipeline


def settled(work: Work, row: Row, pipeline: Pipeline) -> Settled:
    """Read what became of a record from its row in the results table."""
    if error := row.get("error"):
        return Settled(row["record"], None, Failure(error["code"], error["message"]))
    if "output_ref" not in row:
        # A row holds no attribute for an answer that is `null`.
        return Settled(row["record"], row.get("output"), None)
    place = row["output_ref"]
    line = work.slice(place["key"], place["offset"], place["length"])
    answer = collect.read(line)
    if answer.vector is not None:
        return Settled(row["record"], answer.vector, None)
    text = answer.text or ""
    if pipeline.output is None:
        return Settled(row["record"], text, None)
    value, _ = pipeline.output.reader.read(text)
    return Settled(row["record"], value, None)

"""Pipelines, and the version of each that is in force."""

from collections.abc import Iterable, Iterator
from typing import Final

from batchline.aws import dynamo
from batchline.aws.control.keys import alone

SEQUENCER_LENGTH: Final = 64


class Versions(dynamo.Table):
    """Rows of the control table, by pipeline."""

    def current(self, pipeline: str) -> str | None:
        """Name the version of a pipeline that is in force. None: there is none yet."""
        row = dynamo.get(self.client, self.table, _key(pipeline))
        return row["version"] if row else None

    def in_force(self, pipelines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
        """Yield name, version and time of publication of pipelines, in no order."""
        keys = (_key(name) for name in pipelines)
        for row in dynamo.get_many(self.client, self.table, keys):
            yield row["pk"].partition("#")[2], row["version"], row["published_at"]

    def publish(self, pipeline: str, version: str, *, sequencer: str, at: str) -> bool:
        """Put a version of a pipeline in force, unless a later upload is. Tell whether it is now."""
        dynamo.write(self.client, dynamo.put(self.table, {"pk": "pipelines", "sk": pipeline}))
        order = sequencer.ljust(SEQUENCER_LENGTH, "0")
        request = dynamo.update(
            self.table,
            _key(pipeline),
            "SET #version = :version, #sequencer = :order, #published_at = :at",
            # The same sequencer is the same upload, come twice; LocalStack gives it to all of them.
            when="attribute_not_exists(#sequencer) OR #sequencer <= :order",
            values={"version": version, "order": order, "at": at},
        )
        written = dynamo.write(self.client, request)
        return written.done or (written.row is not None and written.row["version"] == version)

    def pipelines(self) -> list[str]:
        """Name all pipelines that have ever been in force."""
        rows = dynamo.query(self.client, self.table, "#pk = :pk", {"pk": "pipelines"})
        return [row["sk"] for row in rows]


def _key(pipeline: str) -> dict[str, str]:
    return alone(f"pipeline#{pipeline}")

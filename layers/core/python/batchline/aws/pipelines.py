"""Versions of pipelines: which one is in force, and what it says."""

from dataclasses import dataclass, field

from batchline import pipelines
from batchline.aws.control import Control
from batchline.aws.objects import Work
from batchline.pipelines import Pipeline


@dataclass(frozen=True, slots=True)
class Pipelines:
    """Every version that was ever in force. Versions never change, so they are read once."""

    control: Control
    work: Work
    _read: dict[tuple[str, str], Pipeline] = field(default_factory=dict)

    def current(self, name: str) -> str | None:
        """Name the version in force. None: the pipeline has not arrived yet."""
        return self.control.current(name)

    def get(self, name: str, version: str) -> Pipeline:
        if (name, version) not in self._read:
            self._read[name, version] = pipelines.load(self.work.get_pipeline(name, version))
        return self._read[name, version]

    def publish(self, name: str, pipeline: Pipeline, *, sequencer: str, at: str) -> bool:
        """Keep a version and put it in force. False: a later upload is in force already."""
        self.work.put_pipeline(name, pipeline.version, pipeline.dump())
        return self.control.publish(name, pipeline.version, sequencer=sequencer, at=at)

"""Versions of pipelines: which one is in force, and what it says."""

from dataclasses import dataclass, field

from batchline import pipelines
from batchline.aws.control import Control
from batchline.aws.objects import Work
from batchline.ids import MAP
from batchline.pipelines import Pipeline


@dataclass(frozen=True, slots=True)
class Pipelines:
    """Every version that was ever in force. Versions never change, so they are read once."""

    control: Control
    work: Work
    _read: dict[tuple[str, str], Pipeline] = field(default_factory=dict)

    def current(self, name: str) -> str | None:
        """Name the version in force. None: the pipeline has not arrived yet."""
        return self.control.versions.current(name)

    def get(self, name: str, version: str) -> Pipeline:
        if (name, version) not in self._read:
            self._read[name, version] = pipelines.load(self.work.get_pipeline(name, version))
        return self._read[name, version]

    def in_force(self, name: str) -> Pipeline | None:
        """Read the version in force. None: the pipeline has not arrived yet."""
        version = self.current(name)
        return self.get(name, version) if version else None

    def asking(self, name: str, version: str, stage: str) -> Pipeline:
        """Read a version as it asks for the records of a stage."""
        known = (name, f"{version} {stage}")
        if known not in self._read:
            pipeline = self.get(name, version)
            reducing = None if stage == MAP else pipeline.reducing
            self._read[known] = reducing or pipeline
        return self._read[known]

    def publish(self, name: str, pipeline: Pipeline, *, sequencer: str, at: str) -> bool:
        """Keep a version and put it in force. False: a later upload is in force already."""
        self.work.put_pipeline(name, pipeline.version, pipeline.dump())
        return self.control.versions.publish(name, pipeline.version, sequencer=sequencer, at=at)

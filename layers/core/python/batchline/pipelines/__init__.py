"""The pipeline file: what people say is to be done with their documents."""

from batchline.pipelines.hints import did_you_mean, ended
from batchline.pipelines.pipeline import NAME, Pipeline, load
from batchline.pipelines.reading import parse
from batchline.pipelines.templates import TEMPLATES

__all__ = ["NAME", "TEMPLATES", "Pipeline", "did_you_mean", "ended", "load", "parse"]

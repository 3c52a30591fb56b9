"""`python -m local`: the same commands as `batchline local`."""

from local.cli import app

app(prog_name="python -m local")

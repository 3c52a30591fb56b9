"""Runs the emulator: `python -m local.bedrock --port 4567`."""

import argparse
import logging
from collections.abc import Sequence

import uvicorn

from local.bedrock import server
from local.bedrock.settings import Settings


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until interrupted. Options override the BEDROCK_EMULATOR_* variables."""
    parser = argparse.ArgumentParser(prog="local.bedrock", description=__doc__)
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (4567)")
    parser.add_argument("--step-seconds", type=float, help="time between two states of a job (0.5)")
    parser.add_argument(
        "--manual-clock", action="store_true", default=None, help="time moves only on request"
    )
    parser.add_argument("--scenario", help="YAML file of faults, limits and guardrails")
    parser.add_argument("--model-endpoint", help="URL of an OpenAI-compatible server, up to /v1")
    parser.add_argument("--model-name", help="the model to ask that server for")
    parser.add_argument("--model-concurrency", type=int, help="requests to it at a time (4)")
    parser.add_argument("--seed", type=int, help="seed of the faults (0)")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    options = vars(parser.parse_args(argv))
    log_level = options.pop("log_level")
    settings = Settings(**{name: value for name, value in options.items() if value is not None})
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(name)s %(message)s")
    uvicorn.run(
        server.build(settings),
        host=settings.host,
        port=settings.port,
        log_level=log_level,
        access_log=log_level == "debug",
    )


if __name__ == "__main__":
    main()

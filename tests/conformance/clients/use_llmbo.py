"""Runs in the clients' environment: a batch of 100 prompts through llmbo-bedrock."""

import json
import sys

from llmbo import BatchInferer, ModelInput


def main(role: str, bucket: str, model: str, folder: str) -> None:
    batch = BatchInferer(
        model_name=model,
        bucket_name=bucket,
        region="us-east-1",
        job_name="llmbo-job",
        role_arn=role,
        output_dir=folder,
    )
    inputs = {
        f"R{number:04d}": ModelInput(
            messages=[{"role": "user", "content": f"Summarize:\n\nShip {number} reached the harbour."}],
            max_tokens=50,
        )
        for number in range(100)
    }
    results = batch.auto(inputs, poll_time_secs=1)
    answers = {line["recordId"]: line["modelOutput"]["content"][0]["text"] for line in results}
    json.dump({"status": batch.job_status, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Runs in the clients' environment: a Converse batch through any-llm-sdk, to its end and its results."""

import asyncio
import json
import sys

from any_llm import AnyLLM


async def main(role: str, bucket: str, model: str) -> None:
    llm = AnyLLM.create("bedrock", region_name="us-east-1")
    batch = await llm.acreate_batch(
        f"s3://{bucket}/any-llm/input.jsonl",
        "/v1/chat/completions",
        role_arn=role,
        output_s3_uri=f"s3://{bucket}/any-llm/output/",
        model_id=model,
        metadata={"app": "conformance"},
    )
    while batch.status in {"validating", "in_progress"}:
        await asyncio.sleep(0.2)
        batch = await llm.aretrieve_batch(batch.id)
    found = await llm.aretrieve_batch_results(batch.id)
    answers = {item.custom_id: item.result.choices[0].message.content for item in found.results}
    json.dump({"status": batch.status, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

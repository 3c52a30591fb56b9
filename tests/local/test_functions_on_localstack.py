"""Lambda functions as processes, and the events that reach them, on a running LocalStack."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_plus

import pytest

from tests.local.aws import Aws, unique, zipped
from tests.waiting import eventually

pytestmark = pytest.mark.localstack

PROBE = """
import os, sys, tempfile, time

started = time.monotonic()

def handler(event, context):
    print("event", event)
    match event:
        case {"sleep": seconds}:
            time.sleep(seconds)
        case {"allocate_mb": size}:
            held = bytearray(size << 20)
            time.sleep(5)
        case {"exit": code}:
            os._exit(code)
        case {"raise": message}:
            raise ValueError(message)
        case {"answer_bytes": size}:
            return "x" * size
        case {"write": text}:
            with open(os.path.join(tempfile.gettempdir(), "kept"), "a") as kept:
                kept.write(text)
            return open(kept.name).read()
        case {"echo": value}:
            return value
    return {
        "pid": os.getpid(),
        "left_ms": context.get_remaining_time_in_millis(),
        "request_id": context.aws_request_id,
        "environ": dict(os.environ),
    }
"""


@pytest.fixture(scope="module")
def probe(aws: Aws) -> str:
    return aws.function(PROBE, Timeout=2, Environment={"Variables": {"OWN": "value"}})


@pytest.fixture(scope="module", autouse=True)
def clock(aws: Aws) -> Iterator[str]:
    """A function that a rule calls every minute, made first and looked at last."""
    events = aws.client("events")
    function, rule = (
        aws.function("def handler(event, context): print('tick', event['detail-type'])"),
        unique("rule"),
    )
    rule_arn = events.put_rule(Name=rule, ScheduleExpression="rate(1 minute)")["RuleArn"]
    described = aws.functions.get_function(FunctionName=function)["Configuration"]
    aws.functions.add_permission(
        FunctionName=function,
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule_arn,
    )
    events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": described["FunctionArn"]}])
    yield function
    events.remove_targets(Rule=rule, Ids=["1"])
    events.delete_rule(Name=rule)


def test_success_tells_the_function_what_lambda_tells_it(aws: Aws, probe: str) -> None:
    invoked = aws.invoke(probe)
    environ = invoked.payload["environ"]
    assert invoked.error is None
    assert 1000 < invoked.payload["left_ms"] <= 2000
    assert environ["OWN"] == "value"
    assert environ["AWS_LAMBDA_FUNCTION_NAME"] == probe
    assert environ["AWS_REGION"] == "us-east-1"
    assert environ["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert environ["AWS_ENDPOINT_URL"] == aws.functions.meta.endpoint_url
    assert "LAMBDA_PROCESS_RUNTIMES" not in environ


def test_a_warm_process_is_used_again(aws: Aws, probe: str) -> None:
    assert aws.invoke(probe).payload["pid"] == aws.invoke(probe).payload["pid"]


def test_calls_at_the_same_time_have_processes_of_their_own(aws: Aws, probe: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(aws.invoke, probe, {"sleep": 1}) for _ in range(3)]
        pids = {one.result().payload["pid"] for one in slow}
    assert len(pids) == 3


def test_payloads_keep_their_text(aws: Aws, probe: str) -> None:
    value = {"文書": ["naïve", "a\nb", 1.5, None, "\U0001f600"]}
    assert aws.invoke(probe, {"echo": value}).payload == value


def test_a_large_payload_comes_back_whole(aws: Aws, probe: str) -> None:
    assert aws.invoke(probe, {"answer_bytes": 5 * 2**20}).payload == "x" * (5 * 2**20)


def test_an_answer_above_the_limit_is_an_error(aws: Aws, probe: str) -> None:
    invoked = aws.invoke(probe, {"answer_bytes": 6 * 2**20 + 200})
    assert invoked.payload["errorType"] == "Function.ResponseSizeTooLarge"


def test_an_exception_is_the_answer(aws: Aws, probe: str) -> None:
    invoked = aws.invoke(probe, {"raise": "no such page"})
    assert invoked.error == "Unhandled"
    assert invoked.payload["errorType"] == "ValueError"
    assert invoked.payload["errorMessage"] == "no such page"
    assert "[ERROR] ValueError: no such page" in invoked.log


def test_the_time_limit_ends_the_process_and_the_next_call_gets_another(aws: Aws, probe: str) -> None:
    before = aws.invoke(probe).payload["pid"]
    invoked = aws.invoke(probe, {"sleep": 60})
    after = aws.invoke(probe)
    assert invoked.payload["errorType"] == "Sandbox.Timedout"
    assert invoked.payload["errorMessage"].endswith("Task timed out after 2.00 seconds")
    assert "Status: timeout" in invoked.log
    assert after.payload["pid"] != before
    assert "Init Duration" in after.log


def test_too_much_memory_ends_the_process(aws: Aws, probe: str) -> None:
    invoked = aws.invoke(probe, {"allocate_mb": 400})
    assert invoked.payload["errorType"] == "Runtime.ExitError"
    assert invoked.payload["errorMessage"].endswith("signal: killed")
    assert "Runtime.OutOfMemory" in invoked.log


def test_an_exit_is_told_with_its_code(aws: Aws, probe: str) -> None:
    invoked = aws.invoke(probe, {"exit": 7})
    assert invoked.payload["errorMessage"].endswith("Runtime exited with error: exit status 7")
    assert aws.invoke(probe).error is None


def test_a_module_that_does_not_load_is_an_init_error_each_time(aws: Aws) -> None:
    function = aws.function("import nothing_of_this_name\ndef handler(event, context): pass")
    for _ in range(2):
        invoked = aws.invoke(function)
        assert invoked.error == "Unhandled"
        assert invoked.payload["errorType"] == "Runtime.ImportModuleError"
        assert "nothing_of_this_name" in invoked.payload["errorMessage"]


def test_a_module_that_loads_slowly_has_the_time_of_the_first_invocation_too(aws: Aws) -> None:
    function = aws.function("import time\ntime.sleep(10.5)\ndef handler(event, context): return 'late'")
    assert aws.invoke(function).payload == "late"


def test_the_log_has_lambdas_lines_around_the_functions(aws: Aws, probe: str) -> None:
    invoked = aws.invoke(probe, {"echo": "日本"})
    lines = invoked.log.splitlines()
    request_id = lines[0].split()[2]
    assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
    assert lines[1] == "event {'echo': '日本'}"
    assert lines[2] == f"END RequestId: {request_id}"
    assert re.match(
        rf"REPORT RequestId: {request_id}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\t"
        r"Memory Size: 256 MB\tMax Memory Used: \d+ MB\t",
        lines[3],
    )


def test_the_log_reaches_cloudwatch(aws: Aws, probe: str) -> None:
    marker = unique("marker")
    aws.invoke(probe, {"echo": marker})
    eventually(lambda: marker in aws.log_of(probe))


def test_temporary_files_stay_with_the_process(aws: Aws) -> None:
    function, other = aws.function(PROBE), aws.function(PROBE)
    assert aws.invoke(function, {"write": "a"}).payload == "a"
    assert aws.invoke(function, {"write": "b"}).payload == "ab"
    assert aws.invoke(other, {"write": "c"}).payload == "c"


def test_layers_lie_over_each_other_in_their_order(aws: Aws) -> None:
    def layer(files: dict[str, str]) -> str:
        published = aws.functions.publish_layer_version(
            LayerName=unique("layer"), Content={"ZipFile": zipped(files)}
        )
        arn: str = published["LayerVersionArn"]
        return arn

    first = layer({"python/first.py": "NAME = 'first'", "python/both.py": "NAME = 'first'"})
    second = layer(
        {
            "python/lib/python3.13/site-packages/second.py": "NAME = 'second'",
            "python/both.py": "NAME = 'second'",
        }
    )
    function = aws.function(
        "import both, first, second\n"
        "def handler(event, context): return [first.NAME, second.NAME, both.NAME]",
        Layers=[first, second],
    )
    assert aws.invoke(function).payload == ["first", "second", "second"]


def test_new_code_is_used_after_an_update(aws: Aws) -> None:
    function = aws.function("def handler(event, context): return 1")
    assert aws.invoke(function).payload == 1
    aws.functions.update_function_code(
        FunctionName=function,
        ZipFile=zipped({"app.py": "def handler(event, context): return 2"}),
    )
    eventually(lambda: aws.invoke(function).payload == 2)


def test_a_queue_feeds_a_function_and_bad_messages_end_in_the_dead_letters(aws: Aws) -> None:
    dead_letters, dead_letters_arn = aws.queue()
    queue, queue_arn = aws.queue(
        VisibilityTimeout="2",
        RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": 2}),
    )
    function = aws.function(
        "def handler(event, context):\n"
        "    failed = []\n"
        "    for record in event['Records']:\n"
        "        print('took', record['body'])\n"
        "        if record['body'].startswith('bad'):\n"
        "            failed.append({'itemIdentifier': record['messageId']})\n"
        "    return {'batchItemFailures': failed}",
        Timeout=2,
    )
    mapping = aws.functions.create_event_source_mapping(
        FunctionName=function,
        EventSourceArn=queue_arn,
        BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    bodies = ["good-1", "bad-1", "good-2"]
    aws.queues.send_message_batch(
        QueueUrl=queue,
        Entries=[{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)],
    )
    assert aws.receive(dead_letters) == ["bad-1"]
    log = eventually(lambda: "took good-2" in (log := aws.log_of(function)) and log)
    aws.functions.delete_event_source_mapping(UUID=mapping["UUID"])
    assert log.count("took good-1") == log.count("took good-2") == 1
    assert log.count("took bad-1") == 2


def test_an_upload_is_told_to_a_queue(aws: Aws) -> None:
    objects, bucket, (queue, queue_arn) = aws.client("s3"), unique("bucket"), aws.queue()
    objects.create_bucket(Bucket=bucket)
    objects.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": queue_arn,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "inbox/"}]}},
                }
            ]
        },
    )
    key = "inbox/a b+c%d/契約.txt"
    objects.put_object(Bucket=bucket, Key="elsewhere.txt", Body=b"")
    objects.put_object(Bucket=bucket, Key=key, Body=b"text")
    uploads: list[dict[str, Any]] = []

    def uploaded() -> bool:
        for body in aws.receive(queue):
            # S3 first sends a test event without records.
            uploads.extend(json.loads(body).get("Records", []))
        return bool(uploads)

    eventually(uploaded)
    assert [unquote_plus(one["s3"]["object"]["key"]) for one in uploads] == [key]


def test_a_rule_passes_on_the_events_that_fit(aws: Aws) -> None:
    events, (queue, queue_arn), rule = aws.client("events"), aws.queue(), unique("rule")
    name = unique("job")
    events.put_rule(
        Name=rule,
        EventPattern=json.dumps(
            {
                "source": ["aws.bedrock"],
                "detail": {"status": ["Completed"], "batchJobName": [{"prefix": name}]},
            }
        ),
    )
    events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": queue_arn}])
    sent = events.put_events(
        Entries=[
            {
                "Source": "aws.bedrock",
                "DetailType": "Batch Inference Job State Change",
                "Detail": json.dumps({"status": status, "batchJobName": f"{name}-1"}),
            }
            for status in ("InProgress", "Completed")
        ]
    )
    assert sent["FailedEntryCount"] == 0
    received = [json.loads(body) for body in aws.receive(queue)]
    assert [one["detail"]["status"] for one in received] == ["Completed"]
    assert received[0]["source"] == "aws.bedrock"


def test_a_rule_with_a_rate_fires(aws: Aws, clock: str) -> None:
    eventually(lambda: "tick Scheduled Event" in aws.log_of(clock), seconds=90)

"""What `sam validate` cannot know: that the parts of the template fit each other and the code."""

import json
import re
import tomllib
from collections.abc import Iterator
from operator import attrgetter
from typing import Any
from urllib.parse import unquote_plus

import pytest
from batchline import settings

from tests import template

FUNCTIONS = template.resources("AWS::Serverless::Function")
QUEUES = template.resources("AWS::SQS::Queue")
TABLES = template.resources("AWS::DynamoDB::Table")
BUCKETS = template.resources("AWS::S3::Bucket")
ALARMS = template.resources("AWS::CloudWatch::Alarm")
WORK_QUEUES = sorted(name for name in QUEUES if not name.endswith("DeadLetters"))
SOURCES = {
    (function, event["Properties"]["Queue"]["Fn::GetAtt"][0]): event["Properties"]
    for function, properties in FUNCTIONS.items()
    for event in properties["Events"].values()
    if event["Type"] == "SQS"
}

ENDPOINTS = {"AWS_ENDPOINT_URL_BEDROCK", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"}
REACHES_BEDROCK = {"Submit", "Invoke", "Collect", "Reconcile"}

# These actions know no resources, so IAM demands "*".
WITHOUT_RESOURCE = {"bedrock:ListModelInvocationJobs"}

KEYS = {
    "Documents": ["document_id"],
    "Results": ["document_id", "record"],
    "Jobs": ["job_id"],
    "Costs": ["scope", "entry"],
    "Control": ["pk", "sk"],
}
INDEXES = {
    "Documents": {"by_day": ["day_key", "day_order"], "attention": ["problem", "received_at"]},
    "Results": {},
    "Jobs": {"by_status": ["status", "created_at"]},
    "Costs": {},
    "Control": {},
}


def statements(function: str) -> list[dict[str, Any]]:
    return [one for policy in FUNCTIONS[function]["Policies"] for one in policy["Statement"]]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


def granted(function: str, service: str) -> set[str]:
    """The logical ids that a function's statements of one service name."""
    resources = [
        resource
        for statement in statements(function)
        if any(action.startswith(f"{service}:") for action in listed(statement["Action"]))
        for resource in listed(statement["Resource"])
    ]
    return {
        re.sub(r"^\$\{(\w+)\.Arn\}.*", r"\1", leaf)
        for resource in resources
        for leaf in list(leaves(resource))[:1]
    }


def names(function: str, suffix: str) -> set[str]:
    return {
        variable["Ref"] for name, variable in template.environment(function).items() if name.endswith(suffix)
    }


def key_names(schema: list[dict[str, str]]) -> list[str]:
    assert [key["KeyType"] for key in schema] == ["HASH", "RANGE"][: len(schema)]
    return [key["AttributeName"] for key in schema]


# --- functions


def test_every_function_has_its_folder() -> None:
    folders = {path.parent for path in template.REPOSITORY.glob("functions/*/app.py")}
    assert {template.REPOSITORY / one["CodeUri"] for one in FUNCTIONS.values()} == folders


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_gets_just_what_its_settings_read(function: str) -> None:
    shared = set(settings.Shared.model_fields)
    expected = {name.upper() for name in set(getattr(settings, function).model_fields) - shared}
    assert set(template.environment(function)) - ENDPOINTS == expected
    common = template.load()["Globals"]["Function"]["Environment"]["Variables"]
    assert {name.upper() for name in shared} <= set(common)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_functions_that_call_bedrock_get_its_endpoint(function: str) -> None:
    endpoints = ENDPOINTS & set(template.environment(function))
    assert endpoints == (ENDPOINTS if function in REACHES_BEDROCK else set())
    for name in endpoints:
        assert template.environment(function)[name] == {
            "Fn::If": ["HasBedrockEndpoint", {"Ref": "BedrockEndpoint"}, {"Ref": "AWS::NoValue"}]
        }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_logs_have_an_end(function: str) -> None:
    group = FUNCTIONS[function]["LoggingConfig"]["LogGroup"]["Ref"]
    assert group == f"{function}Logs"
    groups = template.resources("AWS::Logs::LogGroup")
    assert groups[group] == {"RetentionInDays": {"Ref": "LogRetentionDays"}}


def test_no_document_reaches_the_logs_through_powertools() -> None:
    variables = template.load()["Globals"]["Function"]["Environment"]["Variables"]
    switches = ("LOGGER_LOG_EVENT", "TRACER_CAPTURE_RESPONSE", "TRACER_CAPTURE_ERROR")
    assert [variables[f"POWERTOOLS_{name}"] for name in switches] == ["false"] * 3


# --- permissions


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_statement_is_wider_than_its_action_needs(function: str) -> None:
    for statement in statements(function):
        actions = set(listed(statement["Action"]))
        assert not [action for action in actions if "*" in action]
        if "*" in listed(statement["Resource"]):
            assert actions <= WITHOUT_RESOURCE


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("service", "suffix"), [("sqs", "_QUEUE"), ("dynamodb", "_TABLE")])
def test_a_function_may_use_what_it_knows_and_nothing_else(function: str, service: str, suffix: str) -> None:
    assert granted(function, service) == names(function, suffix)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_functions_that_call_bedrock_may(function: str) -> None:
    actions = {one for statement in statements(function) for one in listed(statement["Action"])}
    assert any(one.startswith("bedrock:") for one in actions) == (function in REACHES_BEDROCK)


@pytest.mark.parametrize("function", sorted({name for name in FUNCTIONS if name != "Chunk"}))
def test_only_chunk_reads_uploads(function: str) -> None:
    assert granted(function, "s3") == names(function, "_BUCKET")
    assert "Inbox" not in granted(function, "s3")


def test_bedrock_gets_the_role_and_nobody_else() -> None:
    passing = [
        (function, statement)
        for function in FUNCTIONS
        for statement in statements(function)
        if "iam:PassRole" in listed(statement["Action"])
    ]
    assert [function for function, _ in passing] == ["Submit"]
    statement = passing[0][1]
    assert statement["Resource"] == {"Fn::GetAtt": ["BedrockRole", "Arn"]}
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}


# --- queues


@pytest.mark.parametrize("queue", WORK_QUEUES)
def test_a_poison_message_ends_in_a_queue_with_an_alarm(queue: str) -> None:
    dead_letters = f"{queue}DeadLetters"
    assert QUEUES[queue]["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_letters, "Arn"]},
        "maxReceiveCount": 5,
    }
    assert QUEUES[dead_letters]["MessageRetentionPeriod"] == 14 * 24 * 60 * 60
    alarm = ALARMS[f"{dead_letters}Alarm"]
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert alarm["Dimensions"] == [
        {"Name": "QueueName", "Value": {"Fn::GetAtt": [dead_letters, "QueueName"]}}
    ]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


@pytest.mark.parametrize("metric", ["LanePaused", "StuckDocuments", "JobsWaitingTooLong"])
def test_what_reconcile_counts_has_an_alarm_of_this_stack_alone(metric: str) -> None:
    alarm = ALARMS[f"{metric}Alarm"]
    variables = template.load()["Globals"]["Function"]["Environment"]["Variables"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (variables["POWERTOOLS_METRICS_NAMESPACE"], metric)
    assert alarm["Dimensions"] == [
        {"Name": "service", "Value": variables["POWERTOOLS_SERVICE_NAME"]},
        {"Name": "function", "Value": {"Ref": "Reconcile"}},
    ]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    source = (template.REPOSITORY / "functions/reconcile/app.py").read_text(encoding="utf-8")
    assert f'add_metric("{metric}"' in source
    assert 'add_dimension("function"' in source


def test_every_queue_is_encrypted_with_the_key_of_sqs() -> None:
    assert all(queue["SqsManagedSseEnabled"] is True for queue in QUEUES.values())


def test_every_queue_has_one_reader() -> None:
    assert sorted(queue for _, queue in SOURCES) == WORK_QUEUES


@pytest.mark.parametrize(("function", "queue"), SOURCES)
def test_a_message_stays_hidden_while_its_function_runs(function: str, queue: str) -> None:
    assert QUEUES[queue]["VisibilityTimeout"] >= FUNCTIONS[function]["Timeout"] + 60


@pytest.mark.parametrize("source", SOURCES.values(), ids=[queue for _, queue in SOURCES])
def test_a_source_reports_single_failures_and_is_bounded(source: dict[str, Any]) -> None:
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["BatchSize"] <= 10 or source["MaximumBatchingWindowInSeconds"] >= 1
    mapping, size, function = source["ScalingConfig"]["MaximumConcurrency"]["Fn::FindInMap"]
    assert size == {"Ref": "Size"}
    for allowed in template.load()["Parameters"]["Size"]["AllowedValues"]:
        assert 2 <= template.load()["Mappings"][mapping][allowed][function] <= 1000


# --- data


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_the_keys_that_the_code_uses(table: str) -> None:
    properties = TABLES[table]
    assert key_names(properties["KeySchema"]) == KEYS[table]
    indexes = properties.get("GlobalSecondaryIndexes", [])
    assert {one["IndexName"]: key_names(one["KeySchema"]) for one in indexes} == INDEXES[table]
    assert all(one["Projection"] == {"ProjectionType": "KEYS_ONLY"} for one in indexes)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_paid_by_use_encrypted_and_backed_up(table: str) -> None:
    properties = TABLES[table]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["SSESpecification"] == {"SSEEnabled": True}
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["TimeToLiveSpecification"] == {
        "AttributeName": "expires_at",
        "Enabled": True,
    }


@pytest.mark.parametrize("name", [*TABLES, *BUCKETS])
def test_data_outlives_the_stack(name: str) -> None:
    resource = template.load()["Resources"][name]
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_is_private(bucket: str) -> None:
    access = BUCKETS[bucket]["PublicAccessBlockConfiguration"]
    assert len(access) == 4
    assert all(value is True for value in access.values())
    policy = template.resources("AWS::S3::BucketPolicy")[f"{bucket}Policy"]
    assert policy["Bucket"] == {"Ref": bucket}
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert set(leaves(statement["Resource"])) == {bucket, "Arn", f"${{{bucket}.Arn}}/*"}


def test_an_upload_can_be_read_as_it_was_when_its_event_was_sent() -> None:
    assert BUCKETS["Inbox"]["VersioningConfiguration"] == {"Status": "Enabled"}
    rules = BUCKETS["Inbox"]["LifecycleConfiguration"]["Rules"]
    kept = [rule["NoncurrentVersionExpiration"] for rule in rules if "Noncurrent" in str(rule)]
    # Two weeks in the queue and two weeks more among the dead letters.
    assert [one["NoncurrentDays"] >= 28 for one in kept] == [True]


# --- deployment


def test_every_parameter_is_described_and_bounded() -> None:
    for name, parameter in template.load()["Parameters"].items():
        assert parameter["Description"].endswith("."), name
        assert {"AllowedValues", "AllowedPattern", "MinValue"} & set(parameter), name
        assert "Default" in parameter, name


def test_two_stacks_fit_in_one_account() -> None:
    fixed = {"BucketName", "FunctionName", "LogGroupName", "QueueName", "RoleName", "TableName"}
    for name, resource in template.load()["Resources"].items():
        properties = resource.get("Properties", {})
        assert not fixed & set(properties), name
        assert resource["Type"].startswith("AWS::Serverless::") or "Name" not in properties, name


def test_outputs_name_all_that_people_and_tests_use() -> None:
    values = {name: one["Value"] for name, one in template.load()["Outputs"].items()}
    assert values == (
        {f"{name}Bucket": {"Ref": name} for name in BUCKETS}
        | {f"{name}Table": {"Ref": name} for name in TABLES}
        | {name: {"Ref": name} for name in WORK_QUEUES}
    )


def test_samconfig_sets_parameters_that_exist() -> None:
    config = tomllib.loads((template.REPOSITORY / "samconfig.toml").read_text(encoding="utf-8"))
    parameters = template.load()["Parameters"]
    given = [
        dict(pair.split("=", 1) for pair in command["parameters"]["parameter_overrides"].split())
        for command in config["local"].values()
        if "parameter_overrides" in command["parameters"]
    ]
    assert [one["Architecture"] for one in given] == ["x86_64", "x86_64"]
    for one in given:
        assert set(one) <= set(parameters)
        assert re.fullmatch(parameters["BedrockEndpoint"]["AllowedPattern"], one.get("BedrockEndpoint", ""))


def test_the_layer_is_built_from_the_lock() -> None:
    layer = template.load()["Resources"]["DependenciesLayer"]
    requirements = template.REPOSITORY / layer["Properties"]["ContentUri"] / "requirements.txt"
    assert requirements.resolve() == template.REPOSITORY / "requirements" / "layer.txt"
    assert layer["Metadata"]["BuildArchitecture"] == {"Ref": "Architecture"}


def test_each_processor_has_a_makefile_of_the_layer() -> None:
    layer = template.load()["Resources"]["DependenciesLayer"]
    processors = template.load()["Parameters"]["Architecture"]["AllowedValues"]
    for processor in processors:
        folder = layer["Metadata"]["ContextPath"]["Fn::Sub"].replace("${Architecture}", processor)
        lines = (template.REPOSITORY / folder / "Makefile").read_text().splitlines()
        assert lines == [f"ARCHITECTURE := {processor}", "include Makefile"]


# --- events


def event(name: str) -> Any:
    return json.loads((template.REPOSITORY / "events" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((template.REPOSITORY / "events").iterdir()), ids=attrgetter("name"))
def test_an_event_comes_from_a_source_of_its_function(path: Any) -> None:
    found = event(path.name)
    function = path.stem.split("-")[0].capitalize()
    kinds = {one["Type"]: one for one in FUNCTIONS[function]["Events"].values()}
    if "Records" not in found:
        assert found["detail-type"] == "Scheduled Event"
        assert "Schedule" in kinds
        return
    (queue,) = [queue for reader, queue in SOURCES if reader == function]
    assert len(found["Records"]) <= kinds["SQS"]["Properties"]["BatchSize"]
    for record in found["Records"]:
        assert queue in record["eventSourceARN"]
        json.loads(record["body"])


def test_every_trigger_has_an_event() -> None:
    covered = {
        (
            path.stem.split("-")[0].capitalize(),
            "SQS" if "Records" in event(path.name) else "Schedule",
        )
        for path in (template.REPOSITORY / "events").iterdir()
    }
    assert covered == {
        (function, one["Type"])
        for function, properties in FUNCTIONS.items()
        for one in properties["Events"].values()
    }


def test_an_upload_with_a_japanese_name() -> None:
    (message,) = event("chunk-japanese-key.json")["Records"]
    (upload,) = json.loads(message["body"])["Records"]
    key = upload["s3"]["object"]["key"]
    assert key.isascii()
    assert unquote_plus(key) == "inbox/summary/契約書/業務委託 2026年度.txt"


def test_the_event_of_bedrock_passes_the_rule() -> None:
    pattern = template.resources("AWS::Events::Rule")["BatchJobEnded"]["EventPattern"]
    (message,) = event("collect-bedrock-event.json")["Records"]
    found = json.loads(message["body"])
    assert found["source"] in pattern["source"]
    assert found["detail-type"] in pattern["detail-type"]
    assert found["detail"]["status"] in pattern["detail"]["status"]
    # The rule's prefix is Submit's JOB_PREFIX with a hyphen, as in the names of the jobs.
    prefix = template.environment("Submit")["JOB_PREFIX"]
    assert pattern["detail"]["batchJobName"] == [{"prefix": {"Fn::Join": ["", [prefix, "-"]]}}]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-z]{12}", found["detail"]["batchJobName"])


# --- who may use models

USES_MODELS = {
    # A cross-Region profile needs the profile here and its model in each of its Regions.
    "arn:${AWS::Partition}:bedrock:*::foundation-model/*",
    "arn:${AWS::Partition}:bedrock:${AWS::Region}:${AWS::AccountId}:inference-profile/*",
    "arn:${AWS::Partition}:bedrock:${AWS::Region}:${AWS::AccountId}:application-inference-profile/*",
    "arn:${AWS::Partition}:bedrock:${AWS::Region}:${AWS::AccountId}:custom-model/*",
}
JOBS_ARN = "arn:${AWS::Partition}:bedrock:${AWS::Region}:${AWS::AccountId}:model-invocation-job/*"


def allowed(function: str, action: str) -> list[dict[str, Any]]:
    """The statements of a function's policies that allow an action."""
    statements = [one for policy in FUNCTIONS[function]["Policies"] for one in policy["Statement"]]
    return [one for one in statements if action in leaves(one["Action"])]


def resources_of(statement: dict[str, Any]) -> set[str]:
    return {one["Fn::Sub"] for one in statement["Resource"]}


def test_single_calls_may_use_every_kind_of_model() -> None:
    (statement,) = allowed("Invoke", "bedrock:InvokeModel")
    assert resources_of(statement) == USES_MODELS


def test_batch_jobs_may_be_created_for_every_kind_of_model() -> None:
    (statement,) = allowed("Submit", "bedrock:CreateModelInvocationJob")
    assert resources_of(statement) == USES_MODELS | {JOBS_ARN}


def test_bedrocks_role_may_use_every_kind_of_model() -> None:
    role = template.resources("AWS::IAM::Role")["BedrockRole"]
    (policy,) = role["Policies"]
    (statement,) = [
        one for one in policy["PolicyDocument"]["Statement"] if one["Action"] == "bedrock:InvokeModel"
    ]
    assert resources_of(statement) == USES_MODELS
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "bedrock.amazonaws.com"}
    assert trust["Condition"]["ArnLike"] == {"aws:SourceArn": {"Fn::Sub": JOBS_ARN}}


def test_only_submit_hands_the_role_on_and_only_to_bedrock() -> None:
    (statement,) = allowed("Submit", "iam:PassRole")
    assert statement["Resource"] == {"Fn::GetAtt": ["BedrockRole", "Arn"]}
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}
    assert [name for name in FUNCTIONS if allowed(name, "iam:PassRole")] == ["Submit"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_reads_what_is_known_of_the_account(function: str) -> None:
    resources = [one["Resource"] for one in allowed(function, "s3:GetObject")]
    assert [{"Fn::Sub": f"${{Work.Arn}}/{name}.json"} for name in ("limits", "prices")] in resources

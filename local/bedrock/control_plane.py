"""The operations of service `bedrock`: batch jobs, tags, models and inference profiles."""

import base64
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from local.bedrock import catalog
from local.bedrock.clock import Clock
from local.bedrock.errors import ApiError, invalid, not_found
from local.bedrock.jobs import TERMINAL, Job, JobStore, Status, new_id
from local.bedrock.lifecycle import Runner
from local.bedrock.throttle import Meter
from local.bedrock.wire import Call, Caller, Reply, parse_time, render

_MOST_TAGS = 50
_DEFAULT_PAGE = 100
_TERMINAL_OR_STOPPING = TERMINAL | {Status.STOPPING}


class ControlPlane:
    """Handlers by operation name: each takes a checked Call and returns its answer's members."""

    def __init__(self, store: JobStore, runner: Runner, clock: Clock, meter: Meter) -> None:
        self._store = store
        self._runner = runner
        self._clock = clock
        self._meter = meter
        self._entropy = random.SystemRandom()
        self.handlers: Mapping[str, Callable[[Call], dict[str, Any]]] = {
            "CreateModelInvocationJob": self.create_job,
            "GetFoundationModel": self.get_model,
            "GetInferenceProfile": self.get_profile,
            "GetModelInvocationJob": self.get_job,
            "ListFoundationModels": self.list_models,
            "ListInferenceProfiles": self.list_profiles,
            "ListModelInvocationJobs": self.list_jobs,
            "ListTagsForResource": self.list_tags,
            "StopModelInvocationJob": self.stop_job,
            "TagResource": self.tag,
            "UntagResource": self.untag,
        }

    def answer(self, call: Call) -> Reply:
        """Answer one call; ThrottlingException above the operation's rate, where one is set."""
        rate = self._runner.limits.control_requests_per_minute
        if rate is not None:
            self._meter.begin((call.caller, call.operation), 0, requests_limit=rate, tokens_limit=None)
        return render(self.handlers[call.operation](call))

    def create_job(self, call: Call) -> dict[str, Any]:
        request = dict(call.parameters)
        earlier = self._store.by_token(call.caller, request.get("clientRequestToken"))
        if earlier is not None:
            # "If this token matches a previous request, Amazon Bedrock ignores the request, but does not
            # return an error": whatever else the request says.
            # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_CreateModelInvocationJob.html
            return {"jobArn": earlier.arn}
        model = catalog.invocable(request["modelId"], batch=True)
        if "EMBEDDING" in model.outputs and request.get("modelInvocationType") == "Converse":
            raise invalid("This action doesn't support the model that you provided.")
        tags = _tags(request.get("tags", []))
        if self._store.by_name(call.caller, request["jobName"]) is not None:
            raise invalid("The provided job name is currently in use.")
        self._require_slot(call.caller, model)
        now = self._clock.now()
        job = Job(
            job_id=self._new_id(),
            owner=call.caller,
            request=request,
            model_id=request["modelId"],
            status=Status.SUBMITTED,
            submitted=now,
            modified=now,
            tags=tags,
        )
        self._store.save(job)
        self._runner.start(job)
        return {"jobArn": job.arn}

    def _new_id(self) -> str:
        while (job_id := new_id(self._entropy)) in self._store:
            pass
        return job_id

    def _require_slot(self, caller: Caller, model: catalog.Model) -> None:
        """Count what is submitted and in progress for a base model, whatever profile names it."""
        limit = self._runner.limits.max_jobs_per_model
        active = sum(
            job.status not in TERMINAL and catalog.invocable(job.model_id, batch=True) == model
            for job in self._store.owned(caller)
        )
        if active >= limit:
            raise ApiError(
                "ServiceQuotaExceededException",
                f"You have reached the limit of {limit} in-progress and submitted batch inference "
                f"jobs for {model.name}. Wait for a job to end or request a quota increase.",
            )

    def get_job(self, call: Call) -> dict[str, Any]:
        return self._store.find(call.caller, call.parameters["jobIdentifier"]).members()

    def stop_job(self, call: Call) -> dict[str, Any]:
        job = self._store.find(call.caller, call.parameters["jobIdentifier"])
        if job.status in _TERMINAL_OR_STOPPING:
            raise ApiError(
                "ConflictException",
                f"The job cannot be stopped because its status is {job.status}.",
            )
        self._runner.stop(job)
        return {}

    def list_jobs(self, call: Call) -> dict[str, Any]:
        wanted = call.parameters
        after, before = wanted.get("submitTimeAfter"), wanted.get("submitTimeBefore")
        earliest = parse_time(after, "submitTimeAfter") if after else None
        latest = parse_time(before, "submitTimeBefore") if before else None
        found = [
            job
            for job in self._store.owned(call.caller)
            if wanted.get("statusEquals") in {None, job.status.value}
            and wanted.get("nameContains", "") in job.name
            and (earliest is None or job.submitted > earliest)
            and (latest is None or job.submitted < latest)
        ]
        newest_first = wanted.get("sortOrder", "Descending") == "Descending"
        found.sort(key=lambda job: (job.submitted, job.job_id), reverse=newest_first)
        page, token = _page(found, wanted, lambda job: job.job_id)
        return {"invocationJobSummaries": [job.members() for job in page], "nextToken": token}

    def list_tags(self, call: Call) -> dict[str, Any]:
        job = self._tagged(call)
        return {"tags": [{"key": key, "value": value} for key, value in job.tags.items()]}

    def tag(self, call: Call) -> dict[str, Any]:
        job = self._tagged(call)
        tags = {**job.tags, **_tags(call.parameters["tags"])}
        if len(tags) > _MOST_TAGS:
            raise ApiError("TooManyTagsException", f"A resource can have at most {_MOST_TAGS} tags.")
        self._store.save(replace(job, tags=tags))
        return {}

    def untag(self, call: Call) -> dict[str, Any]:
        job = self._tagged(call)
        dropped = set(call.parameters["tagKeys"])
        tags = {key: value for key, value in job.tags.items() if key not in dropped}
        self._store.save(replace(job, tags=tags))
        return {}

    def _tagged(self, call: Call) -> Job:
        arn = call.parameters["resourceARN"]
        if not arn.startswith("arn:"):
            raise not_found(f"Could not find resource {arn}")
        return self._store.find(call.caller, arn)

    def list_models(self, call: Call) -> dict[str, Any]:
        wanted = call.parameters
        found = [
            model.summary(call.caller.region)
            for model in catalog.models()
            if wanted.get("byProvider", model.provider).lower() == model.provider.lower()
            and wanted.get("byOutputModality", model.outputs[0]) in model.outputs
        ]
        kind = wanted.get("byInferenceType")
        if kind is not None:
            found = [summary for summary in found if kind in summary["inferenceTypesSupported"]]
        customization = wanted.get("byCustomizationType")
        if customization is not None:
            found = [s for s in found if customization in s["customizationsSupported"]]
        return {"modelSummaries": found}

    def get_model(self, call: Call) -> dict[str, Any]:
        model = catalog.foundation_model(call.parameters["modelIdentifier"])
        return {"modelDetails": model.summary(call.caller.region)}

    def list_profiles(self, call: Call) -> dict[str, Any]:
        found = catalog.profiles(call.caller.region, call.caller.account)
        if call.parameters.get("typeEquals", "SYSTEM_DEFINED") != "SYSTEM_DEFINED":
            found = []
        page, token = _page(found, call.parameters, lambda profile: profile["inferenceProfileId"])
        return {"inferenceProfileSummaries": page, "nextToken": token}

    def get_profile(self, call: Call) -> dict[str, Any]:
        identifier = call.parameters["inferenceProfileIdentifier"]
        return catalog.profile(identifier, call.caller.region, call.caller.account)


def _tags(given: list[dict[str, str]]) -> dict[str, str]:
    keys = [tag["key"] for tag in given]
    if len(set(keys)) != len(keys):
        raise invalid("Tag keys must be unique.")
    if any(key.lower().startswith("aws:") for key in keys):
        raise invalid("Tag keys must not begin with aws:.")
    return {tag["key"]: tag["value"] for tag in given}


def _page[T](
    items: list[T], wanted: Mapping[str, Any], key: Callable[[T], str]
) -> tuple[list[T], str | None]:
    """Return one page and the token of the next. A token holds the filters that it was made for."""
    filters = {name: wanted[name] for name in sorted(wanted) if name not in {"nextToken", "maxResults"}}
    start = 0
    if "nextToken" in wanted:
        last = _opened(wanted["nextToken"], filters)
        start = next((at for at, item in enumerate(items, start=1) if key(item) == last), len(items))
    page = items[start : start + wanted.get("maxResults", _DEFAULT_PAGE)]
    if start + len(page) >= len(items):
        return page, None
    token = orjson.dumps([key(page[-1]), filters])
    return page, base64.urlsafe_b64encode(token).decode()


def _opened(token: str, filters: Mapping[str, Any]) -> str:
    try:
        last, made_for = orjson.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, TypeError) as error:
        raise invalid("The provided nextToken is invalid.") from error
    if not isinstance(last, str) or made_for != filters:
        raise invalid("The provided nextToken is invalid.")
    return last

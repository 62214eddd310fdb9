"""Jobs: a case of each method whose request has an id."""

from __future__ import annotations

from tests.e2e.contexts.request_ids.api import Api, Case

CHART = {"chart": {"kind": "bar", "title": "once", "series": [{"name": "s", "x": ["a", "b"], "y": [1, 2]}]}}
PLAN = {
    "version": "1.0",
    "tasks": [{"task_id": "a", "step_type": "generate_diagram", "task_type": "chart", "params": CHART}],
}
FAILING = {
    "version": "1.0",
    "tasks": [{"task_id": "a", "step_type": "generate_image", "task_type": "image_photo", "params": {"prompt": "a"}}],
}


def job(api: Api) -> Case:
    read = ("executor.v1.JobService.ListJobs", {"page_size": 1})
    return Case(
        {"plan": PLAN},
        {"plan": PLAN, "session_id": "other"},
        "job_id",
        read,
        lambda answer: api.follow(answer["job_id"]),
    )


def cancelled_job(api: Api) -> Case:
    made = api("executor.v1.JobService.SubmitJob", {"plan": PLAN})["job_id"]
    read = ("executor.v1.JobService.ListJobs", {"page_size": 1})
    return Case(
        {"job_id": made, "reason": "one"},
        {"job_id": made, "reason": "other"},
        "job_id",
        read,
        lambda _: api.follow(made),
    )


def resumed_job(api: Api) -> Case:
    made = api("executor.v1.JobService.SubmitJob", {"plan": FAILING})["job_id"]
    other = api("executor.v1.JobService.SubmitJob", {"plan": FAILING})["job_id"]
    for each in (made, other):
        api.follow(each)
    read = ("executor.v1.JobService.DescribeJob", {"job_id": other})
    return Case({"job_id": made}, {"job_id": other}, "job_id", read, lambda answer: api.follow(answer["job_id"]))


CASES = {
    "executor.v1.JobService.SubmitJob": job,
    "executor.v1.JobService.CancelJob": cancelled_job,
    "executor.v1.JobService.ResumeJob": resumed_job,
}

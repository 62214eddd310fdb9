"""Rubrics and evaluations: a case of each method whose request has an id."""

from __future__ import annotations

import os

from tests.e2e.assets.request_ids import content
from tests.e2e.contexts.request_ids.api import Api, Case, Json

RUBRIC = {"display_name": "once", "asset_type": "audio", "criteria": [{"dimension": "clarity", "weight": 1}]}


def rubric(api: Api) -> Case:
    other = {**RUBRIC, "display_name": "other"}
    read = ("critic.v1.RubricService.ListRubrics", {"asset_type": "audio"})
    return Case({"rubric": RUBRIC}, {"rubric": other}, "rubric_id", read)


def changed_rubric(api: Api) -> Case:
    id_ = api("critic.v1.RubricService.CreateRubric", {"rubric": RUBRIC})["rubric_id"]

    def named(name: str) -> Json:
        return {"rubric_id": id_, "rubric": {**RUBRIC, "display_name": name}}

    return Case(
        named("one"), named("other"), "rubric_id", ("critic.v1.RubricService.GetRubric", {"rubric_id": id_}),
        lambda _: api("critic.v1.RubricService.UpdateRubric", named("later")),
    )  # fmt: skip


def evaluation(api: Api) -> Case:
    ids = [str(api("assets.v1.AssetService.UploadAsset", content(os.urandom(300).hex()))["asset_id"]) for _ in "ab"]
    read = ("critic.v1.CriticService.ListEvaluations", {"asset_id": ids[0]})
    return Case({"asset_id": ids[0]}, {"asset_id": ids[1]}, "evaluation_id", read)


CASES = {
    "critic.v1.CriticService.Evaluate": evaluation,
    "critic.v1.RubricService.CreateRubric": rubric,
    "critic.v1.RubricService.UpdateRubric": changed_rubric,
}

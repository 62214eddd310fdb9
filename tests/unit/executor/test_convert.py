"""Messages made of the domain: an object without entries is sent as an empty object, never left out."""

from __future__ import annotations

from soma_providers.port import Artefact
from svc_executor.adapters.peers.assets import _messages
from svc_executor.adapters.peers.selector import _request
from svc_executor.domain.job import Execution, SelectedCapability
from svc_executor.domain.peers import SelectionRequest, Upload
from svc_executor.domain.timeline import JobDescription
from svc_executor.rpc.convert import description_to_proto, execution_to_proto
from tests.unit.executor.test_large_params import JOB

CAPABILITY = SelectedCapability("chat@local", "chat", "local", "chat")
EXECUTION = Execution("e", JOB.job_id, "write", 0, 1, "generate_text", "text", CAPABILITY, "s", "k")


def test_an_attempt_without_parameters_has_empty_params() -> None:
    message = execution_to_proto(EXECUTION, {})
    assert message.HasField("params")
    assert not message.params.fields


def test_a_description_has_the_plan_and_the_params_also_when_they_are_empty() -> None:
    description = description_to_proto(JobDescription(JOB, {}, [], [EXECUTION], [], []))
    assert description.HasField("plan")
    assert description.executions[0].HasField("params")


def test_a_selection_request_without_parameters_has_empty_params() -> None:
    request = _request(SelectionRequest("j", "write", 1, "r", "text", "text_chat"))
    assert request.requirements.HasField("params")


def test_an_upload_without_metadata_has_empty_metadata() -> None:
    upload = Upload(Artefact(b"x", "text/plain", "x.txt", "text"), "r", "j", "write", "e")
    assert next(_messages(upload)).HasField("metadata")

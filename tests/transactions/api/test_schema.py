"""OpenAPI description: valid, complete, and the same for every caller."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from django.core.management import call_command
from django.test import Client as Web
from drf_spectacular.validation import validate_schema

from providers.status import Status
from transactions.api.currencies import CURRENCIES
from transactions.api.problems import PROBLEMS, problem_type
from webhooks.incoming.authentication import TOLERANCE

pytestmark = pytest.mark.django_db

WITHOUT_KEY = {"read_description", "receive_webhook", "receive_webhook_by_token"}
OPERATIONS = {
    "GET /v1/endpoint": "read_endpoint",
    "POST /v1/endpoint/enable": "enable_endpoint",
    "GET /v1/schema": "read_description",
    "GET /v1/transactions": "list_transactions",
    "POST /v1/transactions": "accept_transaction",
    "GET /v1/transactions/{id}": "read_transaction",
    "GET /v1/transactions/{id}/events": "list_events",
    "POST /v1/transactions/{id}/notifications": "repeat_notification",
    "POST /webhooks/{provider}": "receive_webhook",
    "POST /webhooks/{provider}/{id}/{token}": "receive_webhook_by_token",
}


@pytest.fixture(scope="module")
def described() -> Any:
    return json.loads(Web().get("/v1/schema", headers={"Accept": "application/json"}).content)


@pytest.fixture
def operations(described: Any) -> dict[str, Any]:
    """Return all operations by their ids."""
    return {found["operationId"]: found for path in described["paths"].values() for found in path.values()}


@pytest.fixture
def order(described: Any) -> Any:
    """Return the schema of the body of `POST /v1/transactions`."""
    return described["components"]["schemas"]["NewTransaction"]


def test_the_description_needs_no_key():
    answer = Web().get("/v1/schema")

    assert answer.status_code == 200
    assert answer.json()["openapi"] == "3.1.0"
    assert b"openapi: 3.1.0" in Web().get("/v1/schema", headers={"Accept": "application/yaml"}).content


@pytest.mark.parametrize("version", ["9", "a\nb", "\x00"])
def test_no_parameter_changes_it(version):
    answer = Web().get("/v1/schema", {"version": version})

    assert answer.content == Web().get("/v1/schema").content


def test_it_is_valid_openapi(described):
    validate_schema(described)


def test_its_generator_emits_no_warning(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))


def test_it_describes_every_operation(described):
    found = {
        f"{method.upper()} {path}": operation["operationId"]
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    assert found == OPERATIONS


def test_every_operation_has_a_summary_and_a_description(operations):
    for operation in operations.values():
        assert operation["summary"][0].isupper() and operation["description"].endswith("."), operation
        assert all(parameter["description"] for parameter in operation.get("parameters", []))
        assert all(answer["description"] for answer in operation["responses"].values())


def test_every_operation_declares_whether_it_needs_a_key(operations):
    for id_, operation in operations.items():
        assert operation.get("security", []) == ([] if id_ in WITHOUT_KEY else [{"apiKey": []}])


def test_every_operation_with_a_key_lists_the_errors_of_keys_and_rate_limits(operations):
    for id_ in operations.keys() - WITHOUT_KEY:
        assert operations[id_]["responses"].keys() >= {"400", "401", "403", "406", "429", "500", "503"}


def test_every_refusal_is_a_problem_with_an_example(operations):
    for operation in operations.values():
        for status, answer in operation["responses"].items():
            if status >= "400":
                [(kind, content)] = answer["content"].items()
                assert (kind, content["schema"]["$ref"]) == ("application/problem+json", "#/components/schemas/Problem")
                assert [example["value"]["status"] for example in content["examples"].values()] == [int(status)]


def contents(found: Any) -> Iterator[Any]:
    """Yield every part of the description that has a schema and examples."""
    if isinstance(found, dict):
        if "schema" in found and ("examples" in found or "example" in found):
            yield found
        for inner in found.values():
            yield from contents(inner)


def test_every_example_is_valid(described):
    found = list(contents(described["paths"])) + list(contents(described["webhooks"]))

    assert len(found) > 60
    for content in found:
        schema = content["schema"] | {"components": described["components"]}
        shown = [content["example"]] if "example" in content else [one["value"] for one in content["examples"].values()]
        for example in shown:
            jsonschema.validate(example, schema, format_checker=jsonschema.FormatChecker())


def test_it_lists_every_kind_of_problem(described):
    assert described["components"]["schemas"]["ProblemType"]["enum"] == [problem_type(slug) for slug in PROBLEMS]


def test_a_problem_has_the_members_of_rfc_9457_and_field_errors(described):
    problem = described["components"]["schemas"]["Problem"]

    assert set(problem["properties"]) == {"type", "title", "status", "detail", "instance", "errors"}
    assert set(problem["required"]) == {"type", "title", "status", "detail", "instance"}


@pytest.mark.parametrize(
    ("status", "header"),
    [("202", "Location"), ("200", "Idempotent-Replayed"), ("401", "WWW-Authenticate"), ("429", "Retry-After"),
     ("503", "Retry-After")],
)  # fmt: skip
def test_a_response_has_its_header(operations, status, header):
    assert operations["accept_transaction"]["responses"][status]["headers"][header]["required"]


@pytest.mark.parametrize("status", ["200", "202"])
def test_a_response_has_no_header_of_another(operations, status):
    assert len(operations["accept_transaction"]["responses"][status]["headers"]) == 1


def test_a_header_may_give_the_id(operations, order):
    [header] = operations["accept_transaction"]["parameters"]

    assert (header["in"], header["name"], header.get("required", False)) == ("header", "Idempotency-Key", False)
    assert set(order["required"]) == {"amount", "currency"}


def test_it_describes_the_rules_of_every_field(described, order):
    fields = order["properties"]

    assert set(fields) == {"id", "amount", "currency", "provider", "reference", "metadata"}
    assert (fields["id"]["minLength"], fields["id"]["maxLength"]) == (1, 64)
    assert (fields["amount"]["format"], fields["amount"]["minimum"], fields["amount"]["maximum"]) == (
        "int64",
        1,
        10**15,
    )
    assert set(described["components"]["schemas"]["Currency"]["enum"]) == CURRENCIES
    assert fields["reference"]["maxLength"] == 255
    assert (fields["metadata"]["maxProperties"], fields["metadata"]["additionalProperties"]["type"]) == (50, "string")
    assert order["additionalProperties"] is False


def test_it_lists_the_filters(operations):
    named = [parameter["name"] for parameter in operations["list_transactions"]["parameters"]]

    assert named == ["status", "provider", "created_after", "created_before", "limit", "cursor"]


def test_it_describes_the_notifications_to_a_clients_endpoint(described):
    sent = described["webhooks"]["transaction"]["post"]

    assert [header["name"] for header in sent["parameters"]] == ["webhook-id", "webhook-timestamp", "webhook-signature"]
    assert sent["requestBody"]["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/Notification"
    assert set(sent["responses"]) == {"2XX", "410", "429", "503"}


def test_its_static_parts_agree_with_the_code(described, operations):
    schemas = described["components"]["schemas"]
    timestamp = next(one for one in operations["receive_webhook"]["parameters"] if one["name"] == "webhook-timestamp")

    assert schemas["Notification"]["properties"]["type"]["enum"] == [f"transaction.{status}" for status in Status]
    assert set(schemas["FieldError"]["properties"]) == {"field", "code", "detail"}
    assert f"at most {TOLERANCE} s" in timestamp["description"]

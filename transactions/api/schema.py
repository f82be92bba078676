"""The API's description (OpenAPI 3.1): what each operation says of itself, and what they have in common."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from transactions.api.bodies import ProblemBody, problem_example
from transactions.api.problems import PROBLEMS

View = TypeVar("View", bound=Callable[..., Any])

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER = {"type": "integer", "minimum": 1}
ANYWHERE = ("invalid", "not-acceptable", "internal-error", "unavailable")
"""The problems that every operation may answer."""
WITH_A_KEY = ("not-authenticated", "key-disabled", "too-many-requests")
"""The problems that every operation with an API key may answer as well."""


def _answer_header(name: str, type_: Mapping[str, Any], statuses: list[int], description: str) -> OpenApiParameter:
    return OpenApiParameter(
        name, dict(type_), OpenApiParameter.HEADER, required=True, response=statuses, description=description
    )


HEADERS = (
    _answer_header("WWW-Authenticate", {"type": "string"}, [401], "The scheme to authenticate by."),
    _answer_header("Retry-After", RETRY_AFTER, [429, 503], "Seconds after which to send the same again."),
)


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its metaclass registers it
    target_class = "transactions.api.auth.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key of a client"}


def problem_answers(*slugs: str) -> dict[tuple[int, str], OpenApiResponse]:
    """The answers that these kinds of problem are, by status and content type."""
    return {
        (PROBLEMS[slug].status, PROBLEM_JSON): OpenApiResponse(
            ProblemBody, PROBLEMS[slug].title, [problem_example(slug)]
        )
        for slug in slugs
    }


def describe(
    operation_id: str,
    summary: str,
    *,
    answers: Mapping[Any, OpenApiResponse],
    problems: Sequence[str] = (),
    parameters: Sequence[Any] = (),
    request: Any = None,
    tag: str = "Transactions",
    with_key: bool = True,
) -> Callable[[View], View]:
    """The description of an operation; its docstring is part of it. `problems` are its own, beside those of all."""
    slugs = (*ANYWHERE, *(WITH_A_KEY if with_key else ()), *problems)
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        tags=[tag],
        request=request,
        responses={**answers, **problem_answers(*sorted(slugs, key=lambda slug: PROBLEMS[slug].status))},
        parameters=[*parameters, *HEADERS],
        auth=None if with_key else [],
    )


def close_bodies(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular, for what it cannot see: unknown fields are refused, and a header can give the id."""
    body = result["components"]["schemas"]["NewTransaction"]
    body["additionalProperties"] = False
    body["required"].remove("id")
    body["properties"]["id"]["type"] = ["string", "null"]
    return result


@lru_cache
def description() -> Any:
    """Made once a process: it is the same for everybody, and anybody may ask."""
    return SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]  # it has no hints


class Description(APIView):
    """`/v1/schema`, which needs no key."""

    authentication_classes = []
    permission_classes = []
    renderer_classes = [OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer, OpenApiYamlRenderer2]

    @describe(
        "read_description",
        "Read this description",
        answers={200: OpenApiResponse(OpenApiTypes.OBJECT, "An OpenAPI 3.1 document.")},
        tag="Description",
        with_key=False,
    )
    def get(self, request: Request) -> Response:
        """As JSON, or as YAML where `Accept` asks for it."""
        return Response(description())

"""A short Schemathesis run: all responses match the OpenAPI schema. `make schemathesis` is the long run."""

import pytest

from devstack.stack import Stack
from tests.schema.run import explore, make_mallory, make_providers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def variables(stack: Stack) -> dict[str, str]:
    return make_providers(stack)


def test_responses_with_an_api_key_match_the_schema(stack: Stack, variables: dict[str, str]):
    keys = stack.api_key, make_mallory(stack)

    assert explore(stack, variables, keys=keys, examples=15, seed=1) > 400


def test_responses_without_an_api_key_match_the_schema(stack: Stack, variables: dict[str, str]):
    assert explore(stack, variables, keys=None, examples=5, seed=1) > 400

"""Schemathesis finds no request for which the service does not do what its description says: the short run.

`make schemathesis` is the long one.
"""

import pytest

from devstack.stack import Stack
from tests.schema.run import explore, make_mallory, make_providers


@pytest.fixture(scope="module")
def variables(stack: Stack) -> dict[str, str]:
    return make_providers(stack)


def test_with_an_api_key_the_service_does_what_its_description_says(stack: Stack, variables: dict[str, str]):
    keys = stack.api_key, make_mallory(stack)

    assert explore(stack, variables, keys=keys, examples=15, seed=1) > 400


def test_without_an_api_key_it_does_so_too(stack: Stack, variables: dict[str, str]):
    assert explore(stack, variables, keys=None, examples=5, seed=1) > 400

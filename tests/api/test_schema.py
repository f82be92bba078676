import json

import pytest
from django.test import Client as Web

pytestmark = pytest.mark.django_db


def test_it_describes_itself_without_a_key():
    answer = Web().get("/v1/schema")

    assert answer.status_code == 200
    assert b"openapi: 3.1.0" in answer.content


def test_it_describes_every_address_of_the_client_api():
    described = json.loads(Web().get("/v1/schema", headers={"Accept": "application/json"}).content)

    assert set(described["paths"]) >= {
        "/v1/transactions",
        "/v1/transactions/{id}",
        "/v1/transactions/{id}/events",
        "/v1/transactions/{id}/notifications",
    }

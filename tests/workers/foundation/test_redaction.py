"""Masking of secrets in texts."""

import pytest

from workers.foundation.redaction import mask_all

ID = "01890000-0000-7000-8000-000000000001"
DATABASE = """Traceback (most recent call last):
psycopg2.errors.NotNullViolation: null value in column "x"
DETAIL:  Failing row contains (1, hunter2
hunter2, 3).

The above exception was the direct cause of the following exception:
django.db.utils.IntegrityError: null value in column "x"
DETAIL:  Failing row contains (1, hunter2
hunter2, 3)."""


@pytest.mark.parametrize(
    "text",
    [
        f"/webhooks/third/{ID}/hunter2",
        f"POST http://relay.example/webhooks/third/{ID}/hunter2 failed",
        f"/WEBHOOKS/third//{ID}//hunter2",
        "/webhooks/third/hunter2",
        "https://shop.example/hook?token=hunter2&a=b",
        "GET /v1/transactions?cursor=hunter2#hunter2",
        "https://shop.example/hook#hunter2",
        "https://user:hunter2@shop.example/hook",
        "cannot connect to amqp://user:hunter2@broker.example:5672",
        "postgresql://hunter2@/relay?host=/run",
        "Authorization: Bearer hunter2",
        "authorization=hunter2, x",
        "{'Cookie': 'sessionid=hunter2'}",
        '{"X-Api-Key": "hunter2", "a": 1}',
        "bearer hunter2",
        "whsec_hunter2hunter2",
        "the key txk_12345678hunter2",
        "relation \"x\" does not exist\nLINE 1: SELECT 1 FROM x WHERE a = 'hunter2'\n                      ^",
        "duplicate key\nDETAIL:  Key (name)=(hunter2) already exists.\nHINT:  hunter2",
        DATABASE,
    ],
)
def test_a_secret_is_masked(text):
    masked = mask_all(text)

    assert "hunter2" not in masked and "***" in masked


@pytest.mark.parametrize("digest", ["0" * 64, "abcdef0123456789" * 4, "ABCDEF0123456789" * 4])
def test_a_digest_is_masked_wherever_it_is(digest):
    assert digest not in mask_all(f"token {digest}, {digest}")


@pytest.mark.parametrize(
    "text",
    [
        f"A run crashed: {ID}",
        "https://third.example/transactions/1 answered 500",
        "/webhooks/third",
        "The key txk_12345678 was created",
        "is it a/b? No",
        "Missing or unknown API key",
        "Give a token, or a secret.",
        "0" * 63,
    ],
)
def test_other_text_is_unchanged(text):
    assert mask_all(text) == text


def test_the_cause_of_a_database_error_is_kept():
    masked = mask_all(DATABASE)

    assert masked.count("DETAIL: ***") == 2 and "IntegrityError: null value in column" in masked

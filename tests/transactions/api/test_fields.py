"""Rules of each field. `wrong_fields` and `refused` assert that a refused request stores nothing."""

import json

import pytest
from django.db import IntegrityError

from tests.cast import order
from tests.transactions.api.callers import LEFT_OUT, content, refused, wrong_fields
from transactions.models import Transaction
from transactions.store import accept

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

UNSTORABLE = ["\x00", "a\x00b", "\ud800", "\udc00b", "ab\ud83d"]


@pytest.mark.parametrize("id_", ["a", "0", ":", "A-z_0.9:x", "x" * 64, "...", ".a", "..:", "a..", "." * 64])
def test_it_accepts_an_id_of_1_to_64_allowed_characters(api, id_):
    assert api.post(id=id_).json()["id"] == id_


@pytest.mark.parametrize("id_", ["", "x y", " x", "x\n", "\n", "x/y", "x?y", "é", "x%20", "٣", "{}"])
def test_it_refuses_an_id_with_other_characters(api, id_):
    assert wrong_fields(api.post(id=id_)) == [("id", "invalid")]


@pytest.mark.parametrize("id_", [".", "..", ".\n"])
def test_it_refuses_an_id_that_url_clients_remove(api, id_):
    assert wrong_fields(api.post(id=id_)) == [("id", "invalid")]
    assert wrong_fields(api.send(b'{"amount": 1, "currency": "EUR"}', Idempotency_Key=id_)) == [("id", "invalid")]


@pytest.mark.parametrize("id_", [".", "..", "a/b", "x y", "", "a\n"])
def test_the_database_refuses_what_the_api_refuses(alice, third, id_):
    with pytest.raises(IntegrityError, match="transaction_client_ref"):
        accept(client=alice.settings, order=order(third.settings, client_ref=id_))


@pytest.mark.parametrize("id_", ["x" * 65, "x" * 1000])
def test_it_refuses_an_id_that_is_too_long(api, id_):
    assert wrong_fields(api.post(id=id_)) == [("id", "length")]


@pytest.mark.parametrize("id_", [1, 1.5, True, [], {}, ["a"]])
def test_it_refuses_an_id_that_is_not_a_string(api, id_):
    assert wrong_fields(api.post(id=id_)) == [("id", "type")]


@pytest.mark.parametrize("id_", [LEFT_OUT, None])
def test_it_requires_an_id(api, id_):
    assert wrong_fields(api.post(id=id_)) == [("id", "required")]


def test_it_lists_all_invalid_fields(api):
    assert wrong_fields(api.post(id="x y", amount=0, currency="eur")) == [
        ("id", "invalid"), ("amount", "range"), ("currency", "invalid"),
    ]  # fmt: skip


def test_it_lists_all_missing_fields(api):
    missing = wrong_fields(api.send(b"{}"))

    assert sorted(missing) == [("amount", "required"), ("currency", "required"), ("id", "required")]


@pytest.mark.parametrize(
    "key", ["x" * 65, "x y", "é", "", '"', '""', '"a', 'a"', '"".""', '"a\\"b"', '"a";b=c', '"a", "b"', "'a'"]
)
def test_the_header_follows_the_rules_of_the_id(api, key):
    [(field, _)] = wrong_fields(api.send(b'{"amount": 1, "currency": "EUR"}', Idempotency_Key=key))

    assert field == "id"


@pytest.mark.parametrize("amount", [1, 10**15])
def test_it_accepts_an_amount_from_1_to_10_to_the_15(api, amount):
    assert api.post(amount=amount).json()["amount"] == amount
    assert Transaction.objects.get().amount == amount


@pytest.mark.parametrize("amount", ["0", "-1", "-0", "1000000000000001", "1" + "0" * 16, "9" * 400])
def test_it_refuses_an_amount_out_of_range(api, amount):
    answer = api.send(f'{{"id": "a", "amount": {amount}, "currency": "EUR"}}')

    assert wrong_fields(answer) == [("amount", "range")]


@pytest.mark.parametrize("amount", ["1.5", "1.0", "1e3", "1E0", "1e999", '"1"', '""', "true", "false", "[1]", "{}"])
def test_it_refuses_an_amount_that_is_not_an_integer(api, amount):
    answer = api.send(f'{{"id": "a", "amount": {amount}, "currency": "EUR"}}')

    assert wrong_fields(answer) == [("amount", "type")]


@pytest.mark.parametrize("field", ["amount", "currency"])
def test_it_refuses_null_for_required_fields(api, field):
    assert wrong_fields(api.post(**{field: None})) == [(field, "null")]


@pytest.mark.parametrize("currency", ["EUR", "JPY", "XAU", "ZWG"])
def test_it_accepts_a_code_of_iso_4217(api, currency):
    assert api.post(currency=currency).json()["currency"] == currency


@pytest.mark.parametrize("currency", ["eur", "Eur", "ZZZ", "EU", "", "€", "DEM", "EU\n", "978"])
def test_it_refuses_an_unknown_currency_code(api, currency):
    assert wrong_fields(api.post(currency=currency)) == [("currency", "invalid")]


@pytest.mark.parametrize("currency", ["EURO", "EUR\n", "EUR "])
def test_it_refuses_a_currency_that_is_too_long(api, currency):
    assert wrong_fields(api.post(currency=currency)) == [("currency", "length")]


@pytest.mark.parametrize("slug", ["nobody", "THIRD", "third ", "", "x" * 50])
def test_it_refuses_an_unknown_provider(api, slug):
    assert wrong_fields(api.post(provider=slug)) == [("provider", "unknown")]


@pytest.mark.parametrize("reference", ["", " ", "x" * 255, "é" * 255, "𝄞 €", "a\nb\t", "<b>", "{id}", "%s", "\\u0000"])
def test_it_returns_the_reference_unchanged(api, reference):
    assert api.post(reference=reference).json()["reference"] == (reference or None)
    assert Transaction.objects.get().reference == reference


def test_it_refuses_a_reference_that_is_too_long(api):
    assert wrong_fields(api.post(reference="x" * 256)) == [("reference", "length")]


@pytest.mark.parametrize("field", ["currency", "provider", "reference"])
@pytest.mark.parametrize("value", [1, True, [], {"a": "b"}])
def test_it_refuses_other_types_for_text(api, field, value):
    assert wrong_fields(api.post(**{field: value})) == [(field, "type")]


@pytest.mark.parametrize("text", UNSTORABLE)
@pytest.mark.parametrize("field", ["id", "currency", "provider", "reference"])
def test_it_refuses_text_that_the_database_cannot_store(api, field, text):
    assert wrong_fields(api.post(**{field: text})) == [(field, "unstorable")]


@pytest.mark.parametrize("text", UNSTORABLE)
def test_it_refuses_metadata_that_the_database_cannot_store(api, text):
    assert wrong_fields(api.post(metadata={"key": text})) == [("metadata", "invalid")]
    assert wrong_fields(api.post(metadata={text: "value"})) == [("metadata", "invalid")]


@pytest.mark.parametrize(
    "metadata",
    [{}, {"": ""}, {"a.b": "𝄞"}, {"id": "x", "__proto__": "y"}, {str(n): "" for n in range(50)}, {"k": "x" * 4088}],
)
def test_it_returns_metadata_unchanged(api, metadata):
    api.post(metadata=metadata)

    assert api.get("/order-1").json()["metadata"] == metadata


@pytest.mark.parametrize(
    "metadata",
    [
        "text", 1, True, [], ["a"], [["a", "b"]],
        {"a": 1}, {"a": 1.5}, {"a": True}, {"a": None}, {"a": []}, {"a": {}}, {"a": {"b": "c"}},
        {str(n): "" for n in range(51)},
    ],
)  # fmt: skip
def test_it_refuses_metadata_that_is_not_a_flat_object_of_at_most_50_strings(api, metadata):
    assert wrong_fields(api.post(metadata=metadata)) == [("metadata", "invalid")]


@pytest.mark.parametrize("metadata", [{"k": "x" * 4089}, {"k": "é" * 2045}, {"k" * 4090: ""}])
def test_it_refuses_metadata_of_more_than_4_kib(api, metadata):
    assert wrong_fields(api.post(metadata=metadata)) == [("metadata", "invalid")]


@pytest.mark.parametrize("name", ["status", "webhook_url", "Amount", "amount ", "", "\ud800", "\x00", "x" * 1000])
def test_it_refuses_an_unknown_field(api, name):
    assert wrong_fields(api.send(json.dumps(content(**{name: 1})))) == [(name[:64], "unknown")]


def test_it_refuses_nested_metadata_of_any_depth(api):
    for depth in (2, 100, 500, *range(700, 1000, 3), 5000):  # at about 900, Python can parse it but not serialise it
        nested = '{"a":' * depth + "1" + "}" * depth
        answer = api.send(f'{{"id": "a", "amount": 1, "currency": "EUR", "metadata": {nested}}}')
        refused(answer, 400, "invalid")


def test_it_lists_all_errors_at_once(api):
    answer = api.send(json.dumps(content(amount="12", currency="eur", extra=1)))

    assert sorted(name for name, _ in wrong_fields(answer)) == ["amount", "currency", "extra"]

"""Forms that are too large or incomplete: client errors, never server errors."""

import pytest
from django.test import Client as Web

from tests.asgi import Body, ask
from tests.transactions.api.callers import LARGEST

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

LOGIN = "/admin/login/"
FORMS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
every_form = pytest.mark.parametrize("form", FORMS)


def post(body: Body, form: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(LOGIN, {"Content-Type": form, **named}, body)[0]


@every_form
@pytest.mark.parametrize("length", [{"Content_Length": str(LARGEST + 1)}, {"Transfer_Encoding": "chunked"}])
def test_a_form_of_more_than_64_kib_is_refused(form, length):
    assert post(Body([b"x" * (LARGEST + 1)]), form, **length) in (400, 403)


@every_form
@pytest.mark.parametrize("then", ["silence", "disconnect"])
def test_an_incomplete_form_is_refused(form, then):
    assert post(Body([b"--x\r\n"], then), form, Content_Length="1000") in (400, 403)


@every_form
def test_a_form_with_a_huge_content_length_is_refused_unread(form):
    body = Body([b"x"])

    assert post(body, form, Content_Length="9" * 30) in (400, 403)
    assert body.asked == 0


def test_a_form_with_more_than_1000_fields_is_refused():
    assert Web().post(LOGIN, {f"f{number}": "" for number in range(1001)}).status_code == 400

"""Webhooks with form bodies."""

from urllib.parse import quote_plus, urlencode

import pytest

from tests.cast import accepted, now
from tests.running import change
from tests.transactions.api.callers import LARGEST
from tests.webhooks.senders import recorded, send_signed
from transactions.snapshot import TransactionSnapshot

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def record(alice, third) -> TransactionSnapshot:
    return accepted(alice, third)


@pytest.fixture
def sends(third, record):
    """Sends a signed form, in which ID stands for our id; returns the status of the answer."""

    def send(form: str | bytes, content_type: str = FORM) -> int:
        body = form.encode() if isinstance(form, str) else form
        answer = send_signed(third, body.replace(b"ID", str(record.id).encode()), content_type=content_type)
        return int(answer.status_code)

    return send


@pytest.mark.parametrize(
    "form",
    [
        "id=ID&status=completed", "status=completed&id=ID&", "&&id=ID&&status=+completed+",
        "i%64=ID&st%61tus=complete%64", "id[]=ID&status[]=completed", "id=other&id=ID&status=completed",
        "id=ID&status[x]=1&status=completed", "id=ID&status=1&status=completed",
    ],
)  # fmt: skip
def test_id_and_status_are_read_from_the_fields(sends, record, form):
    assert sends(form) == 204
    assert now(record).status == "completed"


@pytest.mark.parametrize(
    "content_type", [f"{FORM}; charset=utf-8", FORM.upper(), f"{FORM};charset=ISO-8859-1", f" {FORM} "]
)
def test_parameters_and_case_of_the_content_type_do_not_matter(sends, record, content_type):
    assert sends("id=ID&status=completed", content_type) == 204
    assert now(record).status == "completed"


@pytest.mark.parametrize(
    "form",
    [
        "data[object][id]=ID&data[object][state]=completed", "data.object.id=ID&data.object.state=completed",
        "data%5Bobject%5D%5Bid%5D=ID&data%5Bobject%5D%5Bstate%5D=completed",
        "data[object].id=ID&data.object[state]=completed",
        "data=1&data[object]=2&data[object][id]=ID&data[object][state]=completed",
        'data={"object": {"id": "ID", "state": "completed"}}',
        'data[object]=+{"id":"ID"}&data[object][state]=completed',
        "data=" + quote_plus('{"object": {"id": "ID", "state": "completed"}}'),
    ],
)  # fmt: skip
def test_nested_fields_and_json_in_a_field_are_read_by_dotted_paths(third, sends, record, form):
    change(third, webhook_id_field="data.object.id", webhook_status_field="data.object.state")

    assert sends(form) == 204
    assert now(record).status == "completed"


def test_the_reason_is_read_from_a_form(sends, record):
    sends("id=ID&status=failed&error[message]=Card+expired%21")

    assert now(record).failure_detail == "Card expired!"


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "gbk", "utf-8"])
def test_fields_are_decoded_by_the_charset(sends, record, charset):
    sends(b"id=ID&status=failed&" + urlencode({"reason": "à"}, encoding=charset).encode(), f"{FORM}; charset={charset}")

    assert now(record).failure_detail == "à"


@pytest.mark.parametrize(
    "form",
    [
        "zen=Hello", "id=ID", "status=completed", "id=&status=completed", "nothing", "=", "&", ".=1", "a[=1&]b=2", "%",
        "%zz=%", "id[x]=ID&status[x]=completed", "a[" * 15_000 + "=1", "x=1&" * 15_000, b"\xff\x00=\xfe", "<xml/>",
        "id=%00&status=%ED%A0%80",
    ],
)  # fmt: skip
def test_forms_that_name_no_id_or_status_have_no_effect(sends, record, form):
    assert sends(form) == 204
    assert now(record).status == "pending"
    assert recorded()[0] in ("ignored", "unmatched")


@pytest.mark.parametrize(
    "rest",
    [b"x=%ff%fe", b"x=\xff", b"x=%00", b"x" + b"[a]" * 5000 + b"=1", b"x={broken", b"x={" * 5000, b"x=" + b"[" * 9000],
)
def test_a_fault_in_a_field_costs_only_this_field(sends, record, rest):
    assert sends(b"id=ID&" + rest + b"&status=completed") == 204
    assert now(record).status == "completed"


def test_a_form_of_64_kib_is_read(sends, record):
    form = f"id={record.id}&status=completed&x="

    assert sends(form + "x" * (LARGEST - len(form))) == 204
    assert now(record).status == "completed"


@pytest.mark.parametrize("body", ["{broken", "[1,", '{"id": "ID"'])
def test_what_begins_like_json_is_no_form(sends, body):
    assert sends(body) == 400

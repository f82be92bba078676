import pytest

from workers.foundation.template import fill, placeholders

VALUES = {"id": "t-1", "amount": 1250, "reference": None}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{amount}", 1250),
        ("{reference}", None),
        ("{id}", "t-1"),
        ("no. {id}", "no. t-1"),
        ("{amount} cents", "1250 cents"),
        ("<{reference}>", "<>"),
        ("{id}/{id}", "t-1/t-1"),
        ("{id}{amount}", "t-11250"),
        ("", ""),
        ("{}", "{}"),
        ("{Amount}", "{Amount}"),
        ("{{id}}", "{t-1}"),
        (" {amount}", " 1250"),
        (7, 7),
        (True, True),
        (None, None),
        ([], []),
        ({"a": [{"b": "{amount}"}, "{id}!"]}, {"a": [{"b": 1250}, "t-1!"]}),
    ],
)
def test_it_fills_in_values_wherever_they_are_named(template, filled):
    assert fill(template, VALUES) == filled


def test_a_placeholder_alone_keeps_its_type():
    assert type(fill("{amount}", VALUES)) is int
    assert type(fill("{amount}.", VALUES)) is str


def test_names_of_fields_are_left_as_they_are():
    assert fill({"{id}": "x"}, VALUES) == {"{id}": "x"}


def test_values_are_not_filled_in_again():
    assert fill("{id} {reference}", {"id": "{reference}", "reference": "secret"}) == "{reference} secret"


def test_it_leaves_the_template_as_it_was():
    template = {"a": ["{id}"]}
    fill(template, VALUES)

    assert template == {"a": ["{id}"]}


def test_a_name_without_a_value_is_an_error():
    with pytest.raises(KeyError):
        fill({"a": "x {unheard_of}"}, VALUES)


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ({"a": "{id}", "b": ["{amount}", {"c": "x{reference}y{id}"}]}, {"id", "amount", "reference"}),
        ({"{id}": 1}, set()),
        ("none", set()),
        (3, set()),
    ],
)
def test_it_names_its_placeholders(template, names):
    assert placeholders(template) == names

"""Stacked columns: heights are shares of the axis, the first part is at the bottom."""

from datetime import UTC, datetime, timedelta

import pytest

from operators.dashboard.charts import round_up, stacked
from operators.dashboard.overview import Column

START = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def columns(*counts):
    names = ("accepted", "completed", "declined", "failed")
    return [
        Column(START + timedelta(minutes=n), dict(zip(names, each, strict=True))) for n, each in enumerate(counts)
    ]  # fmt: skip


def test_parts_are_stacked_from_the_bottom_up_and_empty_ones_left_out():
    chart = stacked("hour", "The last hour", columns((9, 5, 0, 4), (0, 0, 0, 0), (0, 10, 0, 0)), labels=2)

    assert chart.top == 10
    assert chart.paths == {
        "completed": "M1 50.00h8v50.00h-8zM21 0.00h8v100.00h-8z", "declined": "", "failed": "M1 10.00h8v40.00h-8z"
    }  # fmt: skip


def test_accepted_transactions_are_a_line_through_the_middles_of_the_columns():
    assert stacked("hour", "", columns((10, 0, 0, 0), (5, 0, 0, 0)), labels=2).line == "5,0.00 15,50.00"


def test_nothing_is_higher_than_the_axis():
    assert stacked("hour", "", columns((3, 77, 40, 40), (101, 0, 0, 0)), labels=2).top == 200


def test_labels_begin_with_the_first_column_and_end_with_the_last():
    chart = stacked("hour", "", columns(*[(1, 0, 0, 0)] * 60), labels=5)

    assert chart.labels == ["10:00", "10:15", "10:30", "10:44", "10:59"]


def test_each_column_has_its_counts_as_text():
    [bar] = stacked("hour", "", columns((1200, 5, 0, 4)), labels=2).bars

    assert str(bar).endswith("10:00: 1,200 accepted, 5 completed, 0 declined, 4 failed")


def test_the_chart_has_its_sums_as_text():
    chart = stacked("hour", "", columns((1200, 5, 0, 4), (1, 1, 0, 0)), labels=2)

    assert chart.said == "1,201 accepted, 6 completed, 0 declined, 4 failed"


@pytest.mark.parametrize(("value", "top"), [(0, 10), (10, 10), (11, 20), (21, 50), (99, 100), (101, 200), (2001, 5000)])
def test_the_axis_ends_at_a_round_number(value, top):
    assert round_up(value) == top

"""docs/operating.md explains every flag, metric, alert and action, and its alert rules use existing metrics."""

import re

import pytest
import yaml

from operators.actions.table import ACTIONS
from tests.documents import DOCS, table
from transactions.status import Review
from txnproject.metrics import ServiceCollector

PAGE = (DOCS / "operating.md").read_text()
RULES = yaml.safe_load((DOCS / "prometheus-alerts.yml").read_text())["groups"][0]["rules"]
SERIES = re.compile(r"\b(relay_\w+|up)\b(?:\{([^}]*)\})?")


def named(document: str, column: str) -> set[str]:
    """Return every word in backquotes in this column."""
    return {word for row in table(document, column) for word in re.findall(r"`(\w+)", row[column])}


@pytest.fixture
def measured(db: None) -> dict[str, set[str]]:
    """Return the labels of each existing series."""
    kept = {metric.name: set(vars(metric)["_labelnames"]) for metric in ServiceCollector().collect()}
    return kept | {"up": {"job"}}


def test_every_flag_is_explained():
    assert named("operating.md", "review") == set(Review.values)


def test_every_series_is_explained_with_its_labels(measured):
    listed = {}
    for row in table("operating.md", "series"):
        name, labels = re.findall(r"`(\w+)(?:{([\w,]+)})?`", row["series"])[0]
        listed[name] = set(labels.split(",")) - {""}

    assert listed | {"up": {"job"}} == measured


def test_every_alert_is_explained():
    assert {rule["alert"] for rule in RULES} <= named("operating.md", "alert")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alerts_use_existing_series(measured, rule):
    found = SERIES.findall(rule["expr"])

    assert found
    for name, labels in found:
        assert set(re.findall(r"(\w+)=~?", labels)) <= measured[name]


def test_the_alerts_cover_every_flag():
    exprs = " ".join(rule["expr"] for rule in RULES)

    assert all(re.search(rf'reason=~"[^"]*\b{review}\b', exprs) for review in Review.values)


def test_every_action_is_explained_with_its_button():
    rows = {name: row for row in table("operating.md", "action") for name in re.findall(r"`(\w+)`", row["action"])}

    assert rows.keys() == ACTIONS.keys()
    assert all(f"**{action.label}**" in rows[name]["button"] for name, action in ACTIONS.items())


def test_every_link_has_a_target():
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, anchor = link.partition("#")
        path = DOCS / (file or "operating.md")
        assert anchor in anchors(path.read_text()) if anchor else path.exists(), link


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub and GitLab create them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}

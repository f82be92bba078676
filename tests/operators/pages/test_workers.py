"""Page of worker processes: heartbeat and version."""

import uuid
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from txnproject import __version__
from workers.models import WorkerProcess

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

PAGE = "/admin/workers/workerprocess/"


def process(pid, *, silent_for=0.0, version=__version__):
    made = WorkerProcess.objects.create(id=uuid.uuid4(), host="host", pid=pid, queues="create,track", version=version)
    WorkerProcess.objects.filter(pk=made.pk).update(beat_at=Now() - timedelta(seconds=silent_for))
    return made


def cells(client, name):
    """Return the texts of a column, from top to bottom."""
    page = client.get(PAGE).content.decode()
    rows = [part.split("</td>")[0] for part in page.split(f"field-{name}")[1:]]
    return [row.split(">", 1)[1].replace("</span>", "").split(">")[-1].strip() for row in rows]


def test_it_shows_alive_processes_and_the_silence_of_others(viewer):
    process(1, silent_for=40)
    process(2)

    assert cells(viewer, "state") == ["alive", "no heartbeat for 40 s"]


def test_it_marks_processes_of_another_version(viewer):
    process(1, version="0.0.9", silent_for=5)
    process(2)

    assert cells(viewer, "version") == [__version__, f"0.0.9 (web: {__version__})"]


def test_a_process_has_a_page(viewer):
    page = viewer.get(f"{PAGE}{process(1, silent_for=60).pk}/change/").content.decode()

    assert "host/1" in page and "no heartbeat for 60 s" in page


def test_the_dashboard_reports_different_versions(viewer, alice):
    process(1)
    assert "different versions" not in viewer.get("/admin/").content.decode()

    process(2, version="0.0.9")
    assert "different versions" in viewer.get("/admin/").content.decode()

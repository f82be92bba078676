from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The new index stands before the old one goes, and neither stops the work: jobs may be many."""

    atomic = False

    dependencies = [
        ('workers', '0002_breaker_and_pace'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='job',
            index=models.Index('lane', 'kind', 'run_at', condition=models.Q(('state', 'waiting')), name='job_due_by_kind'),
        ),
        RemoveIndexConcurrently(
            model_name='job',
            name='job_due',
        ),
    ]

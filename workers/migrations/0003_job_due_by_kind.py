from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The new index stands before the old one goes, and neither stops the work: jobs may be many."""

    atomic = False

    dependencies = [
        ('workers', '0002_breaker_and_pace'),
    ]

    operations = [
        # It takes as long as it takes: one cut off by the service's own limits would be left behind, invalid.
        migrations.RunSQL("SET statement_timeout = 0; SET lock_timeout = 0", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='job',
            index=models.Index('lane', 'kind', 'run_at', condition=models.Q(('state', 'waiting')), name='job_due_by_kind'),
        ),
        RemoveIndexConcurrently(
            model_name='job',
            name='job_due',
        ),
        migrations.RunSQL("RESET statement_timeout; RESET lock_timeout", migrations.RunSQL.noop),
    ]

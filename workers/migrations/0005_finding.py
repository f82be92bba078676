from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The new index stands before the one that it replaces goes, and neither stops the work: jobs may be many."""

    atomic = False

    dependencies = [
        ('workers', '0004_worker_version'),
    ]

    operations = [
        # It takes as long as it takes: one cut off by the service's own limits would be left behind, invalid.
        migrations.RunSQL("SET statement_timeout = 0; SET lock_timeout = 0", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='job',
            index=models.Index(fields=['state', 'id'], include=['kind', 'run_at', 'lane'], name='job_find', condition=models.Q(('state', 'running'), _negated=True)),
        ),
        RemoveIndexConcurrently(
            model_name='job',
            name='job_failed',
        ),
        migrations.RunSQL("RESET statement_timeout; RESET lock_timeout", migrations.RunSQL.noop),
    ]

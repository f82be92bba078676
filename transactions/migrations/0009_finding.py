from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Made without stopping the work: transactions may be many."""

    atomic = False

    dependencies = [
        ('transactions', '0008_counts'),
    ]

    operations = [
        # It takes as long as it takes: one cut off by the service's own limits would be left behind, invalid.
        migrations.RunSQL("SET statement_timeout = 0; SET lock_timeout = 0", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(fields=['status', 'id'], include=['submission', 'provider', 'client'], name='transaction_open', condition=models.Q(('status', 'completed'), _negated=True)),
        ),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(fields=['submission', 'id'], name='transaction_doubtful', condition=models.Q(('submission', 'created'), _negated=True)),
        ),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(fields=['id'], name='transaction_untold', condition=models.Q(('informed_sequence__lt', models.F('sequence')), ('status__in', ('completed', 'declined', 'failed')))),
        ),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(fields=['provider', 'id'], name='transaction_provider'),
        ),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(fields=['id'], include=['status', 'submission', 'review', 'provider', 'client'], name='transaction_find'),
        ),
        AddIndexConcurrently(
            model_name='transaction',
            index=models.Index(fields=['reference'], name='transaction_reference', condition=models.Q(('reference', ''), _negated=True)),
        ),
        migrations.RunSQL("RESET statement_timeout; RESET lock_timeout", migrations.RunSQL.noop),
    ]

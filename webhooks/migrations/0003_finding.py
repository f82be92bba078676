import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The new indexes stand before the one that they replace goes, and none stops the work: webhooks may be many."""

    atomic = False

    dependencies = [
        ('webhooks', '0002_refusals_of_no_provider'),
    ]

    operations = [
        # It takes as long as it takes: one cut off by the service's own limits would be left behind, invalid.
        migrations.RunSQL("SET statement_timeout = 0; SET lock_timeout = 0", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='webhook',
            index=models.Index(fields=['provider', 'id'], include=['result'], name='webhook_provider'),
        ),
        AddIndexConcurrently(
            model_name='webhook',
            index=models.Index(fields=['result', 'id'], name='webhook_result'),
        ),
        migrations.RunSQL("RESET statement_timeout; RESET lock_timeout", migrations.RunSQL.noop),
        # Dropping takes the table for a moment only; it waits no longer for that than any other statement.
        migrations.AlterField(
            model_name='webhook',
            name='provider',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='transactions.provider'),
        ),
    ]

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('clients', '0001_initial'),
        ('providers', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='LostCommits',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('noticed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('mark', models.JSONField(help_text='The newest rows that the worker had seen; the database lacks one of them')),
            ],
            options={
                'verbose_name_plural': 'lost commits',
                'ordering': ['-id'],
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Transaction',
            fields=[
                ('id', models.UUIDField(help_text="The id that the provider knows: a UUID version 5 of the client's namespace and the client's id", primary_key=True, serialize=False)),
                ('sort_id', models.UUIDField(editable=False, help_text='UUID version 7 of the acceptance, by which lists are sorted')),
                ('client_ref', models.CharField(help_text="The client's own id and idempotency key", max_length=64, verbose_name="client's id")),
                ('amount', models.BigIntegerField(help_text='Minor units')),
                ('currency', models.CharField(max_length=3)),
                ('reference', models.CharField(blank=True, default='', max_length=255)),
                ('metadata', models.JSONField(default=dict)),
                ('status', models.CharField(choices=[('pending', 'pending'), ('completed', 'completed'), ('declined', 'declined'), ('failed', 'failed')], default='pending', max_length=9)),
                ('submission', models.CharField(choices=[('unsent', 'unsent'), ('unknown', 'unknown'), ('created', 'created'), ('refused', 'refused')], default='unsent', max_length=7)),
                ('review', models.CharField(blank=True, choices=[('contradiction', 'the provider contradicted a final status'), ('overdue', 'no final status after track_for'), ('credentials', 'the provider refused our credentials'), ('unmapped', "the provider's word for the status is not in status_map"), ('unreadable', "the provider's answer to a status check has no status"), ('missing', 'the provider confirmed it, and does not find it any more'), ('denied', 'the provider denies access to it'), ('stalled', 'it makes no progress'), ('given_up', 'a job was given up')], default='', max_length=13)),
                ('review_why', models.CharField(blank=True, db_default='', default='', help_text='Reason in words', max_length=500)),
                ('stuck_since', models.DateTimeField(help_text='First call since the last progress that brought no answer', null=True)),
                ('sequence', models.IntegerField(default=1, help_text='Each status change increments it')),
                ('failure_code', models.CharField(blank=True, default='', max_length=64)),
                ('failure_detail', models.TextField(blank=True, default='')),
                ('create_began_at', models.DateTimeField(help_text='Start of the last create', null=True)),
                ('seen_at', models.DateTimeField(help_text='Last time that the provider had it, while pending', null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finalised_at', models.DateTimeField(null=True)),
                ('notified_sequence', models.IntegerField(db_default=0, default=0, help_text='The last sequence that the client confirmed')),
                ('notified_at', models.DateTimeField(null=True)),
                ('client', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='clients.client')),
                ('provider', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='providers.provider')),
            ],
            options={
                'ordering': ['-sort_id'],
                'permissions': [('poll_now', 'Can poll now'), ('create_again', 'Can have a transaction created again'), ('cancel_tracking', 'Can cancel the tracking'), ('notify_again', 'Can notify the client again'), ('set_status', 'Can set a status by hand, or propose it'), ('approve_status', 'Can approve or reject a status that was proposed'), ('resolve_review', 'Can resolve a review'), ('export_transaction', 'Can export lists of transactions and jobs')],
            },
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('kind', models.CharField(choices=[('status', 'status'), ('contradiction', 'contradiction'), ('review', 'review'), ('note', 'note'), ('staff', 'staff')], max_length=13)),
                ('status', models.CharField(blank=True, choices=[('pending', 'pending'), ('completed', 'completed'), ('declined', 'declined'), ('failed', 'failed')], default='', max_length=9)),
                ('sequence', models.IntegerField(null=True)),
                ('source', models.CharField(choices=[('api', 'API'), ('create', "create's answer"), ('poll', 'poll'), ('webhook', 'webhook'), ('staff', 'staff'), ('clock', 'clock')], max_length=7)),
                ('detail', models.JSONField(default=dict)),
                ('transaction', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='events', to='transactions.transaction')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(models.F('client'), models.OrderBy(models.F('sort_id'), descending=True), name='transaction_newest'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(models.F('review'), models.OrderBy(models.F('sort_id'), descending=True), condition=models.Q(('review', ''), _negated=True), name='transaction_review'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(condition=models.Q(('status', 'completed'), _negated=True), fields=['status', 'sort_id'], include=('submission', 'provider', 'client'), name='transaction_open'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(condition=models.Q(('submission', 'created'), _negated=True), fields=['submission', 'sort_id'], name='transaction_doubtful'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(condition=models.Q(('notified_sequence__lt', models.F('sequence')), ('status__in', ('completed', 'declined', 'failed'))), fields=['sort_id'], name='transaction_not_notified'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(condition=models.Q(('finalised_at__isnull', True)), fields=['provider', 'created_at'], name='transaction_pending'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(condition=models.Q(('finalised_at__isnull', False), ('notified_sequence__lt', models.F('sequence'))), fields=['client', 'finalised_at'], name='transaction_undelivered'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(fields=['provider', 'sort_id'], name='transaction_provider'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(condition=models.Q(('review', ''), ('stuck_since__isnull', False)), fields=['stuck_since'], name='transaction_stuck'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(condition=models.Q(('reference', ''), _negated=True), fields=['reference'], name='transaction_reference'),
        ),
        migrations.AddConstraint(
            model_name='transaction',
            constraint=models.UniqueConstraint(fields=('client', 'client_ref'), name='transaction_once'),
        ),
        migrations.AddConstraint(
            model_name='transaction',
            constraint=models.UniqueConstraint(fields=('sort_id',), include=('status', 'submission', 'review', 'provider', 'client'), name='transaction_find'),
        ),
        migrations.AddConstraint(
            model_name='transaction',
            constraint=models.CheckConstraint(condition=models.Q(('client_ref__regex', '^(\\.{0,2}[A-Za-z0-9_:-]|\\.{3})[A-Za-z0-9._:-]*$')), name='transaction_client_ref'),
        ),
        migrations.AddConstraint(
            model_name='transaction',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'completed', 'declined', 'failed'])), name='transaction_status'),
        ),
        migrations.AddConstraint(
            model_name='transaction',
            constraint=models.CheckConstraint(condition=models.Q(('submission__in', ['unsent', 'unknown', 'created', 'refused'])), name='transaction_submission'),
        ),
        migrations.AddConstraint(
            model_name='transaction',
            constraint=models.CheckConstraint(condition=models.Q(('review__in', ['', 'contradiction', 'overdue', 'credentials', 'unmapped', 'unreadable', 'missing', 'denied', 'stalled', 'given_up'])), name='transaction_review'),
        ),
        migrations.AddConstraint(
            model_name='transaction',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gte', 1), ('amount__lte', 1000000000000000)), name='transaction_amount'),
        ),
        migrations.AddConstraint(
            model_name='transaction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finalised_at__isnull', False), ('status__in', ('completed', 'declined', 'failed'))), models.Q(('finalised_at__isnull', True), ('status', 'pending')), _connector='OR'), name='transaction_final_iff_finalised'),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.UniqueConstraint(fields=('transaction', 'sequence'), name='event_sequence_once'),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.CheckConstraint(condition=models.Q(('kind', 'status'), ('sequence__isnull', True), _connector='OR'), name='event_sequence'),
        ),
        migrations.AddConstraint(
            model_name='event',
            constraint=models.CheckConstraint(condition=models.Q(('source__in', ['api', 'create', 'poll', 'webhook', 'staff', 'clock'])), name='event_source'),
        ),
    ]

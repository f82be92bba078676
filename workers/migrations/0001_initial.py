import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='RateLimit',
            fields=[
                ('lane', models.CharField(max_length=24, primary_key=True, serialize=False)),
                ('until', models.DateTimeField(help_text='The next free turn')),
            ],
        ),
        migrations.CreateModel(
            name='WorkerProcess',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('host', models.CharField(max_length=255)),
                ('pid', models.IntegerField()),
                ('version', models.CharField(db_default='', default='', help_text='Version of the service', max_length=50)),
                ('queues', models.CharField(max_length=255)),
                ('in_flight', models.IntegerField(default=0)),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('beat_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'verbose_name_plural': 'worker processes',
                'ordering': ['-beat_at'],
            },
        ),
        migrations.CreateModel(
            name='Breaker',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('lane', models.CharField(max_length=24)),
                ('kind', models.CharField(max_length=16)),
                ('runs', models.FloatField(default=0, help_text='Recent runs that made calls, with decaying weight')),
                ('failures', models.FloatField(default=0, help_text='Those of them that failed, with decaying weight')),
                ('counted_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('opened_at', models.DateTimeField(blank=True, help_text='Empty: closed, calls go on', null=True)),
                ('probe_at', models.DateTimeField(blank=True, help_text='When the next run may test the other side', null=True)),
            ],
            options={
                'ordering': ['lane', 'kind'],
                'constraints': [models.UniqueConstraint(fields=('lane', 'kind'), name='breaker_once'), models.CheckConstraint(condition=models.Q(models.Q(('opened_at__isnull', True), ('probe_at__isnull', True)), models.Q(('opened_at__isnull', False), ('probe_at__isnull', False)), _connector='OR'), name='breaker_probes_iff_open')],
            },
        ),
        migrations.CreateModel(
            name='Job',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('transaction_id', models.UUIDField()),
                ('kind', models.CharField(choices=[('create', 'create'), ('track', 'track'), ('notify', 'notify')], max_length=16)),
                ('key', models.CharField(blank=True, default='', help_text='Distinguishes jobs of one kind and transaction', max_length=64)),
                ('lane', models.CharField(help_text="Concurrency key: a provider (p7) or a client's endpoint (c12)", max_length=24)),
                ('state', models.CharField(choices=[('waiting', 'waiting'), ('running', 'running'), ('done', 'done'), ('failed', 'failed'), ('cancelled', 'cancelled')], db_default='waiting', default='waiting', max_length=10)),
                ('run_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('claim_count', models.IntegerField(db_default=0, default=0, help_text='Claims so far; the fencing token')),
                ('tries', models.IntegerField(db_default=0, default=0, help_text="The handler's own counter")),
                ('crashes', models.IntegerField(db_default=0, default=0, help_text='Runs in a row that ended without a result')),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('lost_at', models.DateTimeField(blank=True, help_text='End of the lease of the last run, if that run never settled', null=True)),
                ('last_error', models.TextField(blank=True, db_default='', default='')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'ordering': ['-id'],
                'permissions': [('retry_job', 'Can retry a failed job')],
                'indexes': [models.Index(models.F('lane'), models.F('kind'), models.F('run_at'), condition=models.Q(('state', 'waiting')), name='job_due_by_kind'), models.Index(condition=models.Q(('state', 'running'), _negated=True), fields=['state', 'id'], include=('kind', 'run_at', 'lane'), name='job_find')],
                'constraints': [models.UniqueConstraint(fields=('transaction_id', 'kind', 'key'), name='job_once'), models.CheckConstraint(condition=models.Q(('kind__in', ['create', 'track', 'notify'])), name='job_kind'), models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'running', 'done', 'failed', 'cancelled'])), name='job_state'), models.UniqueConstraint(condition=models.Q(('state', 'running')), fields=('lane', 'transaction_id', 'kind'), name='job_running'), models.CheckConstraint(condition=models.Q(models.Q(('lease_until__isnull', False), ('state', 'running')), models.Q(models.Q(('state', 'running'), _negated=True), ('lease_until__isnull', True)), _connector='OR'), name='job_lease_iff_running')],
            },
        ),
        migrations.CreateModel(
            name='OutboundCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('transaction_id', models.UUIDField(db_index=True)),
                ('attempt', models.IntegerField(help_text="The job's claim_count it belongs to")),
                ('started_at', models.DateTimeField()),
                ('duration_ms', models.IntegerField(null=True)),
                ('method', models.CharField(blank=True, max_length=8)),
                ('url', models.TextField(blank=True)),
                ('http_status', models.IntegerField(null=True)),
                ('error', models.TextField(blank=True)),
                ('excerpt', models.TextField(blank=True, help_text='Start of the answer, redacted')),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='calls', to='workers.job')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
    ]

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
                ('next_free_at', models.DateTimeField(help_text='Time of the next free token: the earliest start of another call')),
            ],
        ),
        migrations.CreateModel(
            name='Turn',
            fields=[
                ('lane', models.CharField(max_length=24, primary_key=True, serialize=False)),
                ('share', models.BigIntegerField()),
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
                ('clock_skew', models.FloatField(db_default=0, default=0, help_text="Seconds by which its wall clock is ahead of the database's")),
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
                ('runs', models.FloatField(default=0, help_text='Recent runs that made calls, weighted by age')),
                ('failures', models.FloatField(default=0, help_text='Those of them that failed, weighted by age')),
                ('counted_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('opened_at', models.DateTimeField(blank=True, help_text='Empty while the breaker is closed', null=True)),
                ('probe_at', models.DateTimeField(blank=True, help_text='Earliest start of the next probe', null=True)),
                ('turn', models.BigIntegerField(db_default=0, default=0, help_text='Share of the last probe')),
                ('probed', models.UUIDField(blank=True, help_text='Transaction of the last probe', null=True)),
                ('failing_since', models.DateTimeField(blank=True, help_text='Time of the first failed run since the last successful one', null=True)),
                ('failed_runs', models.IntegerField(db_default=0, default=0, help_text='Failed runs since then')),
                ('failed_at', models.DateTimeField(blank=True, help_text='Time of the last one of them', null=True)),
            ],
            options={
                'ordering': ['lane', 'kind'],
                'constraints': [models.UniqueConstraint(fields=('lane', 'kind'), name='breaker_once'), models.CheckConstraint(condition=models.Q(('opened_at', None), models.Q(('probe_at', None), _negated=True), _connector='XOR'), name='breaker_probes_iff_open')],
            },
        ),
        migrations.CreateModel(
            name='Clock',
            fields=[
                ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('jumped_at', models.DateTimeField(help_text='By the clock after the jump')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='clock_single')],
            },
        ),
        migrations.CreateModel(
            name='Job',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('transaction_id', models.UUIDField()),
                ('kind', models.CharField(choices=[('create', 'create'), ('track', 'track'), ('notify', 'notify')], max_length=16)),
                ('key', models.CharField(blank=True, default='', help_text="Unique among a transaction's jobs of a kind", max_length=64)),
                ('lane', models.CharField(help_text="Concurrency key: a provider (p7) or a client's endpoint (c12)", max_length=24)),
                ('share', models.BigIntegerField(db_default=0, default=0, help_text='Fairness key: the shares of a lane, such as clients, take turns')),
                ('state', models.CharField(choices=[('waiting', 'waiting'), ('running', 'running'), ('done', 'done'), ('failed', 'failed'), ('cancelled', 'cancelled')], db_default='waiting', default='waiting', max_length=10)),
                ('run_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('claim_count', models.IntegerField(db_default=0, default=0, help_text='Claims so far')),
                ('claim_token', models.UUIDField(editable=False, help_text='Fencing token: random, new with each claim', null=True)),
                ('tries', models.IntegerField(db_default=0, default=0, help_text="The handler's own counter")),
                ('crashes', models.IntegerField(db_default=0, default=0, help_text='Consecutive runs that ended without a result')),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('lost_at', models.DateTimeField(blank=True, help_text='Lease end of the last run, if it never settled', null=True)),
                ('last_error', models.TextField(blank=True, db_default='', default='')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'ordering': ['-id'],
                'permissions': [('retry_job', 'Can retry a failed job')],
                'indexes': [models.Index(models.F('lane'), models.F('kind'), models.F('run_at'), condition=models.Q(('state', 'waiting')), name='job_due_by_kind'), models.Index(models.F('lane'), models.F('kind'), models.F('share'), models.F('run_at'), condition=models.Q(('state', 'waiting')), name='job_due_by_share'), models.Index(condition=models.Q(('state', 'running'), _negated=True), fields=['state', 'id'], include=('kind', 'run_at', 'lane'), name='job_find')],
                'constraints': [models.UniqueConstraint(fields=('transaction_id', 'kind', 'key'), name='job_once'), models.CheckConstraint(condition=models.Q(('kind__in', ['create', 'track', 'notify'])), name='job_kind'), models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'running', 'done', 'failed', 'cancelled'])), name='job_state'), models.UniqueConstraint(condition=models.Q(('state', 'running')), fields=('lane', 'transaction_id', 'kind'), name='job_running'), models.CheckConstraint(condition=models.Q(('state', 'running'), ('lease_until', None), _connector='XOR'), name='job_lease_iff_running')],
            },
        ),
        migrations.CreateModel(
            name='OutboundCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('transaction_id', models.UUIDField(db_index=True)),
                ('attempt', models.IntegerField(help_text="The job's claim_count in this run")),
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

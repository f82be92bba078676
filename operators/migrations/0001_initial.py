import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from operators.roles import grant


class Migration(migrations.Migration):

    initial = True

    # All apps that a role has permissions for.
    dependencies = [
        ('transactions', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('workers', '0001_initial'),
        ('webhooks', '0001_initial'),
        ('clients', '0001_initial'),
        ('providers', '0001_initial'),
        ('admin', '0003_logentry_add_action_flag_choices'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('axes', '0010_accessattemptexpiration'),
        ('contenttypes', '0002_remove_content_type_name'),
    ]

    operations = [
        migrations.CreateModel(
            name='MinuteCount',
            fields=[
                ('pk', models.CompositePrimaryKey('minute', 'status', 'bucket', blank=True, editable=False, primary_key=True, serialize=False)),
                ('minute', models.DateTimeField()),
                ('status', models.CharField(max_length=9)),
                ('bucket', models.SmallIntegerField(help_text='Time from acceptance to the first final status, see operators.dashboard.counting. -1: changes of a final status by staff, which add to one status and subtract from another')),
                ('count', models.BigIntegerField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='BulkRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('action', models.CharField(help_text='Name in `operators.actions.table.ACTIONS`', max_length=32)),
                ('params', models.JSONField(default=dict, help_text='Filters of the list')),
                ('chosen', models.JSONField(help_text='Keys of the rows, if they were selected one by one', null=True)),
                ('newest', models.CharField(help_text='`list_key` of the newest row at the start; it excludes newer ones', max_length=36)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('token', models.UUIDField(help_text='Identifies the form: submitted twice, it starts one run', unique=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('state', models.CharField(choices=[('waiting', 'waiting'), ('running', 'running'), ('done', 'done'), ('stopped', 'stopped'), ('failed', 'failed')], default='waiting', max_length=8)),
                ('lease_until', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text="End of the current worker's lease")),
                ('position', models.CharField(blank=True, default='', help_text='`list_key` of the last processed row', max_length=36)),
                ('total', models.IntegerField(help_text='Number of rows at the start; empty if not counted or too many', null=True)),
                ('tried', models.IntegerField(default=0)),
                ('results', models.JSONField(default=dict, help_text='By result: the number of rows and the first few keys')),
                ('why', models.CharField(blank=True, default='', max_length=255)),
                ('finished_at', models.DateTimeField(null=True)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'default_permissions': ('view',),
                'indexes': [models.Index(condition=models.Q(('state__in', ('waiting', 'running'))), fields=['lease_until'], name='bulkrun_open')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('state__in', ('waiting', 'running'))), models.Q(('finished_at__isnull', False), ('state__in', ('done', 'stopped', 'failed'))), _connector='OR'), name='bulkrun_over_iff_finished')],
            },
        ),
        migrations.CreateModel(
            name='Proposal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.CharField(choices=[('pending', 'pending'), ('completed', 'completed'), ('declined', 'declined'), ('failed', 'failed')], max_length=9)),
                ('sequence', models.IntegerField(help_text="The transaction's when it was proposed: it must not have moved on")),
                ('reason', models.TextField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('decided_at', models.DateTimeField(null=True)),
                ('decision', models.CharField(blank=True, choices=[('approved', 'approved'), ('rejected', 'rejected')], db_default='', default='', max_length=8)),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('decided_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('transaction', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='proposals', to='transactions.transaction')),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('decision', '')), fields=('transaction',), name='proposal_open_once'), models.CheckConstraint(condition=models.Q(('status__in', ('completed', 'declined', 'failed'))), name='proposal_final'), models.CheckConstraint(condition=models.Q(models.Q(('decided_at__isnull', True), ('decided_by__isnull', True), ('decision', '')), models.Q(('decided_at__isnull', False), ('decided_by__isnull', False), ('decision__in', ['approved', 'rejected'])), _connector='OR'), name='proposal_decided'), models.CheckConstraint(condition=models.Q(('decided_by', models.F('by')), ('decision', 'approved'), _negated=True), name='proposal_by_two')],
            },
        ),
        migrations.CreateModel(
            name='SavedView',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=60)),
                ('of', models.CharField(help_text="The list's model, such as transactions.transaction", max_length=64)),
                ('query', models.CharField(help_text='Filters of the list, as the query string of its address', max_length=500)),
                ('shared', models.BooleanField(default=False, verbose_name='show it to all')),
                ('by', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name', 'id'],
                'permissions': [('share_view', 'Can share a saved list with all')],
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('by', 'of', 'name'), name='savedview_name_once')],
            },
        ),
        # Django's own table has no index for the history of an object, nor for the search of the audit log.
        migrations.RunSQL(
            'CREATE INDEX audit_object ON django_admin_log (object_id)',
            'DROP INDEX audit_object',
        ),
        migrations.RunPython(lambda apps, editor: grant(apps), migrations.RunPython.noop),
    ]

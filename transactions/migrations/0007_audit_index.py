from django.db import migrations


class Migration(migrations.Migration):

    # Django's own table has none: an object's history, and the audit log's search, would read all of it.
    dependencies = [
        ('transactions', '0006_staff_actions'),
        ('admin', '0003_logentry_add_action_flag_choices'),
    ]

    operations = [
        migrations.RunSQL(
            'CREATE INDEX audit_object ON django_admin_log (object_id)',
            'DROP INDEX audit_object',
        ),
    ]

from django.db import migrations

from transactions.roles import grant


class Migration(migrations.Migration):

    # All apps that a role has permissions of, as they are now.
    dependencies = [
        ('transactions', '0010_lists'),
        ('webhooks', '0002_refusals_of_no_provider'),
        ('workers', '0004_worker_version'),
        ('admin', '0003_logentry_add_action_flag_choices'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('axes', '0010_accessattemptexpiration'),
        ('contenttypes', '0002_remove_content_type_name'),
    ]

    operations = [
        migrations.RunPython(lambda apps, editor: grant(apps), migrations.RunPython.noop),
    ]

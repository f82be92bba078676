import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('providers', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='RefusalCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('reason', models.CharField(max_length=32)),
                ('count', models.BigIntegerField(default=0)),
                ('last_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('provider', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='providers.provider')),
            ],
            options={
                'ordering': ['-day', 'provider_id', 'reason'],
                'constraints': [models.UniqueConstraint(django.db.models.functions.comparison.Coalesce('provider', 0, output_field=models.BigIntegerField()), models.F('day'), models.F('reason'), name='refusal_once')],
            },
        ),
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('webhook_id', models.CharField(help_text="The provider's id; without one, a digest of the body", max_length=255)),
                ('transaction_id', models.UUIDField(db_index=True, null=True)),
                ('given_id', models.CharField(blank=True, help_text='The id in the body', max_length=100)),
                ('word', models.CharField(blank=True, help_text='The status in the body', max_length=100)),
                ('result', models.CharField(choices=[('applied', 'applied'), ('noted', 'noted'), ('late', 'late'), ('contradicting', 'contradicting'), ('unmatched', 'unmatched'), ('ignored', 'ignored')], max_length=13)),
                ('repeats', models.IntegerField(db_default=0, default=0, help_text='How often it was repeated')),
                ('body', models.TextField()),
                ('received_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('provider', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='providers.provider')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['provider', 'id'], include=('result',), name='webhook_provider'), models.Index(fields=['result', 'id'], name='webhook_result')],
                'constraints': [models.UniqueConstraint(fields=('provider', 'webhook_id'), name='webhook_once')],
            },
        ),
    ]

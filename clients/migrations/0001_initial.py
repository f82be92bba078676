import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
import workers.foundation.encryption
import workers.foundation.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('providers', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Client',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('namespace', models.UUIDField(default=uuid.uuid4, editable=False, help_text='Namespace of the ids that providers get for its transactions; never changes', unique=True)),
                ('callback_url', workers.foundation.fields.HttpUrlField(help_text='Notifications are sent here')),
                ('callback_method', models.CharField(choices=[('POST', 'Post'), ('PUT', 'Put'), ('PATCH', 'Patch')], default='POST', max_length=5)),
                ('callback_body', models.JSONField(blank=True, help_text='Empty: the standard notification. Otherwise a JSON object with {id}, {status}, {sequence}, {amount}, {currency}, {reference}, {provider_transaction_id}', null=True, validators=[workers.foundation.fields.TemplateValidator('id', 'status', 'sequence', 'amount', 'currency', 'reference', 'provider_transaction_id')])),
                ('enabled', models.BooleanField(default=True, help_text="A disabled client's requests are answered 403")),
                ('rate_limit', models.CharField(blank=True, db_default='', default='', help_text="Limit on requests over all web processes, such as 100/second or 6000/minute; none: no limit. Empty: the service's CLIENT_RATE_LIMIT", max_length=20, validators=[django.core.validators.RegexValidator('^(none|[1-9][0-9]{0,8}/(second|minute|hour))?\\Z', 'Give requests per second, minute or hour, such as 100/second; or none.')])),
                ('endpoint_failing_since', models.DateTimeField(blank=True, help_text='Time of the first failed delivery since the last confirmed one', null=True)),
                ('endpoint_disabled_at', models.DateTimeField(blank=True, null=True)),
                ('endpoint_disabled_why', models.CharField(blank=True, default='', max_length=255)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('default_provider', models.ForeignKey(blank=True, help_text='The provider of transactions whose POST names none', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='providers.provider')),
            ],
            options={
                'ordering': ['name'],
                'permissions': [('disable_endpoint', "Can disable a client's endpoint"), ('enable_endpoint', "Can enable a client's endpoint")],
            },
        ),
        migrations.CreateModel(
            name='CallbackSecret',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('secret', workers.foundation.encryption.EncryptedJSON(validators=[workers.foundation.fields.validate_secret])),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('client', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='callback_secrets', to='clients.client')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(default='first key', max_length=100)),
                ('prefix', models.CharField(help_text='The first characters, which tell keys apart', max_length=12)),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('last_used_at', models.DateTimeField(blank=True, help_text='To the minute', null=True)),
                ('client', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to='clients.client')),
            ],
            options={
                'verbose_name': 'API key',
                'ordering': ['id'],
            },
        ),
        migrations.AddConstraint(
            model_name='client',
            constraint=models.CheckConstraint(condition=models.Q(('rate_limit__regex', '^(none|[1-9][0-9]{0,8}/(second|minute|hour))?\\Z')), name='client_rate_limit'),
        ),
    ]

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import providers.fields
import providers.models
import workers.foundation.encryption
import workers.foundation.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Provider',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.CharField(max_length=50, unique=True, validators=[django.core.validators.RegexValidator('^[a-z0-9][a-z0-9-]*\\Z', 'Use a-z, 0-9 and -, starting with a letter or digit.')])),
                ('adapter', models.CharField(choices=[('http', 'http')], default='http', max_length=20)),
                ('base_url', workers.foundation.fields.HttpUrlField(validators=[providers.fields.validate_base_url])),
                ('create_path', models.CharField(default='/transactions', max_length=255, validators=[providers.fields.validate_path])),
                ('status_path', models.CharField(default='/transactions/{id}', max_length=255, validators=[providers.fields.validate_status_path])),
                ('create_body', models.JSONField(default=providers.models.default_create_body, validators=[workers.foundation.fields.TemplateValidator('id', 'amount', 'currency', 'reference', 'webhook_url')])),
                ('headers', workers.foundation.encryption.EncryptedJSON(blank=True, default=dict, help_text="Fixed request headers, such as the provider's API key; stored encrypted", validators=[providers.fields.validate_headers])),
                ('status_field', models.CharField(default='status', help_text='Dotted path of the status in answers', max_length=100)),
                ('status_map', models.JSONField(blank=True, default=dict, help_text="Provider's names of pending, completed, declined and failed. Empty: the same names", validators=[providers.fields.validate_status_map])),
                ('create_timeout', models.FloatField(default=35, help_text='Seconds. Timeout of a create', validators=[providers.fields.validate_finite, django.core.validators.MinValueValidator(0.1), django.core.validators.MaxValueValidator(31536000.0)])),
                ('settle_window', models.FloatField(default=120, help_text='Seconds. Time from the start of an unanswered create during which it may still take effect', validators=[providers.fields.validate_finite, django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(31536000.0)])),
                ('create_retries', models.PositiveSmallIntegerField(default=3, help_text='Creates after the first unanswered one')),
                ('create_retry_delay', models.FloatField(default=120, help_text='Seconds. From an unanswered create to the next status check and retry', validators=[providers.fields.validate_finite, django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(31536000.0)])),
                ('first_poll', models.FloatField(default=0.2, help_text='Seconds. From acceptance to the first poll', validators=[providers.fields.validate_finite, django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(31536000.0)])),
                ('second_poll', models.FloatField(default=0.01, help_text='Seconds. From the first poll to the second', validators=[providers.fields.validate_finite, django.core.validators.MinValueValidator(0.001), django.core.validators.MaxValueValidator(31536000.0)])),
                ('poll_growth', models.FloatField(default=2, help_text='Factor between the delays of polls', validators=[providers.fields.validate_finite, django.core.validators.MinValueValidator(1.0), django.core.validators.MaxValueValidator(100.0)])),
                ('poll_cap', models.FloatField(default=3600, help_text='Seconds. Longest delay between polls', validators=[providers.fields.validate_finite, django.core.validators.MinValueValidator(0.01), django.core.validators.MaxValueValidator(31536000.0)])),
                ('track_for', models.FloatField(default=86400, help_text='Seconds. Time without a final status after which the transaction needs review', validators=[providers.fields.validate_finite, django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(31536000.0)])),
                ('track_grace', models.FloatField(default=604800, help_text='Seconds. Time for which polling continues after that', validators=[providers.fields.validate_finite, django.core.validators.MinValueValidator(0.0), django.core.validators.MaxValueValidator(31536000.0)])),
                ('max_in_flight', models.PositiveIntegerField(default=200, help_text='Concurrent calls, over all workers', validators=[django.core.validators.MinValueValidator(1)])),
                ('max_calls_per_second', models.FloatField(blank=True, help_text='Spread evenly, over all workers; a create and its status check are two calls. Empty: no limit', null=True, validators=[providers.fields.validate_finite, django.core.validators.MinValueValidator(0.2), django.core.validators.MaxValueValidator(10000.0)])),
                ('circuit_breaker', models.BooleanField(db_default=True, default=True, help_text='While most creates or most polls fail, hold them back except for a probe every few seconds')),
                ('check_before_create', models.BooleanField(default=True, help_text='Check the status before each create')),
                ('paused', models.BooleanField(default=False, help_text='No calls are made; due jobs wait')),
                ('paused_why', models.CharField(blank=True, default='', max_length=255)),
                ('denied_at', models.DateTimeField(editable=False, help_text='Last 403', null=True)),
                ('denied_id', models.UUIDField(editable=False, help_text='The transaction that was denied then', null=True)),
                ('webhook_auth', models.CharField(choices=[('standard', 'Standard Webhooks signature'), ('hmac-sha256', 'HMAC-SHA256 of the body in a header'), ('stripe', "Stripe's signature"), ('url-token', 'token in the webhook URL')], default='standard', max_length=20)),
                ('webhook_signature_header', models.CharField(db_default='X-Signature', default='X-Signature', help_text='For hmac-sha256: the header that contains the digest in hex or base64', max_length=100, validators=[django.core.validators.RegexValidator("^[A-Za-z0-9!#$%&'*+.^_`|~-]+\\Z", '%(value)r is not the name of an HTTP header.', 'header_name')])),
                ('webhook_signature_prefix', models.CharField(blank=True, db_default='sha256=', default='sha256=', help_text='For hmac-sha256: optional text before the digest', max_length=50, validators=[django.core.validators.RegexValidator('^[\\x21-\\x7e]*\\Z', 'Use visible ASCII characters without spaces.')])),
                ('webhook_allowed_ips', models.CharField(blank=True, db_default='', default='', help_text='Addresses and networks that may send webhooks, such as 192.0.2.0/24, 2001:db8::/32. Empty: any', max_length=2000, validators=[providers.fields.validate_networks])),
                ('webhook_id_field', models.CharField(default='id', help_text='Dotted path in webhooks', max_length=100)),
                ('webhook_status_field', models.CharField(default='status', help_text='Dotted path in webhooks', max_length=100)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'ordering': ['slug'],
                'permissions': [('pause_provider', 'Can pause a provider'), ('resume_provider', 'Can resume a provider'), ('open_breaker', 'Can open a circuit breaker'), ('close_breaker', 'Can close a circuit breaker')],
            },
        ),
        migrations.CreateModel(
            name='WebhookSecret',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('secret', workers.foundation.encryption.EncryptedJSON(validators=[django.core.validators.RegexValidator('^[\\x21-\\x7e][\\x20-\\x7e]{14,253}[\\x21-\\x7e]\\Z', 'A secret of this scheme has 16 to 255 ASCII characters, without spaces at its ends.')])),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('provider', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='webhook_secrets', to='providers.provider')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
    ]

"""Settings, all from the environment (docs/configuration.md lists every variable).

No default is unsafe: system checks (`checks.py` of each app) refuse missing and wrong values at boot.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from corsheaders.defaults import default_headers
from redis.backoff import ExponentialBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from operators import menu
from txnproject import __version__, environment
from txnproject.logs import logging_config
from workers.foundation.broker_url import check_broker_url, is_amqp, redis_client
from workers.foundation.hosts import form_origin, host_name, host_pattern, origin

env = environment.Environment(os.environ)
ENVIRONMENT_FAULTS = env.faults  # a system check reports them
BASE_DIR = Path(__file__).resolve().parent.parent

# --- identity, keys and addresses
VERSION = __version__
DEBUG = False
SECRET_KEY = env.text("SECRET_KEY")
ENCRYPTION_KEYS = env.entries("ENCRYPTION_KEYS")
ALLOWED_HOSTS = env.entries("ALLOWED_HOSTS", host_pattern)
CSRF_TRUSTED_ORIGINS = env.entries("CSRF_TRUSTED_ORIGINS", form_origin)
CORS_ALLOWED_ORIGINS = env.entries("CORS_ALLOWED_ORIGINS", origin)
CORS_URLS_REGEX = r"^/v1/.*$"
CORS_ALLOW_HEADERS = [*default_headers, "idempotency-key"]
CORS_EXPOSE_HEADERS = ["Location", "Idempotent-Replayed", "Retry-After"]
PUBLIC_URL = env.text("PUBLIC_URL").rstrip("/")
SANDBOX_URL = env.text("SANDBOX_URL")
OUTBOUND_ALLOWED_HOSTS = env.entries("OUTBOUND_ALLOWED_HOSTS", host_name)
TRUSTED_PROXIES = ",".join(env.entries("TRUSTED_PROXIES"))
KEEP_ALIVE = env.number("KEEP_ALIVE", environment.KEEP_ALIVE)  # read by txnproject.webserver; here for its system check
ROOT_URLCONF = "txnproject.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False

INSTALLED_APPS = [
    "workers",  # before django_dramatiq, so that `rundramatiq` is ours
    "providers",
    "clients",
    "transactions",
    "webhooks",
    "django_dramatiq",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "csp",
    "axes",
    "unfold.apps.BasicAppConfig",
    "operators.apps.SiteConfig",  # django.contrib.admin, with our site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "txnproject",
    "operators",  # last: its admin pages replace those of the apps above
]

MIDDLEWARE = [
    "txnproject.headers.SecurityHeaders",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "txnproject.health.Probes",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- PostgreSQL
# Every wait has a timeout: a thread that waits on a dead connection for ever would silently be lost to its worker.
try:
    _database = environment.database(env.text("DATABASE_URL"))
except ValueError:  # a system check reports it
    _database = environment.database("postgresql:///unset")
_database["CONN_MAX_AGE"] = None  # kept open: opening a connection costs more than a request
SESSION_SETTINGS = {
    # Transactions wait only for the database. One that is idle for seconds belongs to a process that is frozen or cut
    # off, and its locks delay the settles of others. Its timeout is therefore shorter than their lock timeout.
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "5s",
    "timezone": "UTC",
    "jit": "off",  # all statements are short: compiling one costs more than running it
    # Sessions cache the plans that check foreign keys. A plan from the time when a table was small reads all of the
    # table at every insert until the next ANALYZE, even when it has grown. A fresh plan costs about 10 microseconds.
    "plan_cache_mode": "force_custom_plan",
}
DATABASE_POOLER = env.text("DATABASE_POOLER", "off")
_database["OPTIONS"] |= dict(
    connect_timeout=5,
    keepalives_idle=30,
    keepalives_interval=10,
    keepalives_count=3,
    tcp_user_timeout=30_000,
    application_name="transaction-relay",
)
if DATABASE_POOLER == "off":  # a pooler refuses start-up options: the settings are defaults of the role there
    _options = [_database["OPTIONS"].get("options", "")]  # those of the URL first: the last one counts
    _options += [f"-c {name}={value}" for name, value in SESSION_SETTINGS.items()]
    _database["OPTIONS"]["options"] = " ".join(_options)
_database["DISABLE_SERVER_SIDE_CURSORS"] = True  # they would need the same session for several transactions
if "," in f"{_database.get('HOST', '')}{_database['OPTIONS'].get('host', '')}":
    # A primary and its standbys: libpq tries them in turn. PostgreSQL 14 and later tell it without a round trip.
    _database["OPTIONS"].setdefault("target_session_attrs", "read-write")
DATABASES = {"default": _database}

# --- the broker
BROKER_URL = env.text("BROKER_URL")
# Read by Dramatiq from the environment when its worker is imported. An idle consumer polls with growing pauses up to
# this many ms (its default of 1000 means a median of 400 ms from send to start); prefetch matters with few threads.
os.environ.setdefault("dramatiq_worker_timeout", "50")
os.environ.setdefault("dramatiq_queue_prefetch", "64")


def _with_limit(url: str) -> str:
    """Add a timeout to an amqp:// URL, or to several that are separated by `;`, for brokers that block publishers.

    RabbitMQ blocks them while its memory or disk is short, and pika would wait for ever.
    """
    if "blocked_connection_timeout=" in url:
        return url
    return ";".join(f"{one}{'&' if '?' in one else '?'}blocked_connection_timeout=10" for one in url.split(";"))


def _broker() -> dict[str, Any]:
    """Return django-dramatiq's settings for BROKER_URL; a system check reports one that is invalid."""
    try:
        check_broker_url(url := BROKER_URL)
    except ValueError:
        url = "redis://unset"
    names = ("AgeLimit", "TimeLimit", "ShutdownNotifications", "Retries")
    middleware = [f"dramatiq.middleware.{name}" for name in names]
    middleware.append("django_dramatiq.middleware.DbConnectionsMiddleware")
    if is_amqp(url):
        options: dict[str, Any] = {"url": _with_limit(url), "confirm_delivery": True}
        return {"BROKER": "workers.broker.AmqpBroker", "OPTIONS": options, "MIDDLEWARE": middleware}
    # With `url=` redis-py neither retries nor times out. A server that refuses a command (a replica, no memory) may
    # have been replaced: redis-py then closes the connection and retries on a new one.
    client = redis_client(
        url,
        socket_timeout=5,
        socket_connect_timeout=2,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=2),
        retry_on_error=[ResponseError],
        socket_keepalive=True,
    )
    return {
        "BROKER": "workers.broker.Broker",
        # A message is a hint that is outdated after seconds, so dead messages need not be kept for days.
        "OPTIONS": {"client": client, "dead_message_ttl": 3_600_000},
        "MIDDLEWARE": middleware,
    }


DRAMATIQ_BROKER = _broker()
DRAMATIQ_AUTODISCOVER_MODULES = ["jobs"]
JOB_TABLE = "txnproject.jobs.JOBS"

# --- jobs (seconds, counts); the apps' system checks bound them and their combinations
CREATE_LEASE = env.number("CREATE_LEASE", 60.0)
TRACK_LEASE = env.number("TRACK_LEASE", 25.0)
NOTIFY_LEASE = env.number("NOTIFY_LEASE", 25.0)
MAX_CRASHES = env.number("MAX_CRASHES", 5)
WORKER_CAPACITY = env.number("WORKER_CAPACITY", 5000)
WORKER_GRACE = env.number("WORKER_GRACE", 8.0)
NOTIFICATIONS_IN_FLIGHT = env.number("NOTIFICATIONS_IN_FLIGHT", 100)
ENDPOINT_DISABLED_AFTER = env.number("ENDPOINT_DISABLED_AFTER", 432_000.0)
STALLED_AFTER = env.number("STALLED_AFTER", 300.0)

# --- permissions of staff
STATUS_BY_HAND_NEEDS_TWO = env.text("STATUS_BY_HAND_NEEDS_TWO", "off")

# --- the API
CLIENT_RATE_LIMIT = env.text("CLIENT_RATE_LIMIT")
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["clients.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["transactions.api.parsing.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "transactions.api.parsing.AnyAccept",
    "URL_FORMAT_OVERRIDE": None,
    "EXCEPTION_HANDLER": "transactions.api.problems.problem_response",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Transaction relay",
    "DESCRIPTION": "Accepts a transaction, creates it at a third party without duplicates, and notifies you of the "
    "outcome. All errors are `application/problem+json`; `type` identifies the kind of problem.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "ENUM_SUFFIX": "",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,  # the values are their own labels
    "SORT_OPERATION_PARAMETERS": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "transactions.api.schema.close_bodies",
        "webhooks.openapi.describe_webhooks",
        "transactions.api.schema.add_problems",
    ],
    # We serve the page's files ourselves, and no other host validates the description.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
}

# --- pages and transport
UNFOLD = menu.LOOK
LOGIN_URL, LOGIN_REDIRECT_URL = "admin:login", "admin:index"
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic: the admin's few files are served from where they are
WHITENOISE_ALLOW_ALL_ORIGINS = False
TLS = env.text("TLS", "on")
SECURE_SSL_REDIRECT = TLS != "off"
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000 if TLS != "off" else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = TLS != "off"
SECURE_HSTS_PRELOAD = TLS != "off"
SESSION_COOKIE_SECURE = TLS != "off"
CSRF_COOKIE_SECURE = TLS != "off"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Strict"
# With Strict, an operator who follows a link to the admin would be logged out. Lax also protects against foreign forms.
SESSION_COOKIE_SAMESITE = "Lax"
if TLS != "off":  # other hosts of the domain cannot set cookies with this prefix
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024  # bytes of a form: the limit of all bodies
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # attempts during a lockout are not stored
AXES_USERNAME_CALLABLE = "operators.lockout.tried_name"
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False  # operators.pages.access replaces it
AXES_CLIENT_IP_CALLABLE = "operators.lockout.client_address"
AXES_LOCKOUT_CALLABLE = "operators.lockout.locked_out"

LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()
LOGGING = logging_config(LOG_LEVEL)

# One image for both programs: the web server by default, a worker with `python manage.py rundramatiq` as command.
# Configuration comes from the environment; migrations are run by whoever deploys (`python manage.py migrate`).
FROM python:3.11-slim AS build
COPY requirements/ /requirements/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -r /requirements/base.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home relay
COPY --from=build /venv /venv
WORKDIR /srv/relay
COPY . .
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8000
# Compiled once here: the user below may not write. Static files are served from where they are, none are collected.
RUN python -m compileall -q .
USER relay
EXPOSE 8000
# Asks the process itself, not its stores: one that is alive is not restarted because a database is away.
# A worker listens on no port: switch this off for it (`docker run --no-healthcheck`).
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", \
  "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz\", timeout=2)"]
STOPSIGNAL SIGTERM
# As `make web` starts it (devstack/serve.py), but reachable from outside the container.
CMD ["sh", "-c", "exec granian --interface asginl --host 0.0.0.0 --port $PORT --http 1 --no-ws --no-access-log --workers 1 --backpressure 900 --http1-buffer-size 65536 --http1-header-read-timeout 10000 --workers-kill-timeout 5 txnproject.asgi:application"]

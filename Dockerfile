# One image for both programs: the web server is the default command, `python manage.py rundramatiq` starts a worker.
# Environment variables configure it. Run `python manage.py migrate` with each deployment: the image does not.
FROM python:3.11-slim AS build
COPY requirements/ /requirements/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check -r /requirements/production.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home relay
COPY --from=build /venv /venv
WORKDIR /srv/relay
COPY . .
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOST=0.0.0.0 PORT=8000
# Compile now: the user below has no write permission. Static files need no collectstatic, the service finds them.
RUN python -m compileall -q .
USER relay
EXPOSE 8000
# Checks only the process, so that a database outage restarts no container.
# A worker has no port: disable this check for it (`docker run --no-healthcheck`).
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", \
  "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz\", timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["python", "-m", "txnproject.webserver"]

# syntax=docker/dockerfile:1
# Targets: service, worker-cpu, worker-gpu. Everything comes from the lock files; nothing runs as root.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 PYTHONPATH=/app PATH=/venv/bin:$PATH
RUN useradd --create-home --uid 10001 baton \
    && mkdir -p /data /home/baton/.cache/baton \
    && chown baton:baton /data /home/baton/.cache /home/baton/.cache/baton
WORKDIR /app

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv

FROM build AS build-service
COPY requirements/service.txt /tmp/lock.txt
RUN pip install --require-hashes --no-deps -r /tmp/lock.txt

FROM build AS build-worker-cpu
COPY requirements/worker-cpu.txt /tmp/lock.txt
RUN pip install --require-hashes --no-deps -r /tmp/lock.txt

FROM build AS build-worker-gpu
COPY requirements/worker-gpu.txt /tmp/lock.txt
RUN pip install --require-hashes --no-deps -r /tmp/lock.txt

FROM base AS service
COPY --from=build-service /venv /venv
COPY core ./core
COPY service ./service
COPY client ./client
COPY migrations ./migrations
# The service reads the plans as files and imports nothing from here.
COPY models/__init__.py ./models/
COPY models/plans ./models/plans
USER baton
ENV BATON_HOST=0.0.0.0 BATON_PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD \
    ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"BATON_PORT\"]}/readyz', timeout=4)"]
CMD ["python", "-m", "service"]

FROM base AS worker
COPY core ./core
COPY worker ./worker
COPY models ./models
USER baton
# `docker stop` sends SIGTERM: give it the time to save, with --stop-timeout or stop_grace_period.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "worker"]

FROM worker AS worker-cpu
COPY --from=build-worker-cpu /venv /venv

FROM worker AS worker-gpu
COPY --from=build-worker-gpu /venv /venv

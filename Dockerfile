# Targets: service, worker-cpu, worker-gpu. Everything comes from the lock files; nothing runs as root.
#   make images          builds them with docker, podman or buildah
# BASE is any Debian image with Python 3.11 to 3.13. scripts/pin_images.sh pins it by digest; `make images` uses the pin.
# Pass your own index or certificate as a secret. It is stored in no layer:
#   docker build --secret id=pip,src=pip.conf --secret id=ca,src=ca.pem ...   (in pip.conf: cert = /run/secrets/ca)
ARG BASE=docker.io/library/python:3.12-slim

# hadolint ignore=DL3006
FROM ${BASE} AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 PYTHONPATH=/app PATH=/venv/bin:$PATH
# Python as process 1 would ignore a SIGTERM before its handlers are set, and would not reap orphans. tini does both.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 baton \
    && mkdir -p /data /home/baton/.cache/baton \
    && chown -R baton:baton /data /home/baton/.cache
WORKDIR /app

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /venv

FROM build AS build-service
COPY requirements/service.txt /tmp/lock.txt
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    pip install --require-hashes --no-deps -r /tmp/lock.txt

# Baton's own wheel: the service hands it out to machines that become workers.
FROM build AS build-wheel
COPY requirements/build.txt /tmp/lock.txt
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    pip install --require-hashes --no-deps -r /tmp/lock.txt
COPY . .
RUN python -m hatchling build -t wheel -d /wheel

FROM build AS build-worker-cpu
COPY requirements/worker-cpu.txt /tmp/lock.txt
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    pip install --require-hashes --no-deps -r /tmp/lock.txt

FROM build AS build-worker-gpu
COPY requirements/worker-gpu.txt /tmp/lock.txt
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    pip install --require-hashes --no-deps -r /tmp/lock.txt

FROM base AS service
COPY --from=build-service /venv /venv
COPY baton ./baton
COPY service ./service
COPY migrations ./migrations
# The service reads the plans as files and imports nothing from here.
COPY models/__init__.py ./models/
COPY models/plans ./models/plans
COPY --from=build-wheel /wheel /wheel
USER 10001:10001
# The service listens on all addresses, IPv6 and IPv4. If the kernel has no IPv6, it listens on IPv4.
ENV BATON_HOST=:: BATON_PORT=8080 BATON_WHEEL=/wheel
EXPOSE 8080
# /readyz is not used, because it fails while Redis or the store is unavailable. A restart of the container at that time
# would interrupt heartbeats.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD \
    ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"BATON_PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "service"]

FROM base AS worker
USER 10001:10001
# For a read-only root file system: libraries write their own files to /tmp and to the cache.
ENV BATON_HEALTH_FILE=/tmp/baton-worker.health MPLCONFIGDIR=/tmp/matplotlib KERAS_HOME=/tmp/keras \
    CUDA_CACHE_PATH=/home/baton/.cache/baton/nv
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-m", "worker.health"]
# The engine must wait longer than BATON_GRACE before it kills: --stop-timeout, stop_grace_period.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "python", "-m", "worker"]

FROM worker AS worker-cpu
COPY --from=build-worker-cpu /venv /venv
COPY baton ./baton
COPY worker ./worker
COPY models ./models

FROM worker AS worker-gpu
# The NVIDIA container toolkit adds the driver's libraries. CUDA is in the lock file.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-worker-gpu /venv /venv
COPY baton ./baton
COPY worker ./worker
COPY models ./models

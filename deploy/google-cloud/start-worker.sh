#!/bin/bash
# The start-up script of a VM in a Google Cloud instance group: it runs one worker for each GPU, as a systemd unit, so
# that a shutdown stops the worker and waits for its end. It reads metadata of the instance template:
#   baton-url      the URL of the service
#   baton-secret   the name of the secret with the token, in Secret Manager
#   baton-image    the image of the worker
#   baton-queue    the queue to serve; default: default
#   baton-idle     a worker ends after this time without work; default: 10m
# A worker is called after its VM, NAME.gpu0. scale_group.py finds the workers of a VM by this name.
set -euo pipefail
export HOME=/root

metadata() {
  curl --fail --silent --show-error --retry 5 --header 'Metadata-Flavor: Google' \
    "http://metadata.google.internal/computeMetadata/v1/instance/$1"
}
attribute() { metadata "attributes/$1"; }

name=$(metadata name)
url=$(attribute baton-url)
secret=$(attribute baton-secret)
image=$(attribute baton-image)
queue=$(attribute baton-queue 2>/dev/null || echo default)
idle=$(attribute baton-idle 2>/dev/null || echo 10m)
token=$(gcloud secrets versions access latest --secret "$secret")

mkdir -p /etc/baton /var/cache/baton
chown 10001 /var/cache/baton
install -m 600 /dev/stdin /etc/baton/env <<END
BATON_URL=$url
BATON_TOKEN=$token
BATON_IDLE=$idle
BATON_GRACE=25
END
# A worker without work ends with status 0 after BATON_IDLE. systemd does not start it again, and scale_group.py deletes
# the VM.
cat > /etc/systemd/system/baton-worker@.service <<END
[Unit]
After=docker.service nvidia-persistenced.service
[Service]
ExecStart=/usr/bin/docker run --rm --name worker-%i --gpus device=%i --network host --env-file /etc/baton/env --env BATON_WORKER_NAME=$name.gpu%i --stop-timeout 40 --volume /var/cache/baton:/home/baton/.cache/baton $image --queue=$queue
ExecStop=/usr/bin/docker stop worker-%i
TimeoutStopSec=45
Restart=on-failure
RestartSec=10
[Install]
WantedBy=multi-user.target
END
case $image in *-docker.pkg.dev/*) gcloud auth configure-docker "${image%%/*}" --quiet ;; esac

# At the first start of a VM the NVIDIA driver may still be being installed, so wait for it.
for _ in $(seq 180); do
  nvidia-smi --list-gpus && break
  sleep 5
done
gpus=$(nvidia-smi --list-gpus | wc -l)
systemctl daemon-reload
for gpu in $(seq 0 $((gpus - 1))); do
  systemctl enable --now "baton-worker@$gpu"
done

#!/usr/bin/env bash
# Make what a Dask cluster needs to encrypt: a key, its certificate, and settings that name both.
# Usage: deploy/tls.sh FOLDER, then DASK_CONFIG=FOLDER/tls.yaml for scheduler, workers and predict.
set -euo pipefail
[ $# -eq 1 ] || { echo "Usage: $0 FOLDER" >&2; exit 2; }
command -v openssl > /dev/null || { echo "$0 needs the command openssl: install it." >&2; exit 1; }

umask 077  # whoever reads the key may run code on all workers
mkdir -p "$1"
folder="$(cd "$1" && pwd)"
key="$folder/key.pem" certificate="$folder/certificate.pem"
[ ! -e "$key" ] || { echo "$key exists: remove it to make another." >&2; exit 1; }

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
    -subj /CN=dask -keyout "$key" -out "$certificate" 2> /dev/null
cat > "$folder/tls.yaml" << END
distributed:
  comm:
    require-encryption: true
    tls:
      ca-file: $certificate
      scheduler: {cert: $certificate, key: $key}
      worker: {cert: $certificate, key: $key}
      client: {cert: $certificate, key: $key}
END
echo "Set DASK_CONFIG=$folder/tls.yaml"

#!/usr/bin/env bash
# A scheduler and two workers as separate processes on this machine, and a slide predicted by them.
# Usage: deploy/local.sh MODEL SLIDE OUT; with PROTOCOL=tls after deploy/tls.sh
set -euo pipefail
[ $# -eq 3 ] || { echo "Usage: $0 MODEL SLIDE OUT" >&2; exit 2; }

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PYTHONPATH="$root"
export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3
protocol="${PROTOCOL:-tcp}" port="${PORT:-8786}"
address="$protocol://127.0.0.1:$port"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3

started="$(mktemp)"  # the scheduler writes its address into it
workers=""
end() {  # the workers first: without a scheduler they would look for it
    kill $workers 2> /dev/null || :
    for worker in $workers; do wait "$worker" || :; done
    kill "$scheduler" 2> /dev/null || :
    wait
    rm -f "$started"
}
"$python" -m dask scheduler --protocol "$protocol" --host 127.0.0.1 --port "$port" --no-dashboard \
    --scheduler-file "$started" 2> /dev/null &
scheduler=$!
trap end EXIT
until [ -s "$started" ]; do
    # Else the workers would join a scheduler of another run, and end when that one does.
    if ! kill -0 "$scheduler" 2> /dev/null; then
        echo "The scheduler ended: if port $port is taken, set PORT." >&2
        exit 1
    fi
    sleep 0.2
done
for _ in 1 2; do  # on a busy machine they take many seconds to start; `predict` waits for a minute
    "$python" -m dask worker "$address" --nthreads 1 --memory-limit 0 --death-timeout 60 \
        --no-dashboard 2> /dev/null &
    workers="$workers $!"
done

"$python" -m nuclei predict "$1" "$2" --out "$3" --scheduler "$address"

#!/bin/sh
# Runs a worker under the first of the names worker-1, worker-2, … that no other replica holds.
#
# Replicas share one data volume. A name is held by a lock on a file in it, which the worker inherits:
# the lock ends with the worker, however that ends, and the next replica takes over the name and
# with it the tables that are on the disk. A container's own name would leave them behind for good.
set -eu

max_replicas=1000
names="$STEELYARD_DATA_DIR/names"

if [ -z "${STEELYARD_WORKER_NAME:-}" ]; then
    mkdir -p "$names"
    number=1
    while :; do
        exec 9>"$names/worker-$number.lock"
        flock --nonblock 9 && break
        number=$((number + 1))
        if [ "$number" -gt "$max_replicas" ]; then
            text="$max_replicas workers already run on STEELYARD_DATA_DIR"
            if [ "${STEELYARD_LOG_FORMAT:-}" = json ]; then
                text="{\"level\": \"error\", \"message\": \"$text\"}"
            fi
            echo "$text" >&2
            exit 2
        fi
    done
    export STEELYARD_WORKER_NAME="worker-$number"
fi
exec python -m faust -A app worker -l info

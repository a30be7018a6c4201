#!/bin/bash
# Play kitchen.ogg through the daemon and print its events beside it. Ends with the recording;
# the exit code is the daemon's. An own socket keeps clear of a daemon that runs already.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
streamsed listen --connect "ipc://$folder/s" --until-stop &
listener=$!
trap 'kill "$listener" 2>/dev/null || true; rm -rf "$folder"' EXIT

streamsed run --config examples/demo.yaml --bind "ipc://$folder/s" "$@"
wait "$listener"

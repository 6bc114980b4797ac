# shellcheck shell=bash
# The processes that the demo starts: each has a log of its own, is known by its pid, and is stopped by it. Knows nothing of what
# they do. Sourced by demo/run and demo/guix/run.

readonly STOP_TIMEOUT_SECS=10

pids=() # in the order of their start

# launch LOG COMMAND…: in the background; the pid is in $launched.
launch() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 </dev/null &
  launched=$!
  pids+=("$launched")
}

# await SECS PID LOG WHAT COMMAND…: until COMMAND succeeds. Gives up when PID is gone or the time is over, and shows its log.
await() {
  local deadline=$((SECONDS + $1)) pid=$2 log=$3 what=$4
  shift 4
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 20 "$log" >&2
      echo "demo: $what did not come up; the end of its log stands above" >&2
      return 1
    fi
    sleep 0.1
  done
}

stop() {
  local pid=$1 deadline=$((SECONDS + STOP_TIMEOUT_SECS))
  kill -TERM "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
    sleep 0.05
  done
  wait "$pid" 2>/dev/null || true
}

# The last one first, since it may need the ones before it to end well.
stop_all() {
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do stop "${pids[i]}"; done
  pids=()
}

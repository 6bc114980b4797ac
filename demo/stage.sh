# shellcheck shell=bash disable=SC2154,SC2034  # root, store_script and stores are the demo's; served_url is for the demo
# What every demo stands on: where it runs, how it talks, what it leaves out, how it cleans up. Sourced by demo/run and
# demo/guix/run, which set `store_script` (demo/store-daemon or the like) and `stores` (the names of its stores).

left_out=() # what could not be done, in words

say() { printf 'demo: %3ds  %s\n' "$SECONDS" "$*"; }
indent() { sed 's/^/            /'; }
fail() { echo "demo: FAILED: $*" >&2; exit 1; }
leave_out() {
  left_out+=("$*")
  if [ "${DEMO_WHOLE:-}" = 1 ]; then fail "$*"; fi
}

tell_what_was_left_out() {
  local what
  if [ "${#left_out[@]}" = 0 ]; then return 0; fi
  printf '\nNot shown on this machine:\n'
  for what in "${left_out[@]}"; do echo "  - $what"; done
}

check_nonce() {
  [[ $nonce =~ ^[A-Za-z0-9._-]{1,64}$ ]] || fail "DEMO_NONCE must be 1 to 64 letters, digits, dots, dashes and underscores"
}

# The socket of a store daemon lies in this folder, and the kernel takes no path of more than 107 bytes for a socket.
make_run_folder() {
  mkdir -p .cache/demo
  run=$(mktemp -d "$root/.cache/demo/XXXXXX")
  if [ ${#run} -gt 90 ]; then
    rmdir "$run"
    run=$(mktemp -d /tmp/drover-demo.XXXXXX)
  fi
  chmod 755 "$run"
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

clean_up() {
  local status=$? store
  trap '' INT TERM HUP
  stop_all
  # Folders in a store are read-only, which stops everybody but root from deleting them.
  if [ "$(id -u)" != 0 ]; then chmod -R u+w "$run"; fi
  if [ "${DEMO_KEEP:-}" = 1 ]; then
    for store in "${stores[@]}"; do "$store_script" stop "$run/$store" || true; done
  else
    for store in "${stores[@]}"; do "$store_script" remove "$run/$store" || true; done
  fi
  if [ "${DEMO_KEEP:-}" = 1 ] || [[ ! $status =~ ^(0|130)$ ]]; then say "logs are in $run"; else rm -rf "$run"; fi
}

# in_store NAME COMMAND…
in_store() { "$store_script" exec "$run/$1" "${@:2}"; }

# serve FOLDER: its files over HTTP on loopback; the address is in $served_url.
serve() {
  launch "$run/http.log" python3 -u -m http.server --bind 127.0.0.1 --directory "$1" 0
  await 20 "$launched" "$run/http.log" "the server of $1" grep -q ' port [0-9]' "$run/http.log"
  served_url=http://127.0.0.1:$(sed -n 's/.* port \([0-9]*\).*/\1/p;q' "$run/http.log")
}

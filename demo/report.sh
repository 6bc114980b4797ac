# shellcheck shell=bash disable=SC2154  # agent_names is farm.sh's, store_dir the demo's
# What the demo tells at its end, from the farm's own list of builds: who built what in which time, and which outputs had to
# travel. Sourced by demo/run and demo/guix/run.

# /nix/store/…-hello-2.10.drv or …-hello-2.10.drv → hello-2.10
package() {
  local name
  name=$(basename "$1" .drv)
  echo "${name#*-}"
}

# print_table BUILDS: the file that `builds` wrote.
print_table() {
  local drv agent millis state
  printf '\n%-28s %-10s %-8s %s\n' BUILD STATE AGENT SECONDS
  while IFS=$'\t' read -r drv agent millis state; do
    printf '%-28s %-10s %-8s %4d.%d\n' "$(package "$drv")" "$state" "${agent_names[$agent]:-$agent}" \
      $((millis / 1000)) $((millis % 1000 / 100))
  done <"$1"
}

# travels BUILDS COMMAND…: a line for every input that one agent built and another used. COMMAND prints a derivation's references.
travels() {
  local file=$1 drv agent input
  local -A built_by
  shift
  while IFS=$'\t' read -r drv agent _; do built_by[$(basename "$drv")]=$agent; done <"$file"
  while IFS=$'\t' read -r drv agent _; do
    for input in $("$@" "$store_dir/$(basename "$drv")"); do
      input=${input##*/}
      if [ -n "${built_by[$input]:-}" ] && [ "${built_by[$input]}" != "$agent" ]; then
        echo "$(package "$input"): built by ${agent_names[${built_by[$input]}]}, fetched by ${agent_names[$agent]} for $(package "$drv")"
      fi
    done
  done <"$file"
}

# shellcheck shell=bash disable=SC2154,SC2034  # run is demo/run's, and agent_names is for it
# The farm of the demo: `drover up` and its agents, one beside each store daemon. Sourced by demo/run.

readonly FARM_TIMEOUT_SECS=60

declare -A agent_names=() # UUID → name

start_farm() {
  say "starting the farm: nats-server, scheduler, hook worker, cache"
  launch "$run/up.log" drover up --dir "$run/farm" --no-agents
  farm_pid=$launched
  export DROVER_FARM=$run/farm
  await "$FARM_TIMEOUT_SECS" "$farm_pid" "$run/up.log" "the farm" farm_answers
  cache_url=$(cat "$run/farm/cache-url")
  cache_key=$(cat "$run/farm/cache-key.pub")
}

farm_answers() { [ -s "$run/farm/cache-url" ] && [ -s "$run/farm/cache-key.pub" ] && drover list; }

# start_agent NAME SOCKET COMMAND…: an agent with a login of its own, run through COMMAND (which enters its store's namespace,
# or nothing). Its id is in $agent_id.
start_agent() {
  local name=$1 socket=$2 password=$run/$1.password
  shift 2
  agent_id=$(drover agent new --name "$name" --password-file "$password") || fail "no login for agent $name"
  agent_names[$agent_id]=$name
  launch "$run/agent-$name.log" "$@" drover-agent --farm "$run/farm" --name "$name" --uuid "$agent_id" --password-file "$password" \
    --system "$(nix_system)" --max-parallel-builds 1 --daemon-socket "$socket" --store-dir /nix/store \
    --substitute-url "$cache_url" --trusted-public-key "$cache_key" --state-dir "$run/agent-$name"
  await "$FARM_TIMEOUT_SECS" "$launched" "$run/agent-$name.log" "agent $name" agent_is_alive "$agent_id"
}

agent_is_alive() {
  drover agent list --json | jq --exit-status --arg id "$1" '[.. | objects | select(.agent? == $id and .alive)] | length > 0'
}

nix_system() { echo "$(uname -m)-linux"; }

# All builds of the farm, oldest first, a line each: derivation, agent's id, milliseconds, state.
builds() {
  drover list --json --limit 500 |
    jq --raw-output '[.. | objects | select(has("drv") and has("state"))] | sort_by(.created_at) | .[]
      | [.drv, .agent // "-", .build_millis // 0, .state] | @tsv'
}

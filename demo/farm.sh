# shellcheck shell=bash disable=SC2154,SC2034  # some of what is used here is the demo's, and some of what is set is for it
# The farm of a demo: `drover up` and its agents, one beside each store daemon. Sourced by demo/run and demo/guix/run, which set
# `store_dir`, `cache_url` and `trust` (what makes an agent trust that cache) before they start agents.

readonly FARM_TIMEOUT_SECS=60

declare -A agent_names=() # UUID → name

start_farm() {
  say "starting the farm: nats-server, scheduler, hook worker, cache"
  export DROVER_FARM=$run/farm
  launch "$run/up.log" drover up --dir "$DROVER_FARM" --no-agents
  await "$FARM_TIMEOUT_SECS" "$launched" "$run/up.log" "the farm" farm_answers
}

farm_answers() { [ -s "$DROVER_FARM/farm.json" ] && drover list; }

# start_agent NAME SOCKET [COMMAND…]: an agent with a login of its own, started through COMMAND, which enters its store's namespace.
start_agent() {
  local name=$1 socket=$2 password=$run/$1.password id
  shift 2
  id=$(drover agent new --name "$name" --password-file "$password") || fail "no login for agent $name"
  agent_names[$id]=$name
  launch "$run/agent-$name.log" "$@" drover-agent --name "$name" --uuid "$id" --password-file "$password" \
    --nats-url "$(farm_fact nats_url)" --bucket "$(farm_fact bucket)" --state-dir "$run/agent-$name" \
    --system "$(uname -m)-linux" --max-parallel-builds 1 --daemon-socket "$socket" --store-dir "$store_dir" \
    --substitute-url "$cache_url" "${trust[@]}"
  await "$FARM_TIMEOUT_SECS" "$launched" "$run/agent-$name.log" "agent $name" agent_is_ready "$id"
}

farm_fact() { jq --raw-output ".$1" "$DROVER_FARM/farm.json"; }

agent_is_ready() {
  drover agent list --json | jq --slurp --exit-status --arg id "$1" 'any(.agent == $id and .alive and .not_ready == null)'
}

# All builds of the farm, oldest first, a line each: derivation, agent's id, milliseconds, state.
builds() {
  drover list --json --limit 500 |
    jq --slurp --raw-output 'sort_by(.created_at, .build) | .[] | [.drv, .agent // "-", .build_millis // 0, .state] | @tsv'
}

# shellcheck shell=bash disable=SC2034,SC2154  # what is shared between this file and those that source it
# A daemon with a store of its own, beside any others on this machine: what is the same for Nix and Guix. Sourced by
# demo/store-daemon and demo/guix-daemon, which set `program` and `mount_point`, and define `answers`, whether the daemon does.

readonly BUILD_USERS=16       # how many builds this daemon can run at once, at most
readonly SOCKET_PATH_MAX=107  # bytes; sun_path of Linux, less its NUL
readonly START_TIMEOUT_SECS=30
readonly STOP_TIMEOUT_SECS=10

say() { printf '%s: %s\n' "$program" "$*" >&2; }
fail() { say "$*"; exit 1; }
wrong() { say "$*"; exit 2; }
impossible() { say "cannot be done here: $*"; exit 77; }

usage() { sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"; }

# The bytes of a string, whatever the locale.
bytes() { local LC_ALL=C; printf '%s' "${#1}"; }

# Resolves DIR once; every other function uses the absolute, physical $dir.
enter_dir() {
    [ -n "${1-}" ] || wrong "no DIR given; see $program --help"
    [ -d "$1" ] || return 1
    dir=$(CDPATH='' cd -P -- "$1" && pwd -P)
}

check_machine() {
    [ "$(uname -s)" = Linux ] || impossible "this is not Linux"
    [ "$(id -u)" = 0 ] || impossible "namespaces and build users need root"
    local tool
    for tool in unshare mount flock pivot_root; do
        command -v "$tool" >/dev/null || impossible "$tool is missing (Debian: apt-get install util-linux mount)"
    done
    mkdir -p "$mount_point" 2>/dev/null || impossible "there is no directory $mount_point to mount on, and it cannot be made"
    unshare --mount --pid --fork --propagation slave mount -t proc proc /proc 2>/dev/null ||
        impossible "this machine does not let us make mount and pid namespaces"
}

check_arguments() {
    [[ $name =~ ^[a-z][a-z0-9-]{0,15}$ ]] || wrong "NAME must be 1 to 16 of a-z, 0-9 and -, not '$name'"
    [[ $uid_base =~ ^[1-9][0-9]{3,8}$ ]] || wrong "UID_BASE must be a number from 1000 up, not '$uid_base'"
    local length
    length=$(bytes "$dir/socket")
    [ "$length" -le "$SOCKET_PATH_MAX" ] ||
        wrong "$dir/socket has $length bytes; a socket's path can have $SOCKET_PATH_MAX: choose a shorter DIR"
}

# write_accounts ROOT: the accounts of the machine or a root, without those whose numbers we take, and our build users.
write_accounts() {
    local last=$((uid_base + BUILD_USERS)) i members=
    awk -F: -v a="$uid_base" -v b="$last" '$3 < a || $3 > b' "$1/etc/passwd" >"$dir/etc/passwd"
    awk -F: -v a="$uid_base" -v b="$last" '$3 < a || $3 > b' "$1/etc/group" >"$dir/etc/group"
    for ((i = 1; i <= BUILD_USERS; i++)); do
        printf 'drover-%s-%d:x:%d:%d:build user:/var/empty:/usr/sbin/nologin\n' \
            "$name" "$i" $((uid_base + i)) "$uid_base" >>"$dir/etc/passwd"
        members+=${members:+,}drover-$name-$i
    done
    printf 'drover-%s:x:%d:%s\n' "$name" "$uid_base" "$members" >>"$dir/etc/group"
}

# One start of a store at a time; the lock is on descriptor 9, which a daemon must not inherit.
lock() {
    exec 9>"$dir/lock"
    flock -w "$START_TIMEOUT_SECS" 9 || fail "another start of $dir hangs"
}

# The daemon's pid, when it runs. A pid file can outlive its process and the number be used again, so
# the process must carry our folder in its environment.
running_pid() {
    local pid
    pid=$(cat "$dir/daemon.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
    grep -qzxF "PRIVATE_STORE=$dir" "/proc/$pid/environ" 2>/dev/null || return 1
    printf '%s' "$pid"
}

# await_answer PID: of the process that becomes the daemon; on failure shows what it said.
await_answer() {
    local deadline=$((SECONDS + START_TIMEOUT_SECS))
    until answers; do
        if ! kill -0 "$1" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            tail -n 20 "$dir/log" >&2 || true
            stop
            fail "the daemon of $dir did not answer; its last words stand above"
        fi
        sleep 0.05
    done
}

# SIGKILL to the daemon, which is the init of its pid namespace, takes all its builds along; init
# ignores SIGTERM.
stop() {
    local pid deadline=$((SECONDS + STOP_TIMEOUT_SECS))
    if pid=$(running_pid); then
        kill -KILL "$pid" 2>/dev/null || true
        while running_pid >/dev/null; do
            [ "$SECONDS" -lt "$deadline" ] || fail "the daemon of $dir, pid $pid, does not die"
            sleep 0.02
        done
    fi
    rm -f "$dir/daemon.pid" "$dir/socket"
}

# Stops it and deletes everything, but not what is no store of ours.
remove() {
    [ -e "$dir$mount_point" ] || [ -z "$(ls -A "$dir")" ] || wrong "$dir holds no store of ours"
    stop
    rm -rf --one-file-system -- "$dir"
}

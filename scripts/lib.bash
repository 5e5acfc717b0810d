# The scripts here share this file. Each sources it first; it prints errors under the script's name.
# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts use what is set here

set -euo pipefail

# The folder of the scripts, also for one that is called by a symbolic link.
SCRIPTS=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
ROOT=$(dirname "$SCRIPTS")

die() { # STATUS MESSAGE...
  printf '%s: error: %s\n' "${0##*/}" "${*:2}" >&2
  exit "$1"
}

# Prints the lines "#   NAME ..." at the head of the script as its usage.
usage() {
  sed -n "s/^#   ${0##*/}/usage: ${0##*/}/p" "$0" >&2
  exit 64
}

# Prints the version that main.go names.
program_version() {
  sed -n 's/^var version = "\(.*\)"$/\1/p' "$ROOT/main.go" | grep . || die 70 "main.go names no version"
}

# Calls finish with the exit status, on every way to end but SIGKILL.
on_exit() { # FUNCTION
  # shellcheck disable=SC2064 # the name is meant now
  trap "$1 \$?" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Runs a command that ignores no signal. A job that a shell starts in the background ignores some,
# and so does one under nohup. Their children inherit that and cannot undo it. The tests send
# these signals.
default_signals() { # COMMAND...
  if env --default-signal true 2>/dev/null; then
    env --default-signal "$@"
  else
    "$@"
  fi
}

# Keeps each core busy until end_load.
load=()
start_load() {
  local core
  for ((core = 0; core < $(getconf _NPROCESSORS_ONLN); core++)); do
    sh -c 'while :; do :; done' &
    load+=("$!")
  done
}

end_load() {
  ((${#load[@]} == 0)) || kill "${load[@]}" || true
  load=()
}

until_deadline() { # SECONDS COMMAND...
  local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
  shift
  until "$@"; do
    ((${EPOCHREALTIME/[.,]/} < deadline)) || return 1
    sleep 0.05
  done
}

# Prints the processes with that in their environment.
marked() { # NAME=VALUE
  grep -slzxF -- "$1" /proc/[0-9]*/environ | cut -d/ -f3 || true
}

none_marked() { [[ -z $(marked "$1") ]]; } # NAME=VALUE

signal_marked() { # NAME=VALUE SIGNAL
  local pids
  mapfile -t pids < <(marked "$1")
  ((${#pids[@]} == 0)) || kill "-$2" "${pids[@]}" 2>/dev/null || true
}

port_open() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; } # PORT

# Prints a port below the range from which the kernel takes ports for outgoing connections.
# Somebody else may still take it first: a caller has to expect that.
free_port() {
  local port
  while port=$((10000 + SRANDOM % 20000)); do
    port_open "$port" || break
  done
  echo "$port"
}

# Sets AMQPRUN_URL to the broker of the environment if that answers. Otherwise it starts one and
# sets $broker to its name, which end_broker stops, and AMQPRUN_TEST_BROKER, which lets tests
# disturb it.
broker=''
with_broker() { # NAME
  local url
  unset AMQPRUN_TEST_BROKER
  if url=$("$SCRIPTS/broker" probe); then
    echo "${0##*/}: using the broker of the environment" >&2
    export AMQPRUN_URL=$url
    return
  fi
  broker=$1
  AMQPRUN_URL=$("$SCRIPTS/broker" start "$broker")
  export AMQPRUN_URL AMQPRUN_TEST_BROKER=$broker
}

end_broker() { [[ -z $broker ]] || "$SCRIPTS/broker" stop "$broker"; }

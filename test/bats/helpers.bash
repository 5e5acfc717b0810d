# Loaded by every file here. Needs bin/amqprun and, for most tests, AMQPRUN_URL: `make test-bats` provides both.
# shellcheck shell=bash
set -u
bats_require_minimum_version 1.5.0

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
PATH=$ROOT/bin:$PATH
# What the caller exported for amqprun would change what is tested; only the broker stays.
for var in $(compgen -e AMQPRUN_); do
  [[ $var =~ ^AMQPRUN_(URL|TEST_BROKER|BROKER_DIR)$ ]] || unset "$var"
done
unset GITHUB_RUN_ID BUILDKITE_BUILD_URL BUILDKITE_JOB_ID CI_JOB_URL BUILD_URL # status would tell of the CI job that runs the tests

# A lock of this test alone, and its own directory as the current one.
setup() {
  LOCK=test-$$-$BATS_TEST_NUMBER-$SRANDOM
  BACKGROUND=()
  cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
  end_background
}

# Bats's run, which also prints what it ran, before it judges the status: shown when the test fails.
sane_run() { # [-STATUS | !] [OPTION-OF-RUN...] COMMAND...
  local options=() want=''
  while [[ $1 == -* || $1 == '!' ]]; do
    case $1 in
      -[0-9]*) want=${1#-} ;;
      '!') want='!' ;;
      *) options+=("$1") ;;
    esac
    shift
  done
  # run warns of a 127 that nobody expected.
  [[ $want != 127 ]] || options+=(-127)
  run "${options[@]}" -- "$@"
  echo "$ $*"
  echo "status $status${want:+, expected $want}"
  printf '%s\n' "$output" ${stderr:+"stderr: $stderr"}
  case $want in
    '') ;;
    '!') ((status != 0)) ;;
    *) ((status == want)) ;;
  esac
}

# Polls until the command succeeds; its output is that of the last try.
wait_until() { # SECONDS COMMAND...
  local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000)) last
  shift
  until last=$("$@" 2>&1); do
    if ((${EPOCHREALTIME/[.,]/} > deadline)); then
      echo "still false at the deadline: $* ${last:+($last)}"
      return 1
    fi
    sleep 0.02
  done
}

file_has() { grep -qE -- "$2" "$1"; }                           # FILE PATTERN
file_lines() { [[ -e $1 && $(wc -l <"$1") -ge $2 ]]; }          # FILE COUNT
is_gone() { ! kill -0 "$1" 2>/dev/null || is_zombie "$1"; }     # PID
is_zombie() { [[ $(ps -o stat= -p "$1" 2>/dev/null) == Z* ]]; } # PID

# Starts a command whose process id is then in $bg_pid and its output in bg.N.out and bg.N.err, N counting from 1.
# Descriptor 3 belongs to Bats, which waits for its end; and a shell without job control lets what it puts in the
# background ignore INT and QUIT.
start_bg() { # COMMAND...
  local n=$((${#BACKGROUND[@]} + 1))
  env --default-signal=INT,QUIT -- "$@" </dev/null >"bg.$n.out" 2>"bg.$n.err" 3>&- &
  bg_pid=$!
  BACKGROUND+=("$bg_pid")
}

# The exit status of a command of start_bg, in $status. The deadline ends a test that would hang.
wait_bg() { # SECONDS PID
  wait_until "$1" is_gone "$2" || return
  status=0
  wait "$2" || status=$?
}

end_background() {
  local pid
  for pid in ${BACKGROUND[@]+"${BACKGROUND[@]}"}; do
    kill -CONT "$pid" 2>/dev/null || continue
    kill -TERM "$pid" 2>/dev/null || continue
    wait_until 10 is_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
  done
}

requires_broker() {
  [[ -n ${AMQPRUN_URL:-} ]] || skip "no broker: AMQPRUN_URL is not set"
}

# Tests that stop the broker, or look into it, do so only with the private one that scripts/test started.
requires_broker_ctl() {
  requires_broker
  [[ -n ${AMQPRUN_TEST_BROKER:-} ]] || skip "the broker in AMQPRUN_URL is not ours to disturb"
}

broker_ctl() { "$ROOT/scripts/broker" ctl -n "$AMQPRUN_TEST_BROKER" -q "$@" 3>&-; }
broker_pid() { "$ROOT/scripts/broker" pid "$AMQPRUN_TEST_BROKER"; }

# Closes every connection whose name has WORD in it, as an operator would.
broker_close_connections() { # WORD
  broker_ctl eval "
    [rabbit_networking:close_connection(P, \"closed by a test\") ||
      [{pid, P}, {client_properties, T}] <- rabbit_networking:connection_info_all([pid, client_properties]),
      {<<\"connection_name\">>, _, Name} <- T, binary:match(Name, <<\"$1\">>) =/= nomatch]."
}

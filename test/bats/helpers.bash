# Every file here loads this one. `make test-bats` provides bin/amqprun and AMQPRUN_URL.
# shellcheck shell=bash
set -u
bats_require_minimum_version 1.5.0

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
PATH=$ROOT/bin:$PATH
# Settings of the caller would change the tests, so only the broker stays.
for var in $(compgen -e AMQPRUN_); do
  [[ $var =~ ^AMQPRUN_(URL|TEST_BROKER|BROKER_DIR)$ ]] || unset "$var"
done
unset GITHUB_RUN_ID BUILDKITE_BUILD_URL BUILDKITE_JOB_ID CI_JOB_URL BUILD_URL # status would show the CI job that runs the tests

# Gives each test a lock name of its own, and an empty current directory.
setup() {
  LOCK=test-$$-$BATS_TEST_NUMBER-$SRANDOM
  BACKGROUND=()
  cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
  end_background
}

# The run of Bats. It also prints what it ran, which Bats shows when the test fails.
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
  # Without this option run warns of a 127.
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

# Polls until the command succeeds, and prints the output of the last try if it does not.
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

# Succeeds if that process of this shell runs. Its number alone does not say so. The tests start hundreds
# of processes a second, and after a minute or two another one may have the number.
runs() { [[ $'\n'$(jobs -pr)$'\n' == *$'\n'"$1"$'\n'* ]]; } # PID
has_ended() { ! runs "$1"; }                                # PID

# Starts a command in the background. Its process id is in $bg_pid, its output in bg.N.out and bg.N.err;
# N counts from 1. Bats waits for everybody who has descriptor 3. A shell without job control starts
# background commands that ignore INT and QUIT.
start_bg() { # COMMAND...
  local n=$((${#BACKGROUND[@]} + 1))
  env --default-signal=INT,QUIT -- "$@" </dev/null >"bg.$n.out" 2>"bg.$n.err" 3>&- &
  bg_pid=$!
  BACKGROUND+=("$bg_pid")
}

# Waits for a command of start_bg and sets $status. The deadline ends a test that would hang.
wait_bg() { # SECONDS PID
  wait_until "$1" has_ended "$2" || return
  status=0
  wait "$2" || status=$?
}

end_background() {
  local pid
  for pid in ${BACKGROUND[@]+"${BACKGROUND[@]}"}; do
    runs "$pid" || continue
    kill -CONT "$pid" 2>/dev/null || continue
    kill -TERM "$pid" 2>/dev/null || continue
    wait_until 10 has_ended "$pid" || kill -KILL "$pid" 2>/dev/null || true
  done
}

requires_broker() {
  [[ -n ${AMQPRUN_URL:-} ]] || skip "no broker: AMQPRUN_URL is not set"
}

# Tests that change the broker, or look into it, run only with the one that scripts/test has started.
requires_broker_ctl() {
  requires_broker
  [[ -n ${AMQPRUN_TEST_BROKER:-} ]] || skip "the broker in AMQPRUN_URL is not ours to disturb"
}

broker_ctl() { "$ROOT/scripts/broker" ctl -n "$AMQPRUN_TEST_BROKER" -q "$@" 3>&-; }
broker_eval() { "$ROOT/scripts/broker" eval "$AMQPRUN_TEST_BROKER" "$1" 3>&-; } # ERLANG
broker_pid() { "$ROOT/scripts/broker" pid "$AMQPRUN_TEST_BROKER"; }

erl() { printf '<<"%s">>' "${1//\\/\\\\}"; } # TEXT without quotes

# A user of the virtual host /.
broker_add_user() { # NAME PASSWORD CONFIGURE WRITE READ
  broker_eval "
    ok = rabbit_auth_backend_internal:add_user($(erl "$1"), $(erl "$2"), <<\"test\">>),
    rabbit_auth_backend_internal:set_permissions($(erl "$1"), <<\"/\">>, $(erl "$3"), $(erl "$4"), $(erl "$5"), <<\"test\">>)."
}
broker_delete_user() { broker_eval "rabbit_auth_backend_internal:delete_user($(erl "$1"), <<\"test\">>)."; } # NAME
broker_has_mnesia() { broker_eval 'rabbit_misc:version().' | grep -qE '^"(3|4\.[0-2])\.'; }

# Closes every connection whose name has WORD in it, as an operator would. A connection of another
# test that is still logging in has no list of properties. One that ends by itself meanwhile cannot be
# closed.
broker_close_connections() { # WORD
  broker_eval "
    [(catch rabbit_networking:close_connection(P, \"closed by a test\")) ||
      [{pid, P}, {client_properties, T}] <- rabbit_networking:connection_info_all([pid, client_properties]),
      is_list(T), {<<\"connection_name\">>, _, Name} <- T, binary:match(Name, <<\"$1\">>) =/= nomatch]."
}

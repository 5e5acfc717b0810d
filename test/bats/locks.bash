# Tests of locks load this after helpers.
# shellcheck shell=bash

# How many seconds wait_until has for a condition that an amqprun looks at, and perhaps a
# Python. On a busy machine a single try takes three seconds for the login, and ten for
# the Python.
PATIENCE=60

# Gives each test a lock name of its own, and an empty current directory.
new_lock() {
  LOCK=test-$$-$BATS_TEST_NUMBER-$SRANDOM
  BACKGROUND=()
  cd "$BATS_TEST_TMPDIR" || return
}

setup() {
  requires_broker
  new_lock
}

# Another program that takes the same locks.
foreign() { /usr/bin/python3 "$BATS_TEST_DIRNAME/foreign.py" "$@"; }

# Starts amqprun with a command that runs until it gets TERM, and returns when the command runs. Sets
# $slot and $bg_pid.
hold() { # OPTION...
  # shellcheck disable=SC2016 # for the inner shell
  start_bg amqprun "$@" -- sh -c 'echo "$AMQPRUN_SLOT"; exec sleep 600'
  await_slot
}

# Starts the foreign program, which holds a mutex or a slot until it gets TERM.
foreign_hold() { # mutex|acquire NAME
  start_bg /usr/bin/python3 "$BATS_TEST_DIRNAME/foreign.py" "$@"
  wait_until 20 test -s "bg.${#BACKGROUND[@]}.out"
  read -r got slot <"bg.${#BACKGROUND[@]}.out"
  [ "$got" = got ]
}

await_slot() {
  wait_until 20 test -s "bg.${#BACKGROUND[@]}.out"
  read -r slot <"bg.${#BACKGROUND[@]}.out"
}

# Starts amqprun behind a holder, and returns when it is the COUNTth in the wait queue.
start_waiter() { # COUNT ARGUMENT-OF-AMQPRUN...
  start_bg amqprun "${@:2}"
  foreign line "$LOCK" "$1"
}

# Succeeds when the shell has stopped that amqprun number $n runs. It may stand in D
# instead. Then it writes, and stops when the disk has that. Or it waits for the exec of
# its child, which has stopped.
is_stopped() {
  local leader child
  leader=$(pgrep -P "${BACKGROUND[n - 1]}" -x sh)
  case $(ps -o state= -p "$leader") in
    T) ;;
    D)
      child=$(ps -o state= --ppid "$leader")
      [ "$child" = T ]
      ;;
    *) false ;;
  esac
}

release() { # PID of amqprun
  kill -TERM "$1"
  wait_bg 20 "$1"
}

slots() { # succeeds if semaphore $LOCK has SLOTS and HELD
  run -0 amqprun status --semaphore "$LOCK"
  echo "$output"
  output=${lines[0]} # then come those who hold and wait
  case $1 in
    0) [[ $output =~ ^"semaphore \"$LOCK\": 0 slots (paused)"(, [0-9]+ waiting)?$ ]] ;;
    1) [[ $output == "semaphore \"$LOCK\": 1 slot, $2 held, "* ]] ;;
    *) [[ $output == "semaphore \"$LOCK\": $1 slots, $2 held, "* ]] ;;
  esac
}

json() { # PYTHON-EXPRESSION OPTION...; s is the status
  amqprun status --json "${@:2}" >status.json && saved "$1"
}

# Asks nobody: s is the status that json has seen. A busy machine can make any answer late.
saved() { # PYTHON-EXPRESSION
  python3 -c '
import json, sys
s = json.load(open("status.json"))
value = eval(sys.argv[1])
print(value)
sys.exit(not value)' "$1"
}

# Prints the ID of the one holder or waiter whose command has a word, when it answers.
id_of() { # WORD OPTION...
  local ids="[p['id'] for p in s['holders'] + s['waiters'] if '$1' in p.get('command', '').split()]"
  wait_until "$PATIENCE" json "$ids" "${@:2}" && saved "${ids}[0]"
}

# A failure is one line that says what failed, and at most one that says what to do.
assert_error() { # PATTERN [HINT-PATTERN]
  local line error='' hint=''
  while IFS= read -r line; do
    case $line in
      'amqprun: error: '*) error+=${error:+ and }$line ;;
      'amqprun: hint: '*) hint+=${hint:+ and }$line ;;
      *) echo "neither error nor hint: $line" && return 1 ;;
    esac
  done <<<"$stderr"
  [[ $error =~ $1 && $hint =~ ${2-} && $error$hint != *" and amqprun: "* ]] || {
    echo "expected: $1${2:+, and as a hint: $2}; got:"
    echo "$stderr"
    return 1
  }
}

# An expression of Python about the objects that history --json prints.
history_is() { # EXPRESSION [OPTION-OF-HISTORY...]
  amqprun history --mutex "$LOCK" --json "${@:2}" >history.json
  cat history.json
  /usr/bin/python3 - "$LOCK" "$1" <<-'PYTHON'
	import json, sys
	lines = open("history.json").read().splitlines()
	assert len(lines) == 1, lines
	history = json.loads(lines[0])
	assert (history["version"], history["kind"], history["name"]) == (1, "mutex", sys.argv[1])
	runs = history["runs"]
	assert eval(sys.argv[2]), sys.argv[2]
	PYTHON
}

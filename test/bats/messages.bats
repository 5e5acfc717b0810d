#!/usr/bin/env bats
# The form of messages.

load helpers
load locks

setup() { new_lock; }

# Prints level, text and hint of each message on standard input.
json_messages() {
  /usr/bin/python3 -c '
import json, re, sys
last = 0
for line in sys.stdin:
    m = json.loads(line)
    assert set(m) - {"hint"} == {"time", "level", "msg", "elapsed"}, m
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)", m["time"]), m
    assert m["level"] in ("error", "warning", "info"), m
    assert last <= m["elapsed"] < 60, m
    assert not m["msg"].startswith("amqprun") and not m["msg"].endswith("."), m
    last = m["elapsed"]
    print(m["level"] + ": " + m["msg"] + ("; hint: " + m["hint"] if "hint" in m else ""))'
}

@test "--log-format json: an error and its hint are one object" {
  requires_broker
  sane_run -78 --separate-stderr amqprun --log-format json --semaphore "$LOCK" true
  run -0 json_messages <<<"$stderr"
  [[ $output =~ ^"error: there is no semaphore \"$LOCK\" on amqp"s?://[^\ ]+"; hint: create it with: amqprun change --semaphore $LOCK --to N, or give --create N"$ ]]
}

@test "--log-format json: steps" {
  requires_broker
  sane_run -0 --separate-stderr amqprun --log-format=json -v --mutex "$LOCK" -- echo "the command's"
  [ "$output" = "the command's" ]
  run -0 json_messages <<<"$stderr"
  [[ $output == *"info: connected to amqp"*"info: acquired mutex \"$LOCK\""*"info: released mutex \"$LOCK\""* ]]
}

@test "--log-format json: a wait" {
  requires_broker
  hold --mutex "$LOCK"
  AMQPRUN_LOG_FORMAT=json start_waiter 1 --mutex "$LOCK" --progress 0.4 true
  wait_until 20 file_has bg.2.err ': next in line'
  run -0 json_messages <bg.2.err
  [[ $output == "info: waiting for mutex \"$LOCK\" on amqp"*": next in line"* ]]
}

@test "--log-format json: a warning" {
  sane_run -69 --separate-stderr amqprun --log-format json --connect-timeout 2 --url amqp://127.0.0.1:1/ --mutex "$LOCK" true
  run -0 json_messages <<<"$stderr"
  [[ $output == "warning: cannot reach the broker amqp://127.0.0.1:1: "*"; trying again for 2s"$'\n'"error: cannot reach"* ]]
}

@test "--log-format json: a wrong command line" {
  sane_run -64 --separate-stderr amqprun --log-format json --bogus
  run -0 json_messages <<<"$stderr"
  [[ $output == "error: unknown option --bogus; hint: amqprun --help lists the options;"* ]]
  AMQPRUN_LOG_FORMAT=json sane_run -64 --separate-stderr amqprun --bogus
  run -0 json_messages <<<"$stderr"
}

@test "--log-format: neither text nor json" {
  sane_run -64 --separate-stderr amqprun --log-format xml --mutex "$LOCK" true
  assert_error 'option --log-format: neither text nor json'
  AMQPRUN_LOG_FORMAT=xml sane_run -64 --separate-stderr amqprun --mutex "$LOCK" true
  assert_error 'AMQPRUN_LOG_FORMAT="xml": neither text nor json'
  sane_run -64 --separate-stderr amqprun --log-format json --log-format text --mutex "$LOCK"
  assert_error 'no command to run' 'COMMAND'
}

# Each line begins with the seconds since the start, which never go back, and the steps come in this order.
logged_in_order() { # STEP...
  local line last=0 at
  while IFS= read -r line; do
    [[ $line =~ ^amqprun:\ \[\ *([0-9]+)\.([0-9]{3})s\]\  ]] || return
    at=$((10#${BASH_REMATCH[1]}${BASH_REMATCH[2]}))
    ((at >= last)) || return
    last=$at
    [[ ! $line =~ ^"amqprun: ["[^]]*"] "$1$ ]] || shift
    (($# > 0)) || return 0
  done <<<"$stderr"
  echo "not printed, or not in this order: $*"
  return 1
}

# The first check comes 20 ms after the grant. On a busy machine the command may start later than that,
# and the broker may answer late. So the command ends when the check is logged.
@test "-v logs each step of a mutex, its time, and how long it took" {
  requires_broker
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -3 bash -c 'exec amqprun -v --mutex "$1" -- sh -c "$2" 2>log' - "$LOCK" \
    'until grep -q "first ownership check" log; do sleep 0.02; done; exit 3'
  stderr=$(<log)
  time='[0-9.]+(µs|ms|s)'
  logged_in_order 'connecting to amqp.*' "connected to amqp.* in $time, RabbitMQ [0-9.]+.*, heartbeat [0-9]+s" \
    "granted and checked mutex \"$LOCK\" in $time" "acquired mutex \"$LOCK\"" 'started sh as process [0-9]+' \
    "the command exited with 3 after $time" "released mutex \"$LOCK\" in $time"
  logged_in_order "acquired mutex \"$LOCK\"" "first ownership check of mutex \"$LOCK\" answered in $time" \
    'the command exited .*'
}

@test "-v logs each step of a semaphore, and of a wait" {
  requires_broker
  hold --semaphore "$LOCK" --slots 1
  holder=$bg_pid
  start_waiter 1 -v --semaphore "$LOCK" -- sh -c 'kill -KILL $$'
  release "$holder"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 137 ]
  stderr=$(<bg.2.err)
  time='[0-9.]+(µs|ms|s)'
  logged_in_order "looked for slots of semaphore \"$LOCK\" in $time: 1 held, 0 free among those seen" \
    "waiting for semaphore \"$LOCK\": it is held by others" 'first in the wait queue' \
    "granted and checked slot 1 of semaphore \"$LOCK\" in $time" "acquired slot 1 of semaphore \"$LOCK\"" \
    "the command died of SIGKILL after $time" "released slot 1 of semaphore \"$LOCK\" in $time"
  amqprun destroy --semaphore "$LOCK"
}

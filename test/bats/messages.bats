#!/usr/bin/env bats
# The form of what amqprun says.

load helpers
load locks

setup() { new_lock; }

# Every line of standard input is a message; prints level and text of each, and its hint.
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
  [[ $output =~ ^"error: there is no semaphore \"$LOCK\" on amqp"s?://[^\ ]+"; hint: create it with: amqprun change --semaphore $LOCK N, or give --slots N"$ ]]
}

@test "--log-format json: steps" {
  requires_broker
  sane_run -0 --separate-stderr amqprun --log-format=json -v --mutex "$LOCK" -- echo "the command's"
  [ "$output" = "the command's" ]
  run -0 json_messages <<<"$stderr"
  [[ $output == *"info: connected to amqp"*"info: acquired mutex \"$LOCK\""*"info: released mutex \"$LOCK\""* ]]
}

@test "--log-format json: a wait, and a warning" {
  requires_broker
  hold --mutex "$LOCK"
  AMQPRUN_LOG_FORMAT=json start_waiter 1 --mutex "$LOCK" --progress 0.4 true
  wait_until 20 file_lines bg.2.err 1
  kill -TSTP "$bg_pid"
  wait_until 20 file_has bg.2.err stopped
  kill -CONT "$bg_pid"
  foreign line "$LOCK" 1
  run -0 json_messages <bg.2.err
  [[ $output == "info: waiting for mutex \"$LOCK\" on amqp"*": next in line"$'\n'*"warning: stopped; out of the line until resumed"* ]]
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
  assert_error 'AMQPRUN_LOG_FORMAT.* log-format: neither text nor json'
  sane_run -64 --separate-stderr amqprun --log-format json --log-format text --mutex "$LOCK"
  assert_error 'no command to run' 'COMMAND'
}

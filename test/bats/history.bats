#!/usr/bin/env bats
# --history, amqprun history, and what destroy does with it.

load helpers
load locks

teardown() {
  end_background
  amqprun destroy --mutex "$LOCK" # nothing is left on the broker
}

@test "history: how runs ended" {
  sane_run -0 amqprun --history --mutex "$LOCK" --metadata pr=12 -- sh -c 'sleep 0.3'
  sane_run -3 amqprun --history --show-command --mutex "$LOCK" -- sh -c 'exit 3'
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -143 env AMQPRUN_HISTORY=1 amqprun --mutex "$LOCK" -- sh -c 'kill -TERM $$'
  : >not-a-program
  chmod +x not-a-program
  amqprun --mutex "$LOCK" true # is not recorded
  history_is '[r["result"] for r in runs] == ["ended"] * 3'
  history_is '[(r.get("status"), r.get("signal")) for r in runs] == [(0, None), (3, None), (None, "SIGTERM")]'
  history_is '[r["command"] for r in runs] == ["sh", "sh -c '"'exit 3'"'", "sh"]'
  history_is 'runs[0]["metadata"] == {"pr": "12"} and 0.3 <= runs[0]["seconds"] < 30'
  # Without the Z, because the text of a time ends with its last digit that is not 0.
  history_is 'all(r["granted"][:-1] <= r["ended"][:-1] and r["granted"].endswith("Z") for r in runs)'
  history_is 'len(runs) == 1 and runs[0]["signal"] == "SIGTERM"' -n 1
  sane_run -0 amqprun history --mutex "$LOCK"
  [[ ${lines[0]} =~ ^GRANTED\ +FOR\ +ID\ +WHO\ +END\ +NOTES\ +COMMAND$ ]]
  [[ ${lines[1]} == *" exit 0 "*" pr=12 "* && ${lines[2]} == *" exit 3 "* && ${lines[3]} == *" SIGTERM "* ]]
}

@test "history: a run that holds the lock, and one that was killed" {
  hold --history --mutex "$LOCK"
  wait_until "$PATIENCE" history_is 'len(runs) == 1 and runs[0]["result"] == "running" and "ended" not in runs[0]'
  kill -KILL "$bg_pid"
  wait_bg 10 "$bg_pid"
  sane_run -0 amqprun --history --mutex "$LOCK" -w 20 true
  wait_until "$PATIENCE" history_is '[r["result"] for r in runs] == ["unknown", "ended"]'
  sane_run -0 amqprun history --mutex "$LOCK"
  [[ $output == *"no end recorded"* ]]
}

@test "history: a lost lock" {
  hold --history --mutex "$LOCK"
  wait_until "$PATIENCE" history_is 'len(runs) == 1'
  id=$(/usr/bin/python3 -c 'import json; print(json.load(open("history.json"))["runs"][0]["id"])')
  wait_until "$PATIENCE" amqprun evict --mutex "$LOCK" --holder "$id"
  wait_bg 10 "$bg_pid"
  [ "$status" -eq 76 ]
  history_is 'runs[0]["result"] == "lost" and runs[0]["signal"] == "SIGTERM"'
}

@test "history: of a semaphore, with the slots" {
  sane_run -0 amqprun --history --semaphore "$LOCK" --slots 3 --count 2 true
  sane_run -0 amqprun history --semaphore "$LOCK"
  [[ ${lines[0]} == *" SLOT "* && ${lines[1]} =~ \ [123]\ [123]\  ]]
  sane_run -0 amqprun destroy --semaphore "$LOCK"
  sane_run -78 amqprun history --semaphore "$LOCK"
}

@test "history: --follow" {
  amqprun --history --mutex "$LOCK" true
  start_bg amqprun history --mutex "$LOCK" --follow --json
  wait_until 10 file_lines bg.1.out 1
  amqprun --history --mutex "$LOCK" false || true
  wait_until 10 file_lines bg.1.out 3
  kill -INT "$bg_pid"
  wait_bg 10 "$bg_pid"
  [ "$(grep -o '"result":"[a-z]*"' bg.1.out | xargs)" = "result:ended result:running result:ended" ]
}

@test "history: of a lock that has none" {
  sane_run -78 amqprun history --mutex "$LOCK"
  [[ $output == *"there is no history"* ]]
  sane_run -64 amqprun history --mutex "$LOCK" -n 0
  sane_run -64 amqprun history
}

@test "history: a record that cannot be written costs a warning" {
  foreign_hold mutex "$LOCK-L"
  sane_run -3 amqprun --history --mutex "$LOCK" -- sh -c 'exit 3'
  [[ ${lines[0]} == "amqprun: warning: the history of mutex "*" is not complete: "* && ${#lines[@]} -eq 1 ]]
  sane_run -78 amqprun history --mutex "$LOCK"
}

@test "fence: AMQPRUN_TOKEN grows with each grant" {
  last=0
  for _ in 1 2 3; do
    # shellcheck disable=SC2016 # for the inner shell
    sane_run -0 amqprun --fence --mutex "$LOCK" sh -c 'echo "$AMQPRUN_TOKEN"'
    [[ $output =~ ^[1-9][0-9]*$ ]]
    ((output > last))
    last=$output
  done
  history_is "runs[-1]['token'] == $last and runs[-1]['status'] == 0"
  sane_run -0 env AMQPRUN_FENCE=1 amqprun --mutex "$LOCK" --report report.json true
  grep -q '"token":' report.json
  sane_run -0 amqprun history --mutex "$LOCK"
  [[ ${lines[0]} == *" TOKEN "* ]]
}

@test "fence: the token is that of this lock, and not of one around it" {
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -0 amqprun --fence --mutex "$LOCK" amqprun --mutex "$LOCK-inner" sh -c 'echo "<${AMQPRUN_TOKEN-}>"'
  [ "$output" = "<>" ]
}

@test "fence: no command without a token" {
  foreign_hold mutex "$LOCK-L"
  sane_run -78 amqprun --fence --mutex "$LOCK" touch started
  [[ $output == *"error: cannot read the history "*"hint: "* ]]
  [ ! -e started ]
  sane_run -64 amqprun --fence --greedy --elastic --semaphore "$LOCK" true
  AMQPRUN_FENCE=1 sane_run -64 amqprun --greedy --elastic --semaphore "$LOCK" true
  [[ $output == *'--fence=false takes it back'* ]]
}

@test "once: a run that succeeded is not repeated" {
  sane_run -0 amqprun --once 1h --mutex "$LOCK" touch first
  sane_run -75 amqprun --once 1h --mutex "$LOCK" touch second
  [[ $output == "amqprun: error: mutex \"$LOCK\" on "*" was not acquired: a run of "*@*" has succeeded at 20"* ]]
  sane_run -4 --separate-stderr amqprun --once 1h -q -E 4 --mutex "$LOCK" touch second
  [ -z "$output$stderr" ]
  [[ -e first && ! -e second ]]
  history_is '[r["result"] for r in runs] == ["ended", "skipped", "skipped"]'
  wait_until "$PATIENCE" amqprun --once 1 -q --mutex "$LOCK" touch second
  [ -e second ]
}

@test "once: a run that failed, or was killed, is repeated" {
  sane_run -3 amqprun --once 1h --mutex "$LOCK" sh -c 'exit 3'
  hold --once 1h --mutex "$LOCK"
  kill -KILL "$bg_pid"
  wait_bg 10 "$bg_pid"
  sane_run -0 amqprun --once 1h -w 20 --mutex "$LOCK" true
  sane_run -75 amqprun --once 1h --mutex "$LOCK" true
}

@test "once: of three that start together one runs" {
  for round in 1 2 3 4 5; do
    for host in 1 2 3; do
      start_bg amqprun --once 1h -w 30 --mutex "$LOCK" sh -c "echo >>ran.$round"
    done
    for host in 1 2 3; do
      wait_bg 40 "${BACKGROUND[-$host]}"
      [[ $status -eq 0 || $status -eq 75 ]]
    done
    [ "$(wc -l <"ran.$round")" -eq 1 ]
    amqprun destroy --mutex "$LOCK"
  done
}

@test "once: only a mutex" {
  sane_run -64 amqprun --once 1h --semaphore "$LOCK" true
  sane_run -64 amqprun --once 0 --mutex "$LOCK" true
}

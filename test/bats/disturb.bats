#!/usr/bin/env bats
# A broker that stops, comes back, raises an alarm or changes its settings. Every client notices, so
# these tests have a broker of their own.

load helpers
load locks

export AMQPRUN_SHOW_COMMAND=1 # the tests know their runs by it

setup() {
  requires_broker_ctl
  new_lock
}

setup_file() {
  [[ -n ${AMQPRUN_TEST_BROKER:-} ]] || return 0
  # In its own folder no other test can meet this broker.
  export AMQPRUN_BROKER_DIR=$BATS_FILE_TMPDIR/brokers AMQPRUN_TEST_BROKER=disturbed
  AMQPRUN_URL=$("$BATS_TEST_DIRNAME/../../scripts/broker" start disturbed 3>&-)
  export AMQPRUN_URL
}

# The broker is in an alarm when it uses more of the machine's memory.
limit_memory() { broker_eval "vm_memory_monitor:set_vm_memory_high_watermark($1)."; } # FRACTION

teardown_file() {
  [[ ! -e ${AMQPRUN_BROKER_DIR:-}/disturbed ]] || "$BATS_TEST_DIRNAME/../../scripts/broker" stop disturbed
}

@test "a broker that is stopped ends the holders, and a waiter outlives its restart" {
  sane_run -0 amqprun change --semaphore "$LOCK" 2
  start_bg amqprun --mutex "$LOCK-mutex" sh -c 'trap "echo TERM; exit 0" TERM; echo ready; sleep 600 & wait'
  start_bg amqprun --semaphore "$LOCK" sh -c 'trap "echo TERM; exit 0" TERM; echo ready; sleep 600 & wait'
  start_bg amqprun --semaphore "$LOCK" sleep 600
  for n in 1 2; do wait_until 20 file_has "bg.$n.out" ready; done
  start_waiter 1 --semaphore "$LOCK" echo now

  broker_eval "rabbit:stop()."
  for n in 1 2 3; do
    wait_bg 20 "${BACKGROUND[n - 1]}"
    [ "$status" -eq 76 ]
    stderr=$(<"bg.$n.err")
    # The broker says CONNECTION_FORCED, unless its reset overtakes that.
    assert_error "lost .*\"$LOCK.*(the broker closed the connection: CONNECTION_FORCED|the connection broke).*; the command was stopped"
    [ "$n" -eq 3 ] || file_has "bg.$n.out" TERM
  done
  wait_until 20 file_has bg.4.err 'connecting again'
  sane_run -69 --separate-stderr amqprun --mutex "$LOCK" -n true
  assert_error 'cannot reach the broker'

  broker_eval "rabbit:start()."
  wait_bg 60 "${BACKGROUND[3]}"
  [ "$status" -eq 0 ]
  [ "$(<bg.4.out)" = now ]
  [ "$(wc -l <bg.4.err)" -eq 2 ] # the broker has gone, and it is back
  file_has bg.4.err '^amqprun: warning: connected to .* again, with a new place in the wait queue$'
  slots 2 0 # the semaphore itself outlived the restart
}

@test "a paused command outlives a restart, and one that is kept does not stop; others wait" {
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  # shellcheck disable=SC2016 # for the inner shell
  command='until [ -e end ]; do echo >>"$0"; sleep 0.01; done; exit 7'
  # A broker may need the minute for its start that a paused command has by default.
  start_bg amqprun --on-loss pause --regain 10m --mutex "$LOCK" -- sh -c "$command" mutex
  start_bg amqprun --on-loss pause --regain 10m --semaphore "$LOCK" -- sh -c "$command" slot
  start_bg amqprun --on-loss keep --mutex "$LOCK-keep" -- sh -c "$command" keep
  for file in mutex slot keep; do wait_until 20 test -s $file; done
  start_waiter 1 --fence --mutex "$LOCK" touch next

  broker_eval "rabbit:stop()."
  for n in 1 2; do
    wait_until 20 file_has "bg.$n.err" 'the command is paused'
    wait_until 20 is_stopped # it may say so while the shell still writes a line
  done
  wait_until 20 file_has bg.3.err 'the command goes on without the lock'
  before=$(cat mutex slot | wc -l)
  wait_until 20 file_lines keep "$(($(wc -l <keep) + 20))"
  [ "$(cat mutex slot | wc -l)" -eq "$before" ]

  broker_eval "rabbit:start()."
  for n in 1 2; do wait_until 60 file_has "bg.$n.err" 'the command goes on; it was paused for'; done
  wait_until 60 file_has bg.3.err 'holds mutex .* again, after .* without it'
  for file in mutex slot keep; do wait_until 20 file_lines $file "$(($(wc -l <$file) + 1))"; done
  [ ! -e next ]
  touch end
  for n in 1 2 3; do
    wait_bg 20 "${BACKGROUND[n - 1]}"
    [ "$status" -eq 7 ]
  done
  wait_bg 60 "${BACKGROUND[3]}"
  [ "$status" -eq 0 ]
  [ -e next ]
}

@test "a job that starts while the broker restarts waits for it, and says so" {
  amqprun change --semaphore "$LOCK" 1
  broker_eval "rabbit:stop()."
  start_bg amqprun --connect-timeout 60 --mutex "$LOCK" echo now
  start_bg amqprun --connect-timeout 60 -q --semaphore "$LOCK" echo now
  wait_until 20 file_has bg.1.err '^amqprun: warning: cannot reach the broker .*connection refused; trying again for 1m0s$'
  broker_eval "rabbit:start()."
  for n in 1 2; do
    wait_bg 60 "${BACKGROUND[n - 1]}"
    [ "$status" -eq 0 ]
    [ "$(<"bg.$n.out")" = now ]
  done
  [ "$(wc -l <bg.1.err)" -eq 1 ]
  [ ! -s bg.2.err ]
}

@test "the broker insists on a heartbeat that leaves no time" {
  broker_eval 'application:set_env(rabbit, heartbeat, 3).'
  sane_run --separate-stderr amqprun --mutex "$LOCK" touch started
  broker_eval 'application:set_env(rabbit, heartbeat, 60).'
  [ "$status" -eq 69 ]
  assert_error 'heartbeat of 3s that the broker amqp://[^ ]* insists on'
  [ ! -e started ]
}

@test "an alarm makes everybody unknown, and disturbs nobody" {
  AMQPRUN_SHOW_COMMAND=1 hold --mutex "$LOCK"
  wait_until "$PATIENCE" json "'id' in s['holders'][0]" --mutex "$LOCK"
  local id
  id=$(id_of sleep --mutex "$LOCK")
  limit_memory 0.0001
  # The first answers may slip through: RabbitMQ reads a message before it notices.
  wait_until "$PATIENCE" json "s['held'] == 1 and s['holders'][0].get('unknown')" --mutex "$LOCK"
  limit_memory 0.4
  wait_until "$PATIENCE" json "'id' in s['holders'][0]" --mutex "$LOCK"
  kill -0 "$bg_pid"
  limit_memory 0.0001
  kill -STOP "$bg_pid" # its first answer would slip through, and could come before the notice of the alarm
  # The timeout is twice a login on a busy machine. evict waits as long for the answer.
  sane_run -69 --separate-stderr amqprun evict --connect-timeout 6 --mutex "$LOCK" --holder "$id"
  kill -CONT "$bg_pid"
  limit_memory 0.4
  assert_error "holder \"$id\" of mutex \"$LOCK\" on .* does not answer, and may or may not stop" 'alarm'
}

@test "doctor finds an alarm, and what it says ends it" {
  limit_memory 0
  wait_until "$PATIENCE" alarm_is_seen
  sane_run -69 amqprun doctor --semaphore "$LOCK"
  [[ $output == *"failure  alarm "* ]]
  sane_run -0 amqprun doctor --mutex "$LOCK"
  local line commands
  line=$(grep '^warning  alarm .*to do: free what rabbitmqctl status names, or allow more: ' <<<"$output")
  sane_run -0 broker_ctl status
  [[ $output == *"Memory alarm on node"* ]]
  IFS=, read -ra commands <<<"${line##*: }"
  [[ ${commands[0]} == 'rabbitmqctl set_vm_memory_high_watermark '* && ${commands[1]} == ' rabbitmqctl set_disk_free_limit '* ]]
  # shellcheck disable=SC2086 # words
  broker_ctl ${commands[0]#rabbitmqctl}
  wait_until "$PATIENCE" no_alarm_is_seen
  limit_memory 0.4
}
alarm_is_seen() { amqprun doctor --mutex "$LOCK" | grep 'warning  alarm'; }
no_alarm_is_seen() { amqprun doctor --semaphore "$LOCK" | grep 'ok       alarm'; }

@test "an alarm costs the record" {
  amqprun --history --mutex "$LOCK" true
  limit_memory 0.0001
  sane_run -3 amqprun --history --mutex "$LOCK" -- sh -c 'exit 3'
  limit_memory 0.4
  [[ $output == *"warning: the history of "*"alarm"* && ${#lines[@]} -eq 1 ]]
  history_is 'all("ended" not in r for r in runs[1:])' # RabbitMQ reads one message before it notices
}

@test "in an alarm --fence -n fails, and a waiter for a token waits" {
  amqprun --fence --mutex "$LOCK" true
  limit_memory 0.0001
  sane_run -69 amqprun --fence -n --mutex "$LOCK" touch started
  start_bg amqprun --fence --mutex "$LOCK" true
  wait_until 20 file_has bg.1.err "alarm"
  limit_memory 0.4
  wait_bg 30 "$bg_pid"
  [ "$status" -eq 0 ]
  [ ! -e started ]
}

@test "a password that is wrong after a restart ends the wait" {
  broker_add_user "$LOCK" old '.*' '.*' '.*'
  hold --mutex "$LOCK"
  # The timeout is twice a login on a busy machine. The waiter bears a refusal for as long.
  AMQPRUN_URL=${AMQPRUN_URL/guest:guest/$LOCK:old} start_waiter 1 --connect-timeout 6 --mutex "$LOCK" touch started
  broker_ctl change_password "$LOCK" new
  broker_ctl close_all_user_connections "$LOCK" restart
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 77 ]
  file_has bg.2.err "^amqprun: error: the broker .* refused the login of user \"$LOCK\"$"
  [ ! -e started ]
}

@test "a broker that is killed ends the holders, and a waiter when its time is over" {
  start_bg amqprun --mutex "$LOCK" sh -c 'trap "echo TERM; exit 0" TERM; echo ready; sleep 600 & wait'
  wait_until 20 file_has bg.1.out ready
  # Within its ten seconds the waiter has to see the end of the broker. The Python of start_waiter takes
  # that long on a busy machine.
  node=$(broker_pid)
  start_bg amqprun -v -w 10 --mutex "$LOCK" touch started
  wait_until 20 file_has bg.2.err 'waiting for mutex'
  kill -KILL "$node"
  wait_bg 20 "${BACKGROUND[0]}"
  [ "$status" -eq 76 ]
  stderr=$(<bg.1.err)
  assert_error "lost mutex \"$LOCK\" .*the command was stopped"
  file_has bg.1.out TERM
  wait_bg 20 "$bg_pid"
  cat bg.2.err
  [ "$status" -eq 75 ]
  file_has bg.2.err '^amqprun: error: .* was not acquired in time: cannot reach the broker'
  [ ! -e started ]
}

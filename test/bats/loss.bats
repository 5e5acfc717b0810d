#!/usr/bin/env bats
# The loss of a lock ends the command: the signal, its grace, then amqprun with status 76 and one line
# that says what happened.

load helpers
load locks

setup() {
  requires_broker_ctl
  new_lock
}

teardown() {
  end_background
  amqprun destroy --semaphore "$LOCK"
  amqprun destroy --mutex "$LOCK"
}

# A holder whose command needs a moment of its grace.
slow_hold() { # OPTION...
  start_bg amqprun --check-interval 0.1 "$@" sh -c \
    'trap "echo TERM; sleep 0.2; echo cleaned up; exit 0" TERM; echo ready; sleep 600 & wait'
  wait_until 20 file_has "bg.${#BACKGROUND[@]}.out" ready
}

lost() { # REASON
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 76 ]
  [ "$(xargs <bg.1.out)" = "ready TERM cleaned up" ]
  stderr=$(<bg.1.err)
  assert_error "$1"
  assert_error 'the command was stopped in [^ ]* and exited with 0$'
}

delete_queue() { # NAME: as an administrator who does not care whose it is
  broker_eval "
    {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"$1\">>)),
    rabbit_amqqueue:delete(Q, false, false, <<\"test\">>)."
}

@test "the slot is removed" {
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  slow_hold --semaphore "$LOCK"
  sane_run -0 amqprun change --semaphore "$LOCK" -1
  lost "lost slot 1 of semaphore \"$LOCK\" on amqp://[^ ]*: .*no queue '$LOCK-A-1'"
}

@test "the semaphore is destroyed" {
  sane_run -0 amqprun change --semaphore "$LOCK" 2
  slow_hold --semaphore "$LOCK"
  sane_run -0 amqprun destroy --semaphore "$LOCK"
  lost "lost slot [12] of semaphore \"$LOCK\""
}

@test "the queue of the mutex is deleted" {
  slow_hold --mutex "$LOCK"
  delete_queue "$LOCK"
  lost "lost mutex \"$LOCK\" on amqp://[^ ]*: the ownership check failed: .*404"
}

@test "the mutex is granted again" {
  broker_has_mnesia || skip "this broker grants nothing twice"
  slow_hold --fence --mutex "$LOCK"
  foreign append "$LOCK-L" '{"version":1,"type":"grant","kind":"mutex","id":"other","at":"2020-03-02T01:00:00Z",
    "token":4000000000000,"host":"there","user":"me"}'
  lost "lost mutex \"$LOCK\" on amqp://[^ ]*: it was granted again to a run of me@there"
  history_is '[r["result"] for r in runs] == ["unknown", "lost"]' # the sign of life is no run
}

@test "the queue of the slot's holder is deleted, and the slot is somebody else's" {
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  slow_hold --semaphore "$LOCK"
  delete_queue "$LOCK-B-1"
  lost "lost slot 1 of semaphore \"$LOCK\" on amqp://[^ ]*: the ownership check failed: .*404"
  sane_run -0 amqprun --semaphore "$LOCK" -n true
}

@test "the connections are closed" {
  slow_hold --mutex "$LOCK"
  broker_close_connections "$LOCK"
  lost "lost mutex \"$LOCK\" on amqp://[^ ]*: the broker closed the connection: .*closed by a test"
}

@test "a command that ignores the signal is killed when its grace is over" {
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  start_bg amqprun --check-interval 0.1 -k 0.3 --semaphore "$LOCK" sh -c 'trap "" TERM; echo ready; while :; do sleep 1; done'
  wait_until 20 file_has bg.1.out ready
  sane_run -0 amqprun destroy --semaphore "$LOCK"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 76 ]
  stderr=$(<bg.1.err)
  assert_error 'the command was stopped in [^ ]* and died of SIGKILL$'
}

@test "the processes that the command has started end with it" {
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  # shellcheck disable=SC2016 # for the inner shell
  start_bg amqprun --check-interval 0.1 -k 0.3 --semaphore "$LOCK" sh -c 'setsid sleep 600 & echo $!; wait'
  wait_until 20 test -s bg.1.out
  sane_run -0 amqprun destroy --semaphore "$LOCK"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 76 ]
  is_gone "$(<bg.1.out)"
}

@test "a loss that no check noticed while the command ran is reported at its end" {
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  # The command destroys its own lock. It ends before the next check, or while amqprun stops it.
  sane_run -76 --separate-stderr amqprun --semaphore "$LOCK" amqprun destroy --semaphore "$LOCK"
  assert_error "lost slot 1 of semaphore \"$LOCK\""
}

#!/usr/bin/env bats
# amqprun and another program at the same locks: foreign.py declares what amqp-locks-python declares.

load helpers
load locks

teardown() {
  end_background
  amqprun destroy --semaphore "$LOCK"
}

slow_hold() { # a holder that checks often and whose command says when it is stopped
  start_bg amqprun --check-interval 0.1 "$@" sh -c 'trap "echo stopped; exit 0" TERM; echo ready; sleep 600 & wait'
  wait_until 20 file_has "bg.${#BACKGROUND[@]}.out" ready
}

lost() { # REASON: what the holder ends with
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 76 ]
  file_has "bg.${#BACKGROUND[@]}.out" stopped
  stderr=$(<"bg.${#BACKGROUND[@]}.err")
  assert_error "$1"
}

@test "a mutex that the other holds is not ours, until it is released" {
  foreign_hold mutex "$LOCK"
  other=$bg_pid
  sane_run -75 amqprun --mutex "$LOCK" -n true
  start_waiter 1 --mutex "$LOCK" echo now
  release "$other"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
  [ "$(<bg.2.out)" = now ]
}

@test "the other does not get a mutex that is ours, until it is released" {
  hold --mutex "$LOCK"
  sane_run -1 foreign mutex "$LOCK"
  [ "$output" = lost ]
  release "$bg_pid"
  foreign_hold mutex "$LOCK"
}

@test "slots that the other has made are ours to take" {
  sane_run -0 foreign change "$LOCK" 2
  slots 2 0
  hold --semaphore "$LOCK"
  ours=$slot
  sane_run -0 foreign count "$LOCK"
  [ "$output" = "2 1" ]
  foreign_hold acquire "$LOCK"
  [ "$slot" -eq $((3 - ours)) ]
  slots 2 2
  sane_run -75 amqprun --semaphore "$LOCK" -n true
}

@test "slots that we have made are the other's to take" {
  sane_run -0 amqprun change --semaphore "$LOCK" 2
  sane_run -0 foreign count "$LOCK"
  [ "$output" = "2 0" ]
  foreign_hold acquire "$LOCK"
  [ "$slot" -eq 1 ]
  other=$bg_pid
  slots 2 1
  hold --semaphore "$LOCK"
  [ "$slot" -eq 2 ]
  sane_run -1 foreign acquire "$LOCK"
  [ "$output" = lost ]
  # We get the slot that the other releases, although it sends no hint.
  # shellcheck disable=SC2016 # for the inner shell
  start_waiter 1 --semaphore "$LOCK" sh -c 'echo "$AMQPRUN_SLOT"'
  release "$other"
  wait_bg 20 "$bg_pid"
  [ "$(<bg.3.out)" = 1 ]
}

@test "both kinds of slots make one semaphore" {
  sane_run -0 foreign change "$LOCK" 1
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  sane_run -0 foreign change "$LOCK" 1
  slots 3 0
  sane_run -0 foreign count "$LOCK"
  [ "$output" = "3 0" ]
  for _ in 1 2 3; do
    hold --semaphore "$LOCK"
    echo "$slot" >>taken
  done
  [ "$(sort taken | xargs)" = "1 2 3" ]
  sane_run -0 amqprun change --semaphore "$LOCK" -1
  sane_run -0 foreign change "$LOCK" -1
  sane_run -0 foreign count "$LOCK"
  [ "$output" = "1 1" ]
}

@test "we lose a slot that the other removes" {
  sane_run -0 foreign change "$LOCK" 1
  slow_hold --semaphore "$LOCK"
  sane_run -0 foreign change "$LOCK" -1
  lost "lost slot 1 of semaphore \"$LOCK\".*no queue '$LOCK-A-1'"
}

@test "we lose a slot of a semaphore that the other destroys" {
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  slow_hold --semaphore "$LOCK"
  sane_run -0 foreign destroy "$LOCK"
  lost "lost slot 1 of semaphore \"$LOCK\""
}

@test "the other loses a slot that we remove" {
  sane_run -0 foreign change "$LOCK" 1
  foreign_hold acquire "$LOCK"
  sane_run -0 amqprun change --semaphore "$LOCK" -1
  wait_until 20 file_has bg.1.out gone
}

@test "a semaphore that either side destroys is gone for both" {
  sane_run -0 foreign change "$LOCK" 3
  sane_run -0 amqprun destroy --semaphore "$LOCK"
  sane_run -0 foreign count "$LOCK"
  [ "$output" = "0 0" ]
  sane_run -0 foreign change "$LOCK" 2
  sane_run -0 foreign destroy "$LOCK"
  sane_run -78 amqprun --semaphore "$LOCK" -n true
}

@test "a semaphore is changed by one at a time" {
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  hold --mutex "$LOCK" # the administration mutex is the queue of that name
  sane_run -1 foreign change "$LOCK" 1
  [ "$output" = "Adjustment failure" ]
  release "$bg_pid"
  foreign_hold mutex "$LOCK"
  other=$bg_pid
  start_bg amqprun change --semaphore "$LOCK" 1
  start_bg amqprun destroy --semaphore "$LOCK"
  for n in 3 4; do
    wait_bg 30 "${BACKGROUND[n - 1]}"
    [ "$status" -eq 75 ]
    stderr=$(<"bg.$n.err")
    assert_error "semaphore \"$LOCK\" on amqp://[^ ]* cannot be changed: another administrator, or a mutex of the same name" 'try again'
  done
  [ "$(<bg.3.out)" = "Adjustment failure" ]
  release "$other"
  slots 1 0
}

@test "our own queues stand in the other's way nowhere" {
  sane_run -0 amqprun change --semaphore "$LOCK" 0
  sane_run -0 foreign count "$LOCK"
  [ "$output" = "0 0" ]
  start_waiter 1 --semaphore "$LOCK" echo now
  sane_run -0 foreign change "$LOCK" 1
  wait_bg 20 "$bg_pid"
  [ "$(<bg.1.out)" = now ]
}

#!/usr/bin/env bats
# change, destroy and status.

load helpers
load locks

teardown() {
  end_background
  amqprun destroy --semaphore "$LOCK"
}

gone() { ! foreign has "$1"; } # QUEUE

changed() { # COUNT
  sane_run -0 --separate-stderr amqprun change --semaphore "$LOCK" "$1"
  [ "$output" = "Adjustment success" ]
  [ -z "$stderr" ]
}

@test "change creates a semaphore and adds and removes slots" {
  changed 3
  slots 3 0
  changed +2
  slots 5 0
  changed -1
  slots 4 0
  changed 0
  slots 4 0
}

@test "change takes COUNT in every way it can be written" {
  sane_run -0 amqprun change --semaphore="$LOCK" 4
  sane_run -0 amqprun change --semaphore "$LOCK" -- -1
  sane_run -0 amqprun change -q --semaphore "$LOCK" -1
  sane_run -0 amqprun change --semaphore "$LOCK" -v -1
  slots 1 0
}

@test "there are never less than 0 slots, and 0 slots are a paused semaphore" {
  changed 2
  changed -5
  slots 0 0
  changed -1
  slots 0 0
  changed 1
  slots 1 0
}

@test "change 0 creates a paused semaphore, change -1 none" {
  changed -1
  sane_run -78 amqprun status --semaphore "$LOCK"
  changed 0
  slots 0 0
}

@test "change --to sets the number, and mends holes" {
  sane_run -0 --separate-stderr amqprun change --semaphore "$LOCK" --to 4
  [ "$output" = "Adjustment success" ]
  [ -z "$stderr" ]
  slots 4 0
  foreign unslot "$LOCK" 2
  sane_run -0 amqprun change --semaphore "$LOCK" --to 3
  slots 3 0
  sane_run -1 foreign has "$LOCK-A-4"
  sane_run -0 amqprun change --to 0 --semaphore "$LOCK"
  slots 0 0
}

@test "change --drain --to 0 pauses, and stops nothing; interrupted, it goes on with the next" {
  changed 3
  hold --semaphore "$LOCK"
  holder=$bg_pid
  start_bg amqprun change -v --semaphore "$LOCK" --drain --to 0
  wait_until 20 file_has bg.2.err 'waiting for the holder'
  sane_run -75 --separate-stderr amqprun --semaphore "$LOCK" -n true
  assert_error 'it is paused \(0 slots\)'
  sane_run -75 amqprun check --semaphore "$LOCK" # although there are free slots
  sane_run -0 amqprun status --semaphore "$LOCK"
  [[ ${lines[0]} == *'; a drain leaves 0 of them, 0 free' ]]
  sane_run -75 --separate-stderr amqprun change --semaphore "$LOCK" --drain --to 0
  assert_error 'is being drained already' 'try again'
  kill -KILL "$bg_pid"
  wait_until 20 gone "$LOCK-D"
  start_bg amqprun change --semaphore "$LOCK" --drain --to 0
  wait_until "$PATIENCE" foreign has "$LOCK-D"
  kill -0 "$holder"
  release "$holder"
  [ "$status" -eq 143 ]
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
  [ "$(<bg.3.out)" = "Adjustment success" ]
  slots 0 0
  sane_run -0 amqprun change --semaphore "$LOCK" --drain --to 2 # more than there are
  slots 2 0
}

@test "more slots than one look covers are added and removed, and counted right" {
  changed 20
  slots 20 0
  hold --semaphore "$LOCK"
  slots 20 1
  release "$bg_pid"
  changed -19
  slots 1 0
}

@test "administrators at the same time do not overwrite one another" {
  # One that has waited for five seconds in vain has changed nothing, and asks again.
  # shellcheck disable=SC2016 # for the inner shell
  for count in 1 2 3 4; do
    start_bg sh -c 'until amqprun change --semaphore "$1" "$2"; do [ $? -eq 75 ] || exit 1; done' - "$LOCK" "$count"
  done
  for pid in "${BACKGROUND[@]}"; do
    wait_bg 30 "$pid"
    [ "$status" -eq 0 ]
  done
  slots 10 0
}

@test "destroy removes everything, and may be repeated" {
  changed 3
  for _ in 1 2; do
    sane_run -0 --separate-stderr amqprun destroy --semaphore "$LOCK"
    [ -z "$output$stderr" ]
    sane_run -78 amqprun status --semaphore "$LOCK"
  done
  for queue in A-0 A-1 A-2 A-3 B-1 W; do
    sane_run -1 foreign has "$LOCK-$queue"
  done
}

@test "destroy finds slots behind a hole" {
  changed 2
  foreign slot "$LOCK" 5
  foreign slot "$LOCK" 102
  sane_run -0 amqprun destroy --semaphore "$LOCK"
  for i in 0 1 2 5 102; do
    sane_run -1 foreign has "$LOCK-A-$i"
  done
}

@test "change closes a hole when it adds" {
  changed 4
  foreign unslot "$LOCK" 2
  slots 1 0
  changed 1
  slots 4 0
}

@test "status of a semaphore that does not exist" {
  sane_run -78 --separate-stderr amqprun status --json --semaphore "$LOCK"
  [ -z "$output" ]
  assert_error "there is no semaphore \"$LOCK\"" "amqprun change"
}

@test "an administrator needs no lease: a short heartbeat is enough" {
  sane_run -0 amqprun change --heartbeat 2 --semaphore "$LOCK" 1
  AMQPRUN_HEARTBEAT=2 sane_run -0 amqprun status --semaphore "$LOCK"
}

@test "numbers are decimal, also where they begin with 0" {
  sane_run -0 amqprun change --semaphore "$LOCK" --to 010
  slots 10 0
  sane_run -0 amqprun destroy --semaphore "$LOCK"
}

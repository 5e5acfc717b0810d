#!/usr/bin/env bats
# Slots of a semaphore.

load helpers
load locks

teardown() {
  end_background
  amqprun destroy --semaphore "$LOCK"
}

@test "as many hold a slot as there are slots, each another one" {
  sane_run -0 amqprun change --semaphore "$LOCK" 3
  for n in 1 2 3; do
    hold --semaphore "$LOCK"
    echo "$slot" >>taken
  done
  [ "$(sort taken | xargs)" = "1 2 3" ]
  slots 3 3
  sane_run -75 --separate-stderr amqprun --semaphore "$LOCK" -n true
  assert_error "semaphore \"$LOCK\" on amqp://[^ ]* was not acquired: it is held by others"
}

@test "the slot that came free is taken again" {
  sane_run -0 amqprun change --semaphore "$LOCK" 3
  hold --semaphore "$LOCK"
  hold --semaphore "$LOCK"
  second=$bg_pid freed=$slot
  hold --semaphore "$LOCK"
  release "$second"
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -0 amqprun --semaphore "$LOCK" -n sh -c 'echo "$AMQPRUN_SLOT"'
  [ "$output" = "$freed" ]
}

@test "a semaphore that does not exist is an error at once, also with -w" {
  for how in -n '-w 60' -q; do
    # shellcheck disable=SC2086 # two words
    sane_run -78 --separate-stderr amqprun --semaphore "$LOCK" $how touch started
    assert_error "there is no semaphore \"$LOCK\" on amqp://" "amqprun change --semaphore $LOCK --to N"
  done
  [ ! -e started ]
}

@test "--slots creates a semaphore, and never resizes one" {
  sane_run -0 --separate-stderr amqprun --semaphore "$LOCK" --slots 2 echo ran
  [ "$output" = ran ]
  [ -z "$stderr" ]
  slots 2 0
  sane_run -0 foreign has "$LOCK-A-0" # as change would have made it
  sane_run -0 amqprun --semaphore "$LOCK" --slots 5 true
  slots 2 0
  sane_run -0 amqprun change --semaphore "$LOCK" -1
  sane_run -0 amqprun --semaphore "$LOCK" --slots 2 true
  slots 1 0
}

@test "--slots does not bring a paused semaphore to life" {
  sane_run -0 amqprun change --semaphore "$LOCK" 0
  sane_run -75 amqprun --semaphore "$LOCK" --slots 2 -n true
  slots 0 0
}

@test "runs that create the same semaphore at the same time make one" {
  for n in 1 2 3 4; do
    start_bg amqprun --semaphore "$LOCK" --slots 3 true
  done
  for pid in "${BACKGROUND[@]}"; do
    wait_bg 30 "$pid"
    [ "$status" -eq 0 ]
  done
  slots 3 0
}

@test "--slots does not resize a semaphore that somebody else makes in the meantime" {
  hold --mutex "$LOCK" # it keeps those who would make the semaphore waiting for each other
  holder=$bg_pid
  start_bg amqprun -v --semaphore "$LOCK" --slots 3 true
  wait_until 20 file_has bg.2.err 'connected to'
  foreign slot "$LOCK" 1
  release "$holder"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
  slots 1 0
}

@test "a paused semaphore makes everyone wait until it has a slot" {
  sane_run -0 amqprun change --semaphore "$LOCK" 0
  sane_run -75 --separate-stderr amqprun --semaphore "$LOCK" -n true
  assert_error 'paused \(0 slots\)'
  start_waiter 1 --semaphore "$LOCK" touch started
  [ ! -e started ]
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
  [ -e started ]
}

@test "a waiter gets the slot that is added" {
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  hold --semaphore "$LOCK"
  # shellcheck disable=SC2016 # for the inner shell
  start_waiter 1 --semaphore "$LOCK" sh -c 'echo "$AMQPRUN_SLOT"'
  sane_run -0 amqprun change --semaphore "$LOCK" +1
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
  [ "$(<bg.2.out)" = 2 ]
}

@test "the waiters of a semaphore that is destroyed end with an error" {
  sane_run -0 amqprun change --semaphore "$LOCK" 0
  start_waiter 1 --semaphore "$LOCK" touch started
  start_waiter 2 --semaphore "$LOCK" touch started
  sane_run -0 amqprun destroy --semaphore "$LOCK"
  for n in 1 2; do
    wait_bg 20 "${BACKGROUND[n - 1]}"
    [ "$status" -eq 78 ]
    stderr=$(<"bg.$n.err")
    assert_error "there is no semaphore \"$LOCK\""
  done
  [ ! -e started ]
}

@test "--count takes several slots, all or none" {
  sane_run -0 amqprun change --semaphore "$LOCK" 3
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -0 amqprun --semaphore "$LOCK" --count 3 sh -c 'echo "$AMQPRUN_COUNT: $AMQPRUN_SLOT of $AMQPRUN_SLOTS"'
  [ "$output" = "3: 1 of 1 2 3" ]
  hold --semaphore "$LOCK" --count 2
  slots 3 2
  sane_run -75 amqprun --semaphore "$LOCK" --count 2 -n true
  slots 3 2
  sane_run -0 amqprun --semaphore "$LOCK" --count 1 -n true
}

@test "--count all takes all slots that there are, and is alone" {
  sane_run -0 amqprun change --semaphore "$LOCK" 2
  hold --semaphore "$LOCK"
  reader=$bg_pid
  sane_run -75 --separate-stderr amqprun --semaphore "$LOCK" --count all -n true
  assert_error '1 of the 2 slots were free, all are wanted'
  # shellcheck disable=SC2016 # for the inner shell
  start_waiter 1 --semaphore "$LOCK" --count all sh -c 'echo "$AMQPRUN_SLOTS"; exec sleep 600'
  writer=$bg_pid
  sane_run -0 amqprun change --semaphore "$LOCK" +1
  release "$reader"
  wait_until 20 test -s bg.2.out
  [ "$(<bg.2.out)" = "1 2 3" ]
  sane_run -75 --separate-stderr amqprun change --semaphore "$LOCK" +1
  assert_error 'gets no more slots now: a run has all of them for itself' 'when that run has ended'
  release "$writer"
  sane_run -0 amqprun change --semaphore "$LOCK" +1
  slots 4 0
  sane_run -64 --separate-stderr amqprun --semaphore "$LOCK" --count most true
  assert_error 'must be a whole number, or all'
  sane_run -64 amqprun --mutex "$LOCK" --count all true
}

@test "a waiter for several slots gets them together" {
  sane_run -0 amqprun change --semaphore "$LOCK" 2
  hold --semaphore "$LOCK"
  holder=$bg_pid
  # shellcheck disable=SC2016 # for the inner shell
  start_waiter 1 --semaphore "$LOCK" --count 2 sh -c 'echo "$AMQPRUN_SLOTS"'
  release "$holder"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
  [ "$(<bg.2.out)" = "1 2" ]
}

@test "--greedy takes every slot that is free, at least one" {
  sane_run -0 amqprun change --semaphore "$LOCK" 3
  hold --semaphore "$LOCK"
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -0 amqprun --semaphore "$LOCK" --greedy sh -c 'echo "$AMQPRUN_COUNT: $AMQPRUN_SLOTS"'
  [ "$output" = "2: $(printf '%s\n' 1 2 3 | grep -v "$slot" | xargs)" ]
  sane_run -0 amqprun change --semaphore "$LOCK" -3
  sane_run -75 amqprun --semaphore "$LOCK" --greedy -n true
}

@test "the command learns its elastic set from a file and by HUP" {
  sane_run -0 amqprun change --semaphore "$LOCK" 1
  # shellcheck disable=SC2016 # for the inner shell
  start_bg amqprun --check-interval 0.1 --semaphore "$LOCK" --greedy --elastic sh -c '
    trap "cat \"$AMQPRUN_SLOTS_FILE\"" HUP
    cat "$AMQPRUN_SLOTS_FILE"
    while :; do sleep 600 & wait "$!"; done'
  held() { [ "$(tail -n 1 bg.1.out)" = "$1" ]; }
  wait_until 20 held 1
  sane_run -0 amqprun change --semaphore "$LOCK" 2
  wait_until 20 held "1 2 3"
  slots 3 3
  sane_run -0 amqprun change --semaphore "$LOCK" -1
  wait_until 20 held "1 2"
  sane_run -0 amqprun change --semaphore "$LOCK" -2
  wait_bg 20 "$bg_pid" # the lock is lost with the last slot
  [ "$status" -eq 76 ]
}

@test "the command of a lock within an elastic set learns its own slots" {
  amqprun change --semaphore "$LOCK" 3
  amqprun change --semaphore "$LOCK-inner" 2
  sane_run -0 amqprun --semaphore "$LOCK" --greedy --elastic -- amqprun --mutex "$LOCK-mutex" -- env
  [[ $output != *AMQPRUN_SLOTS_FILE* ]]
  inner=(amqprun --semaphore "$LOCK" --greedy --elastic -- amqprun --semaphore "$LOCK-inner" --greedy --elastic --)
  sane_run -0 "${inner[@]}" env
  [ "$(grep -c '^AMQPRUN_SLOTS_FILE=' <<<"$output")" -eq 1 ]
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -0 "${inner[@]}" sh -c 'cat "$AMQPRUN_SLOTS_FILE"'
  [ "$output" = "1 2" ]
  amqprun destroy --semaphore "$LOCK-inner"
}

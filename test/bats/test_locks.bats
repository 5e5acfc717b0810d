#!/usr/bin/env bats
# scripts/test_locks has the command line of the original test_locks.py; its README has the examples.

load helpers
load locks

setup() {
  requires_broker
  new_lock
  export AMQPRUN_TEST_LOCK=$LOCK
}

teardown() {
  end_background
  amqprun destroy --semaphore "$LOCK"
}

test_locks() { "$ROOT/scripts/test_locks" "$@"; }

start_test_locks() { # ARGUMENT...
  start_bg "$ROOT/scripts/test_locks" "$@"
}

says() { # LINE...: what the first started script has printed so far, in all
  printf '%s\n' "$@" | cmp - bg.1.out
}

@test "README: of two that want the mutex for a minute only one gets it" {
  start_test_locks --sleep 60 true_mutex --acquire
  wait_until 20 says "Got lock"
  sane_run -75 --separate-stderr test_locks --sleep 60 true_mutex --acquire
  [ "$output" = "Lost lock" ]
  [ -z "$stderr" ]
  release "$bg_pid"
  [ "$status" -eq 143 ]
  sane_run -0 amqprun --mutex "$LOCK" -n true
}

@test "README: a waiter acquires a slot that is added, and loses one that is removed" {
  start_test_locks --sleep 0.1 semaphore --acquire --loop
  wait_until 20 says "Could not get lock"
  sane_run -0 test_locks semaphore --change 1
  [ "$output" = "Adjustment success" ]
  wait_until 20 says "Could not get lock" "Got lock"
  sane_run -0 test_locks semaphore --change -1
  wait_until 20 says "Could not get lock" "Got lock" "Lost lock" "Could not get lock"
  sane_run -0 test_locks semaphore --change 1
  wait_until 20 says "Could not get lock" "Got lock" "Lost lock" "Could not get lock" "Got lock"
}

@test "README: a greedy loop acquires slots that are added and releases slots that are removed" {
  start_test_locks --sleep 0.1 semaphore --acquire --greedy --loop
  wait_until 20 says "Could not get lock"
  sane_run -0 test_locks semaphore --change 1
  wait_until 20 says "Could not get lock" "Got locks: 1"
  sane_run -0 test_locks semaphore --change 1
  wait_until 20 says "Could not get lock" "Got locks: 1" "Got locks: 2"
  slots 2 2
  sane_run -0 test_locks semaphore --change -1
  wait_until 20 says "Could not get lock" "Got locks: 1" "Got locks: 2" "Got locks: 1"
  sane_run -0 test_locks semaphore --change -1
  wait_until 20 file_has bg.1.out "Lost lock"
  release "$bg_pid"
  [ "$status" -eq 143 ]
}

@test "--greedy takes every slot that is free" {
  sane_run -0 test_locks semaphore --change 3
  hold --semaphore "$LOCK"
  sane_run -0 --separate-stderr test_locks --sleep 0 semaphore --acquire --greedy
  [ "$output" = "Got locks: 2" ]
  [ -z "$stderr" ]
  hold --semaphore "$LOCK"
  hold --semaphore "$LOCK"
  sane_run -75 test_locks semaphore --acquire --greedy
  [ "$output" = "Could not get lock" ]
}

@test "a lock is held for --sleep seconds, and then released" {
  sane_run -0 --separate-stderr test_locks --sleep 0.01 true_mutex --acquire
  [ "$output" = "Got lock" ]
  [ -z "$stderr" ]
  sane_run -0 test_locks --sleep=.01 true_mutex --acquire
  sane_run -0 test_locks semaphore --change 2
  sane_run -0 --separate-stderr test_locks --sleep 0 semaphore --acquire
  [ "$output" = "Got lock" ]
  [ -z "$stderr" ]
  slots 2 0
}

@test "a semaphore without a free slot, and no semaphore" {
  sane_run -78 --separate-stderr test_locks semaphore --acquire
  [ "$output" = "Could not get lock" ]
  sane_run -0 test_locks semaphore --change 1
  hold --semaphore "$LOCK"
  sane_run -75 --separate-stderr test_locks semaphore --acquire
  [ "$output" = "Could not get lock" ]
  [ -z "$stderr" ]
}

@test "--verbose shows the slot, and steps and times on standard error" {
  sane_run -0 test_locks --verbose semaphore --change 2
  hold --semaphore "$LOCK"
  sane_run -0 --separate-stderr test_locks --verbose --sleep 0 semaphore --acquire
  [ "$output" = "Got lock: $((3 - slot))" ]
  [[ $stderr =~ amqprun:\ \[\ +[0-9.]+s\]\ acquired\ slot\ $((3 - slot)) ]]
}

@test "a mutex in a loop: lost, got, and free when the script gets TERM" {
  hold --mutex "$LOCK"
  mv bg.1.out holder
  start_bg bash -c "exec '$ROOT/scripts/test_locks' --sleep 0.1 true_mutex --loop >loop"
  wait_until 20 file_has loop 'Lost lock'
  release "${BACKGROUND[0]}"
  wait_until 20 file_has loop 'Got lock'
  [ "$(xargs <loop)" = "Lost lock Got lock" ]
  kill -TERM "${BACKGROUND[1]}"
  wait_bg 20 "${BACKGROUND[1]}"
  [ "$status" -eq 143 ]
  sane_run -0 amqprun --mutex "$LOCK" -n true
}

@test "Ctrl-C ends a loop, and frees the lock" {
  start_bg setsid "$ROOT/scripts/test_locks" true_mutex --acquire --loop
  wait_until 20 says "Got lock"
  kill -INT -- "-$bg_pid"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 130 ]
  sane_run -0 amqprun --mutex "$LOCK" -n true
}

@test "--change and --destroy" {
  sane_run -0 test_locks semaphore --change=3
  [ "$output" = "Adjustment success" ]
  sane_run -0 test_locks semaphore --change -2
  slots 1 0
  sane_run -0 test_locks semaphore --destroy
  sane_run -0 test_locks semaphore --destroy
  sane_run -78 amqprun status --semaphore "$LOCK"
}

@test "the lock is called foo by default" {
  unset AMQPRUN_TEST_LOCK
  # Another run of this test may hold it right now.
  sane_run --separate-stderr test_locks --verbose --sleep 0 true_mutex --acquire
  [[ $stderr == *'mutex "foo"'* ]]
}

@test "help for the script and for each mode" {
  sane_run -0 test_locks --help
  [[ $output == *"--sleep SECONDS"*"--verbose"* ]]
  sane_run -0 test_locks true_mutex --help
  [[ $output == *"--acquire"*"--loop"* ]]
  sane_run -0 test_locks --verbose semaphore -h
  [[ $output == *"--acquire"*"--loop"*"--greedy"*"--destroy"*"--change COUNT"* ]]
}

@test "it refuses words that it does not understand" {
  for words in '' semaphore true_mutex 'none --acquire' '--acquire true_mutex' 'true_mutex --greedy' 'true_mutex --sleep 1' \
    '--sleep x true_mutex --acquire' '--sleep' 'semaphore --change' 'semaphore --change x' 'semaphore --loop' \
    'semaphore --acquire --destroy' 'semaphore --destroy --change 1' 'semaphore --greedy' 'true_mutex --acquire extra'; do
    # shellcheck disable=SC2086 # several words
    sane_run -64 --separate-stderr test_locks $words
    [[ ${stderr_lines[0]} == "test_locks: error: "* ]]
    [ -z "$output" ]
  done
}

@test "it says that there is no amqprun" {
  mkdir -p copy/scripts
  cp "$ROOT/scripts/test_locks" copy/scripts
  PATH=/usr/bin:/bin sane_run -69 --separate-stderr copy/scripts/test_locks true_mutex --acquire
  [[ $stderr == *"amqprun is not in PATH"* ]]
}

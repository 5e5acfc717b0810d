#!/usr/bin/env bats
# Taking a lock, running the command, giving the lock back.

load helpers
load locks

@test "the command runs, and amqprun says nothing" {
  sane_run -0 --separate-stderr amqprun --mutex "$LOCK" -- echo hello
  [ "$output" = hello ]
  [ -z "$stderr" ]
}

@test "standard input, output and error are the command's" {
  sane_run -0 --separate-stderr bash -c "printf 'a\0b' | amqprun --mutex $LOCK sh -c 'cat; echo problem >&2' | od -c"
  [[ ${lines[0]} =~ a.*\\0.*b ]]
  [ "$stderr" = problem ]
}

@test "while one holds a mutex another does not get it, and afterwards it does" {
  hold --mutex "$LOCK"
  sane_run -75 --separate-stderr amqprun --mutex "$LOCK" -n touch started
  [ ! -e started ]
  [ -z "$output" ]
  assert_error "mutex \"$LOCK\" on amqp://[^ ]* was not acquired: it is held by others"
  release "$bg_pid"
  [ "$status" -eq 143 ]
  sane_run -0 amqprun --mutex "$LOCK" -n touch started
  [ -e started ]
}

@test "inside the command the mutex is held" {
  sane_run -75 amqprun --mutex "$LOCK" env -u AMQPRUN_LOCKS amqprun --mutex "$LOCK" -n true
}

@test "different locks do not meet, nor do a mutex and a semaphore of one name" {
  hold --mutex "$LOCK"
  sane_run -0 amqprun --mutex "$LOCK-other" -n true
  sane_run -0 amqprun --mutex "${LOCK^^}" -n true
  release "$bg_pid"
  sane_run -0 amqprun --semaphore "$LOCK" --slots 1 -n amqprun --mutex "$LOCK" -n true
}

@test "-w 0 is -n, and -w ends the wait" {
  hold --mutex "$LOCK"
  sane_run -75 --separate-stderr amqprun --mutex "$LOCK" -w 0 touch started
  assert_error 'is held by others$'
  for wait in 0.7 700ms; do
    sane_run -75 --separate-stderr amqprun --mutex "$LOCK" -w "$wait" touch started
    assert_error "mutex \"$LOCK\" on amqp://[^ ]* was not acquired in time: it is held by others"
  done
  sane_run -75 amqprun --mutex "$LOCK" --timeout=0.7 touch started
  [ ! -e started ]
}

@test "every way to write a time to wait" {
  for wait in 90 1.5 90s 5m 1m30s .5; do
    sane_run -0 amqprun --mutex "$LOCK" --wait "$wait" true
  done
}

@test "-E changes the exit status of -n and -w, and nothing else" {
  hold --mutex "$LOCK"
  sane_run -7 amqprun --mutex "$LOCK" -E 7 -n true
  sane_run -0 amqprun --mutex "$LOCK" --conflict-exit-code 0 -w 0.7 false
  sane_run -3 amqprun --mutex "$LOCK-other" -E 7 -n sh -c 'exit 3'
  sane_run -78 amqprun --semaphore "$LOCK-other" -E 7 -n true
}

@test "-q silences only the message about a lock that was not acquired" {
  hold --mutex "$LOCK"
  sane_run -75 --separate-stderr amqprun -q --mutex "$LOCK" -n true
  [ -z "$output$stderr" ]
  sane_run -78 --separate-stderr amqprun -q --semaphore "$LOCK" -n true
  assert_error "there is no semaphore \"$LOCK\""
}

@test "-v logs each step, on standard error only" {
  sane_run -0 --separate-stderr amqprun -v --mutex "$LOCK" echo hello
  [ "$output" = hello ]
  for step in 'connected to amqp://' "acquired mutex \"$LOCK\"" "released mutex \"$LOCK\""; do
    grep -q "$step" <<<"$stderr"
  done
}

@test "-c runs a string by the shell in SHELL, or by sh" {
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -0 env SHELL=/bin/bash amqprun --mutex "$LOCK" -c 'echo "$0: a  b" && [[ -n $BASH_VERSION ]]'
  [ "$output" = '/bin/bash: a  b' ]
  # shellcheck disable=SC2016
  sane_run -0 env -u SHELL amqprun --mutex "$LOCK" --command 'echo "$0"'
  [ "$output" = /bin/sh ]
}

@test "a broken standard error does not disturb the command" {
  sane_run -0 bash -c "amqprun -v --mutex $LOCK echo fine 2> >(exec true)"
  [ "$output" = fine ]
}

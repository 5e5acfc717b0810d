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
  # The time includes the login, which may take three seconds and more where others log in.
  for wait in '-w 10' '-w 10000ms' --timeout=10; do
    # shellcheck disable=SC2086 # two words
    start_bg amqprun --mutex "$LOCK" $wait touch started
  done
  for n in 2 3 4; do
    wait_bg 30 "${BACKGROUND[n - 1]}"
    [ "$status" -eq 75 ]
    stderr=$(<"bg.$n.err")
    assert_error "mutex \"$LOCK\" on amqp://[^ ]* was not acquired in time: it is held by others"
  done
  [ ! -e started ]
}

@test "every way to write a time to wait" {
  for wait in 90 60.5 90s 5m 1m30s; do
    sane_run -0 amqprun --mutex "$LOCK" --wait "$wait" true
  done
  sane_run amqprun --mutex "$LOCK" --wait .5 true
  [[ $status =~ ^(0|69|75)$ ]] # a login may take longer
}

@test "-E changes the exit status of -n and -w, and nothing else" {
  hold --mutex "$LOCK"
  start_bg amqprun --mutex "$LOCK" --conflict-exit-code 0 -w 10 false # which includes the login
  sane_run -7 amqprun --mutex "$LOCK" -E 7 -n true
  sane_run -3 amqprun --mutex "$LOCK-other" -E 7 -n sh -c 'exit 3'
  sane_run -78 amqprun --semaphore "$LOCK-other" -E 7 -n true
  wait_bg 30 "$bg_pid"
  [ "$status" -eq 0 ]
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

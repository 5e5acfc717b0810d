#!/usr/bin/env bats
# Processes that the command leaves behind when it ends by itself.

load helpers
load locks

# A command that leaves a process behind. Its number is in the file "left".
LEAVES='sleep 600 >/dev/null 2>&1 3>&- & echo $! >left; exit 3'

teardown() {
  [[ ! -s left ]] || kill "$(<left)" 2>/dev/null || true
  end_background
}

@test "it lives on, and the lock is free" {
  for options in '' '--orphans leave'; do
    # shellcheck disable=SC2086 # words
    sane_run -3 amqprun --mutex "$LOCK" $options -- sh -c "$LEAVES"
    sane_run ! is_gone "$(<left)"
    sane_run -0 amqprun check --mutex "$LOCK"
    kill "$(<left)"
  done
}

@test "--orphans kill: it is stopped" {
  sane_run -3 amqprun --mutex "$LOCK" --orphans kill -- sh -c "$LEAVES"
  sane_run -0 is_gone "$(<left)"
}

@test "--orphans wait: the lock is kept until it has ended too" {
  start_bg amqprun -v --mutex "$LOCK" --orphans wait -- sh -c "echo \$\$ >leader; $LEAVES"
  wait_until 20 test -s left
  wait_until 20 is_gone "$(<leader)"
  sane_run -75 amqprun check --mutex "$LOCK"
  sane_run ! is_gone "$bg_pid"
  kill "$(<left)"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 3 ]
  sane_run -0 amqprun check --mutex "$LOCK"
}

#!/usr/bin/env bats
# The exit status is the command's own, or says what amqprun could not do. test/cli goes through all 256 codes, and
# broker_errors.bats has those of a broker that refuses.

load helpers
load locks

setup() {
  requires_broker
  new_lock
  ulimit -c 0
}

# The wait status as the kernel has it: -N after a death by signal N. No shell
# distinguishes that from exit status 128+N.
wait_status() { # COMMAND...
  /usr/bin/python3 -c 'import subprocess, sys; print(subprocess.run(sys.argv[1:]).returncode)' "$@"
}

@test "the command's own exit status" {
  for code in 0 1 2 64 69 75 76 77 78 124 125 126 127 128 143 255; do
    sane_run "-$code" --separate-stderr amqprun --mutex "$LOCK" sh -c "exit $code"
    [ -z "$output$stderr" ]
  done
}

@test "128+n when signal n killed the command" {
  for signal in HUP QUIT ABRT KILL USR1 SEGV PIPE TERM; do
    code=$((128 + $(kill -l "$signal")))
    sane_run -0 --separate-stderr wait_status amqprun --mutex "$LOCK" sh -c "kill -$signal \$\$"
    [ "$output" = "$code" ]
    [ -z "$stderr" ]
  done
}

@test "a real-time signal reaches the command" {
  # shellcheck disable=SC2016 # the command's own shell expands it
  start_bg amqprun --mutex "$LOCK" bash -c 'trap "exit 7" RTMIN+6; : >ready; while :; do sleep 0.01; done'
  wait_until 20 test -e ready
  send_until_it_ends() {
    kill -RTMIN+6 "$bg_pid" 2>/dev/null
    is_gone "$bg_pid"
  }
  wait_until 20 send_until_it_ends # amqprun drops those of its first moments
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 7 ]
}

@test "after a command that died of INT amqprun dies of it, so that a shell's loop ends" {
  sane_run -0 --separate-stderr wait_status amqprun --mutex "$LOCK" sh -c 'kill -INT $$'
  [ "$output" = -2 ]
  [ -z "$stderr" ]
}

@test "Ctrl-C ends the loop of a shell script" {
  # The terminal sends INT to the foreground process group: the shell and amqprun.
  # amqprun passes it to the command.
  start_bg setsid bash -c "for i in 1 2 3; do amqprun --mutex $LOCK sh -c 'echo run; exec sleep 600'; done"
  wait_until 20 file_has bg.1.out run
  kill -INT -- "-$bg_pid"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 130 ]
  [ "$(<bg.1.out)" = run ]
}

@test "126: found but not executable" {
  echo 'echo hello' >plain
  printf '#!/no/such/interpreter\n' >bad
  chmod +x bad
  mkdir directory
  sane_run -126 --separate-stderr amqprun --mutex "$LOCK" ./plain
  assert_error 'cannot run \./plain: permission denied'
  sane_run -126 --separate-stderr amqprun --mutex "$LOCK" ./directory
  assert_error 'cannot run \./directory: is a directory'
  sane_run -126 --separate-stderr amqprun --mutex "$LOCK" ./bad
  assert_error 'cannot run \./bad: .*/no/such/interpreter does not exist'
}

@test "a script without a #! line is run by /bin/sh" {
  # shellcheck disable=SC2016 # for the shell that runs it
  echo 'echo "hello $1"; exit 7' >plain
  chmod +x plain
  sane_run -7 --separate-stderr amqprun --mutex "$LOCK" ./plain world
  [ "$output" = 'hello world' ]
}

@test "127: not found" {
  sane_run -127 --separate-stderr amqprun --mutex "$LOCK" no-such-command
  assert_error 'cannot run no-such-command: command not found'
  sane_run -127 --separate-stderr amqprun --mutex "$LOCK" ./no-such-file
  assert_error 'cannot run \./no-such-file: '
}

@test "126 and 127 come before the wait, and before a broker is asked" {
  echo 'echo hello' >plain
  printf '#!/no/such/interpreter\n' >bad
  chmod +x bad
  hold --mutex "$LOCK"
  for how in '' -n '-w 60' '-E 3' '--once 1h' --fence; do
    # shellcheck disable=SC2086 # words
    sane_run -127 amqprun --mutex "$LOCK" $how no-such-command
    # shellcheck disable=SC2086
    sane_run -126 amqprun --mutex "$LOCK" $how ./plain
    # shellcheck disable=SC2086
    sane_run -126 amqprun --mutex "$LOCK" $how ./bad
  done
  sane_run -127 amqprun --url amqp://127.0.0.1:1/ --semaphore "$LOCK" --greedy --elastic no-such-command
  SHELL=/no/such/shell sane_run -127 --separate-stderr amqprun --mutex "$LOCK" -c true
  assert_error 'cannot run /no/such/shell: '
}

@test "the command is looked up again when it starts" {
  mkdir one two
  printf '#!/bin/sh\necho one\n' >one/tool
  printf '#!/bin/sh\necho two\n' >two/tool
  chmod +x one/tool two/tool
  hold --mutex "$LOCK"
  holder=$bg_pid
  PATH=$PWD/one:$PWD/two:$PATH start_waiter 1 --mutex "$LOCK" tool
  rm one/tool
  release "$holder"
  wait_bg 20 "$bg_pid"
  [ "$(<bg.2.out)" = two ]
}

@test "a command that could not be started has released the lock" {
  mkdir tools
  printf '#!/bin/sh\n' >tools/tool
  chmod +x tools/tool
  hold --mutex "$LOCK"
  holder=$bg_pid
  PATH=$PWD/tools:$PATH start_waiter 1 --mutex "$LOCK" tool
  rm tools/tool
  release "$holder"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 127 ]
  sane_run -0 amqprun --mutex "$LOCK" -n true
}

@test "64: usage" {
  sane_run -64 --separate-stderr amqprun --mutex "$LOCK" --bogus true
  assert_error 'unknown option --bogus' '--help'
}

@test "69: broker unreachable" {
  AMQPRUN_URL=amqp://127.0.0.1:1/ sane_run -69 --separate-stderr amqprun --mutex "$LOCK" -n true
  assert_error 'cannot reach the broker amqp://127.0.0.1:1'
}

@test "75: not acquired, with -n, with -w, or what -E says" {
  hold --mutex "$LOCK"
  start_bg amqprun --mutex "$LOCK" -w 10 true # which includes the login
  sane_run -75 amqprun --mutex "$LOCK" -n true
  sane_run -42 amqprun --mutex "$LOCK" -n -E 42 true
  wait_bg 30 "$bg_pid"
  [ "$status" -eq 75 ]
}

@test "76: lock lost, also when the command then succeeds" {
  amqprun change --semaphore "$LOCK" 1
  start_bg amqprun --check-interval 0.1 --semaphore "$LOCK" sh -c 'trap "exit 0" TERM; echo ready; sleep 600 & wait'
  wait_until 20 file_has bg.1.out ready
  amqprun destroy --semaphore "$LOCK"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 76 ]
  stderr=$(<bg.1.err)
  assert_error "lost slot 1 of semaphore \"$LOCK\".*the command was stopped in .* and exited with 0"
}

@test "78: no such semaphore" {
  sane_run -78 --separate-stderr amqprun --semaphore "$LOCK" true
  assert_error "there is no semaphore \"$LOCK\""
}

@test "125: amqprun itself failed, here because it may open no more files" {
  sane_run -125 --separate-stderr bash -c "ulimit -n 9; exec amqprun --mutex $LOCK true 3>&- 4>&-"
  assert_error '(start the guard process|create timer): .*too many open files'
}

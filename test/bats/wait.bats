#!/usr/bin/env bats
# Waiting for a lock that others hold.

load helpers
load locks

no_trace() { # of a waiter, but for the line that serves the next one
  foreign line "$LOCK" 0
  sane_run -1 foreign has "$LOCK"
}

@test "without options amqprun waits, in silence, until the lock is free" {
  hold --mutex "$LOCK"
  holder=$bg_pid
  start_waiter 1 --mutex "$LOCK" echo now
  [ ! -s bg.2.out ]
  release "$holder"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
  [ "$(<bg.2.out)" = now ]
  [ ! -s bg.2.err ]
}

@test "-w gets a lock that comes free in time" {
  hold --mutex "$LOCK"
  holder=$bg_pid
  start_waiter 1 --mutex "$LOCK" -w 60 echo now
  release "$holder"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
  [ "$(<bg.2.out)" = now ]
}

@test "-w and -n on one command line contradict each other; -n and -w 0 do not" {
  sane_run -64 --separate-stderr amqprun --mutex "$LOCK" -n -w 5 true
  assert_error '--nonblock and --wait'
  sane_run -0 amqprun --mutex "$LOCK" -n -w 0 true
}

@test "the first to come is served first" {
  hold --mutex "$LOCK"
  holder=$bg_pid
  for n in 1 2 3 4 5; do
    start_waiter "$n" --mutex "$LOCK" sh -c "echo $n >>order"
  done
  release "$holder"
  wait_until 20 file_lines order 5
  [ "$(xargs <order)" = "1 2 3 4 5" ]
}

@test "a waiter that is killed does not delay the next one" {
  hold --mutex "$LOCK"
  holder=$bg_pid
  start_waiter 1 --mutex "$LOCK" touch started
  first=$bg_pid
  start_waiter 2 --mutex "$LOCK" echo now
  kill -KILL "$first"
  foreign line "$LOCK" 1
  release "$holder"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
  [ ! -e started ]
}

@test "a waiter that is stopped does not keep a free lock from the next one" {
  hold --mutex "$LOCK"
  holder=$bg_pid
  start_waiter 1 --mutex "$LOCK" --heartbeat 60 true
  first=$bg_pid
  start_waiter 2 --mutex "$LOCK" echo now
  kill -STOP "$first"
  release "$holder"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
  kill -CONT "$first"
  wait_bg 20 "$first"
  [ "$status" -eq 0 ]
}

interrupted_waiter() { # SIGNAL STATUS KIND
  [ "$3" = mutex ] || amqprun change --semaphore "$LOCK" 1
  hold "--$3" "$LOCK"
  holder=$bg_pid
  start_waiter 1 "--$3" "$LOCK" touch started
  kill "-$1" "$bg_pid"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq "$2" ]
  [ ! -s bg.2.err ]
  release "$holder"
  no_trace
  sane_run -0 amqprun "--$3" "$LOCK" -n true
  [ ! -e started ]
  [ "$3" = mutex ] || amqprun destroy --semaphore "$LOCK"
}

@test "INT ends the wait" { interrupted_waiter INT 130 mutex; }
@test "TERM ends the wait" { interrupted_waiter TERM 143 mutex; }
@test "HUP ends the wait" { interrupted_waiter HUP 129 semaphore; }
@test "QUIT ends the wait" { interrupted_waiter QUIT 131 semaphore; }

@test "a waiter that is interrupted by INT dies of it" {
  hold --mutex "$LOCK"
  start_bg /usr/bin/python3 -c '
import signal, subprocess, sys
waiter = subprocess.Popen(sys.argv[2:])
assert subprocess.run([sys.argv[1], "line", sys.argv[4], "1"]).returncode == 0
waiter.send_signal(signal.SIGINT)
print(waiter.wait(20))' "$BATS_TEST_DIRNAME/foreign.py" amqprun --mutex "$LOCK" touch started
  wait_bg 30 "$bg_pid"
  [ "$(<bg.2.out)" = -2 ]
  [ ! -e started ]
}

@test "-v names the lock that it waits for" {
  hold --mutex "$LOCK"
  start_waiter 1 -v --mutex "$LOCK" true
  wait_until 20 file_has bg.2.err "waiting for mutex \"$LOCK\""
}

@test "--progress shows the lock, the broker, and how long it has waited" {
  hold --mutex "$LOCK"
  start_waiter 1 --mutex "$LOCK" --progress 0.4 true
  line="^amqprun: waiting for mutex \"$LOCK\" on amqps?://[^ ]+ for [0-9]+s: "
  line+="(next in line|it is held by others)\$" # the latter before it knows its place
  wait_until 20 file_lines bg.2.err 3
  wait_until 20 file_has bg.2.err ': next in line$'
  sane_run ! grep -vE -- "$line" bg.2.err
  AMQPRUN_PROGRESS=300ms start_waiter 2 --mutex "$LOCK" true
  wait_until 20 file_has bg.3.err ': 1 ahead$'
}

@test "--progress says what is unusual about the wait" {
  amqprun change --semaphore "$LOCK" --to 0
  start_waiter 1 --semaphore "$LOCK" --progress 0.4 true
  wait_until 20 file_has bg.1.err 's: it is paused \(0 slots\); next in line$'
  kill "$bg_pid"
  amqprun destroy --semaphore "$LOCK"
}

@test "--progress 0 and -q wait in silence" {
  hold --mutex "$LOCK"
  start_waiter 1 --mutex "$LOCK" --progress 0.2 true
  start_waiter 2 --mutex "$LOCK" --progress 0.2 -q true
  start_waiter 3 --mutex "$LOCK" --progress 0 true
  wait_until 20 file_lines bg.2.err 4
  [ ! -s bg.3.err ]
  [ ! -s bg.4.err ]
}

@test "--progress to a pipe that nobody reads does not keep the command from its start" {
  hold --mutex "$LOCK"
  holder=$bg_pid
  mkfifo full
  exec {pipe}<>full
  # shellcheck disable=SC2016 # for the inner shell
  start_bg bash -c 'exec 2>full; dd if=/dev/zero bs=65536 count=1 of=full oflag=nonblock status=none; exec amqprun "$@"' - \
    --mutex "$LOCK" --progress 0.1 touch started
  foreign line "$LOCK" 1
  start_waiter 2 --mutex "$LOCK" --progress 0.1 true
  wait_until 20 file_lines bg.3.err 5 # so the other would have said something too
  release "$holder"
  wait_until 20 test -e started
  exec {pipe}>&-
}

@test "a waiter shows systemd that it waits, and leaves READY=1 to the command" {
  cat >systemd.py <<-'PYTHON'
	import socket, sys
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind(sys.argv[1])
	print("bound", flush=True)
	while True:
	    print(s.recv(4096).decode().replace("\n", "; "), flush=True)
	PYTHON
  start_bg /usr/bin/python3 systemd.py "$PWD/notify"
  wait_until 20 file_has bg.1.out bound
  export NOTIFY_SOCKET=$PWD/notify
  sane_run -0 amqprun --mutex "$LOCK" true # which does not wait
  hold --mutex "$LOCK"
  holder=$bg_pid
  # shellcheck disable=SC2016 # for the inner shell
  start_waiter 1 --mutex "$LOCK" sh -c 'echo "$NOTIFY_SOCKET"; exec sleep 600'
  wait_until 20 file_has bg.1.out "^STATUS=waiting for mutex \"$LOCK\": next in line; EXTEND_TIMEOUT_USEC=90000000$"
  release "$holder"
  wait_until 20 test -s bg.3.out
  [ "$(<bg.3.out)" = "$NOTIFY_SOCKET" ]
  # amqprun sends the message before the command starts. Python prints it when it has a processor.
  wait_until 20 file_has bg.1.out '^STATUS=holds '
  [ "$(tail -n 1 bg.1.out)" = "STATUS=holds mutex \"$LOCK\"; EXTEND_TIMEOUT_USEC=90000000" ]
  sane_run -1 grep -Ev '^(bound|STATUS=(waiting for|holds) .*; EXTEND_TIMEOUT_USEC=90000000)$' bg.1.out
}

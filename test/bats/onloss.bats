#!/usr/bin/env bats
# --on-loss: a command that outlives the loss of the connection.

load helpers
load locks

export AMQPRUN_SHOW_COMMAND=1 # the connections are known by it

setup() {
  requires_broker_ctl
  new_lock
}

teardown() {
  end_background
  amqprun destroy --semaphore "$LOCK"
  amqprun destroy --mutex "$LOCK"
}

# Starts a command that writes a line to the file ticks all the time, until there is a file end. Then it
# exits with 7. Sets $n to its number. The guard kills the command of an amqprun that is stopped until the
# lease is over, or for the grace after the connection's end. On a busy machine rabbitmqctl takes longer
# than either is unless an option says so.
tick() { # OPTION...
  rm -f end ticks
  # shellcheck disable=SC2016 # for the inner shell
  start_bg amqprun --heartbeat 60 --kill-after 60 "$@" -- sh -c 'until echo "$AMQPRUN_ID" >id; do :; done; until [ -e end ]; do echo >>ticks; sleep 0.01; done; exit 7'
  n=${#BACKGROUND[@]}
  wait_until 20 test -s ticks
}

ticks() { wc -l <ticks; }

goes_on() { wait_until 20 file_lines ticks "$(($(ticks) + 1))"; }

rests() {
  local before
  wait_until 20 is_stopped
  before=$(ticks)
  sleep 0.2 # so long nothing may happen
  [ "$(ticks)" -eq "$before" ]
}

ends_with() { # STATUS
  wait_bg 20 "${BACKGROUND[n - 1]}"
  [ "$status" -eq "$1" ]
}

# A run that has just begun cannot be evicted yet.
evicted() { # --mutex|--semaphore
  wait_until "$PATIENCE" amqprun evict "$1" "$LOCK" --holder "$(<id)"
}

# Succeeds if a Python expression of the object in report.json is true.
reported() { /usr/bin/python3 -c 'import json, sys; r = json.load(open("report.json")); assert eval(sys.argv[1]), r' "$1"; }

# Closes the connections of the command of tick, which notices that when another has the lock. That other
# run holds the lock until it gets TERM.
lose_to() { # OPTION...
  local pid=${BACKGROUND[n - 1]} close
  start_waiter 1 "$@" -- sh -c 'echo got; exec sleep 600'
  other=$bg_pid
  kill -STOP "$pid"
  broker_close_connections "$LOCK: sh -c 'until" >ctl.out &
  close=$!
  wait_until 60 file_has "bg.${#BACKGROUND[@]}.out" got
  kill -CONT "$pid"
  wait "$close"
}

# Waits until the command is paused.
is_paused() {
  wait_until 20 file_has "bg.$n.err" 'the command is paused'
  rests
}

@test "pause: a mutex and a slot are taken again after each forced close" {
  amqprun change --semaphore "$LOCK" 1
  for kind in --mutex --semaphore; do
    tick --on-loss pause --report report.json $kind "$LOCK"
    for round in 1 2; do
      broker_close_connections "$LOCK"
      wait_until 20 file_lines "bg.$n.err" "$((2 * round))"
      goes_on
    done
    touch end
    ends_with 7
    run -0 cat "bg.$n.err"
    [[ ${lines[0]} =~ 'the broker closed the connection: '.*'; the command is paused until the lock is held again, for 1m0s at most'$ ]]
    [[ ${lines[3]} =~ ^'amqprun: warning: the command goes on; it was paused for ' ]]
    reported 'r["result"] == "ended" and r["exit_status"] == 7 and r["paused"] > 0 and r["token"] > 0'
    run -0 amqprun history $kind "$LOCK"
    [ "${#lines[@]}" -eq 2 ] # one run
    [[ ${lines[1]} == *'exit 7'* ]]
  done
}

@test "pause: a run in the history that has had the lock costs the command its life" {
  tick --on-loss pause --mutex "$LOCK"
  lose_to --history --mutex "$LOCK"
  is_paused
  release "$other"
  ends_with 76
  stderr=$(tail -1 "bg.$n.err")
  assert_error "lost mutex \"$LOCK\".*; not taken again: it was granted to a run of .*; the command was stopped in .* and died of SIGKILL"
}

@test "pause: the command rests for as long as another holds the lock" {
  tick --on-loss pause --mutex "$LOCK"
  lose_to --mutex "$LOCK"
  is_paused
  release "$other"
  goes_on
  touch end
  ends_with 7
}

@test "pause: Ctrl-C and TERM end it, and the time does" {
  for s in INT TERM; do
    tick --on-loss pause --report report.json --mutex "$LOCK"
    lose_to --mutex "$LOCK"
    is_paused
    kill "-$s" "${BACKGROUND[n - 1]}"
    ends_with "$((128 + $(kill -l $s)))"
    file_has "bg.$n.err" "^amqprun: warning: SIG$s while the command was paused: it was killed$"
    reported 'r["result"] == "interrupted" and r["command"]["signal"] == "SIGKILL" and r["paused"] > 0'
    reported "r['error'] == 'SIG$s while the command was paused'"
    release "$other"
  done
  tick --on-loss pause --regain 1 --mutex "$LOCK"
  lose_to --mutex "$LOCK"
  ends_with 76
  file_has "bg.$n.err" 'not taken again within 1s'
}

@test "pause: an eviction, and a slot that is removed, stop the command as always" {
  amqprun change --semaphore "$LOCK" 1
  for end in evict change; do
    tick --on-loss pause --check-interval 0.1 --semaphore "$LOCK"
    case $end in
      evict) evicted --semaphore ;;
      change) amqprun change --semaphore "$LOCK" --to 0 ;;
    esac
    ends_with 76
  done
}

@test "pause: others with --fence leave the lock of one that was killed alone" {
  # That is longer than a look and a login take on a busy machine.
  tick --on-loss pause --regain 12 --mutex "$LOCK"
  kill -KILL "${BACKGROUND[n - 1]}"
  wait_until "$PATIENCE" amqprun check --mutex "$LOCK" # the guard keeps it until the command is dead
  sane_run -75 --separate-stderr amqprun --fence -n --mutex "$LOCK" true
  assert_error 'it is free, but the run that has lost it may take it again for [0-9]+s'
  sane_run -0 amqprun --fence -w 40 --mutex "$LOCK" true
}

@test "keep: the command goes on, and amqprun takes the lock again" {
  amqprun change --semaphore "$LOCK" 1
  for kind in --mutex --semaphore; do
    tick --on-loss keep --report report.json $kind "$LOCK"
    broker_close_connections "$LOCK"
    wait_until 20 file_lines "bg.$n.err" 2
    touch end
    ends_with 7
    run -0 cat "bg.$n.err"
    [[ ${lines[0]} =~ 'the broker closed the connection: '.*'; the command goes on without the lock'$ ]]
    [[ ${lines[1]} =~ ^'amqprun: warning: holds '.*', after '.*' without it'$ ]]
    reported 'r["result"] == "ended" and r["exit_status"] == 7 and r["unheld"] > 0'
  done
}

@test "keep: the command has its slot again, and a warning says when another has that" {
  amqprun change --semaphore "$LOCK" 4
  tick --on-loss keep --semaphore "$LOCK"
  for round in 1 2 3; do
    broker_close_connections "$LOCK"
    wait_until 20 file_lines "bg.$n.err" "$((2 * round))"
  done
  sane_run -1 grep AMQPRUN_SLOTS "bg.$n.err"
  hold --count 3 --semaphore "$LOCK"
  rest=$bg_pid
  lose_to --semaphore "$LOCK"
  release "$rest"
  wait_until 20 file_has "bg.$n.err" 'again, after .* without it; the command still has AMQPRUN_SLOTS=[1-4]$'
  touch end
  ends_with 7
  release "$other"
}

@test "keep: the command goes on beside another, and ends with its own status" {
  tick --on-loss keep --mutex "$LOCK"
  lose_to --mutex "$LOCK"
  wait_until 20 file_has "bg.$n.err" 'the command goes on without the lock'
  goes_on
  touch end
  ends_with 7
  release "$other"
}

@test "keep: an eviction stops the command" {
  tick --on-loss keep --mutex "$LOCK"
  evicted --mutex
  ends_with 76
}

# The first in the wait queue keeps a part of its slots when another run has ended.
is_evicted_from_a_part() {
  amqprun -n --semaphore "$LOCK" true
  amqprun evict --semaphore "$LOCK" --holder "$(<id)"
  has_ended "${BACKGROUND[n - 1]}"
}

@test "keep: an eviction from a part of the slots stops the command" {
  amqprun change --semaphore "$LOCK" 2
  tick --on-loss keep --count 2 --semaphore "$LOCK"
  lose_to --semaphore "$LOCK"
  wait_until "$PATIENCE" is_evicted_from_a_part
  ends_with 76
  file_has "bg.$n.err" 'lost slots 1 and 2 of semaphore .*: evicted by .*; the command was stopped in '
  release "$other"
}

@test "what does not go together is refused" {
  for options in '--on-loss pause --count 2' '--on-loss pause --count all' '--on-loss pause --greedy' \
    '--on-loss keep --fence' '--on-loss keep --greedy --elastic' '--regain 5' '--on-loss pause --regain 2h' '--on-loss go'; do
    # shellcheck disable=SC2086 # several words
    sane_run -64 --separate-stderr amqprun $options --semaphore "$LOCK" true
    assert_error '--on-loss|--regain'
  done
  sane_run -64 --separate-stderr amqprun --on-loss keep --once 1h --mutex "$LOCK" true
  assert_error 'keep excludes --fence and --once'
  sane_run -64 amqprun hold --on-loss pause --mutex "$LOCK"
  for conflict in 'pause --count 2' 'keep --greedy --elastic' 'keep --fence'; do
    read -r variable options <<<"$conflict"
    # shellcheck disable=SC2086 # several words
    AMQPRUN_ON_LOSS=$variable sane_run -64 --separate-stderr amqprun $options --semaphore "$LOCK" true
    assert_error on-loss 'AMQPRUN_ON_LOSS is set; --on-loss stop takes it back'
  done
}

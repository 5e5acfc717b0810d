#!/usr/bin/env bats
# scripts/broker itself, which every other test and every demonstration needs.

load helpers

setup_file() {
  # Its own folder: the broker of the test run is not listed, and no two names meet.
  export AMQPRUN_BROKER_DIR=$BATS_FILE_TMPDIR/brokers
  broker=$BATS_TEST_DIRNAME/../../scripts/broker
  command -v erl >/dev/null || skip "rabbitmq-server is not installed"
  # Both start at once, so that a shared port, cookie or epmd would show.
  "$broker" start one >"$BATS_FILE_TMPDIR/one" 3>&- 9>"$BATS_FILE_TMPDIR/inherited" &
  "$broker" start two >"$BATS_FILE_TMPDIR/two" 3>&- &
  wait
}

teardown_file() {
  "$BATS_TEST_DIRNAME/../../scripts/broker" stop one
  "$BATS_TEST_DIRNAME/../../scripts/broker" stop two
}

broker() { "$ROOT/scripts/broker" "$@" 3>&-; }

members() { # NAME: the processes of that node
  grep -slzxF "AMQPRUN_BROKER_HOME=$AMQPRUN_BROKER_DIR/$1" /proc/[0-9]*/environ
}

@test "two brokers run at once, on loopback ports of their own" {
  read -r one <"$BATS_FILE_TMPDIR/one"
  read -r two <"$BATS_FILE_TMPDIR/two"
  [[ $one =~ ^amqp://guest:guest@127\.0\.0\.1:[0-9]+/$ ]]
  [[ $two =~ ^amqp://guest:guest@127\.0\.0\.1:[0-9]+/$ ]]
  [ "$one" != "$two" ]
  sane_run -0 broker list
  [ "${#lines[@]}" -eq 2 ]
  broker probe "$one"
  broker probe "$two"
}

@test "a queue of one broker is not on the other" {
  sane_run -0 broker ctl -n one add_vhost "$LOCK"
  sane_run -0 broker ctl -n one -q list_vhosts
  [[ $output == *"$LOCK"* ]]
  sane_run -0 broker ctl -n two -q list_vhosts
  [[ $output != *"$LOCK"* ]]
}

@test "many can evaluate at the same time" {
  for n in 1 2 3 4 5; do
    start_bg "$ROOT/scripts/broker" eval one "timer:sleep(500), $n."
  done
  for n in 1 2 3 4 5; do
    wait_bg 20 "${BACKGROUND[n - 1]}"
    [ "$(<"bg.$n.out")" = "$n" ]
  done
}

@test "it listens on loopback only" {
  sane_run -0 broker ctl -n one -q eval '[{N, inet:sockname(P)} || P <- erlang:ports(), {ok, N} <- [inet:port(P)]].'
  [[ $output == *127,0,0,1* ]]
  [[ $output != *"{0,0,0,0}"* ]]
  [[ $output != *"{0,0,0,0,0,0,0,0}"* ]]
}

@test "start is idempotent, also in a command substitution" {
  pid=$(broker pid one)
  url=$("$ROOT/scripts/broker" start one)
  [ "$url" = "$(<"$BATS_FILE_TMPDIR/one")" ]
  [ "$(broker pid one)" = "$pid" ]
}

@test "start lets go of every descriptor of its caller" {
  # A process may have ended by now, as df which the node runs now and then, or close a file meanwhile.
  for process in $(members one); do
    run readlink "${process%/environ}"/fd/*
    [[ -n $output || ! -e $process ]]
    [[ $output != */inherited* ]]
  done
}

@test "env sets AMQPRUN_URL" {
  unset AMQPRUN_URL
  eval "$(broker env two)"
  [ "$AMQPRUN_URL" = "$(<"$BATS_FILE_TMPDIR/two")" ]
}

@test "a start whose caller was killed does not block the next one" {
  start_bg "$ROOT/scripts/broker" start orphan
  wait_until 30 test -s "$AMQPRUN_BROKER_DIR/orphan/pid"
  kill -KILL "$bg_pid"
  sane_run -0 broker start orphan
  broker probe "$output"
  sane_run -0 broker stop orphan
}

@test "a port where nothing answers AMQP fails the probe" {
  sane_run -1 broker probe amqp://guest:guest@127.0.0.1:1/
  sane_run -64 broker probe http://127.0.0.1/
}

@test "stop ends every process, a frozen one too, and deletes the data" {
  [ -n "$(members two)" ]
  kill -STOP "$(broker pid two)"
  sane_run -0 broker stop two
  sane_run ! members two
  [ ! -e "$AMQPRUN_BROKER_DIR/two" ]
  sane_run -69 broker env two
  sane_run -0 broker stop two
}

@test "a node whose scripts execute one another for long is waited for" {
  mkdir sbin
  # Many steps come before the real scripts. In each the process has no environment for a moment.
  cat >sbin/rabbitmq-server <<'SCRIPT'
#!/bin/bash
if ((${STEPS:=0} < 300)); then export STEPS=$((STEPS + 1)) && exec "$0" "$@"; fi
exec "$(<"${0%/*}/real")" "$@"
SCRIPT
  real=${BROKER_SBIN:-$(compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin' | head -n 1)}
  echo "$real/rabbitmq-server" >sbin/real
  printf '#!/bin/sh\nexec "%s/rabbitmqctl" "$@"\n' "$real" >sbin/rabbitmqctl
  chmod +x sbin/*
  url=$(BROKER_SBIN=$PWD/sbin broker start slow)
  sane_run -0 broker probe "$url"
  broker stop slow
}

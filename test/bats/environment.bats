#!/usr/bin/env bats
# The environment: variables that the command gets, and variables that amqprun reads.

load helpers
load locks

own() { env | grep '^AMQPRUN_' | grep -vE '^AMQPRUN_(URL|TEST_BROKER|BROKER_DIR)=' | sort; }

@test "the command learns which mutex it holds" {
  export -f own
  sane_run -0 amqprun --mutex "$LOCK" bash -c own
  [ "${lines[0]}" = AMQPRUN_COUNT=1 ]
  [[ ${lines[1]} =~ ^AMQPRUN_ID=[0-9a-f]{16}$ ]]
  [ "${lines[2]}" = "AMQPRUN_IDS=${lines[1]#*=}" ]
  [ "${lines[3]}" = AMQPRUN_KIND=mutex ]
  [ "${lines[4]}" = "AMQPRUN_LOCK=$LOCK" ]
  [[ ${lines[5]} =~ ^AMQPRUN_LOCKS=mutex:$LOCK@[^\ ]+$ ]]
  [ "${lines[6]}" = AMQPRUN_SLOT=1 ]
  [ "${lines[7]}" = AMQPRUN_SLOTS=1 ]
  [ "${#lines[@]}" -eq 8 ]
}

@test "the command learns which slot it holds" {
  hold --semaphore "$LOCK" --slots 2
  export -f own
  sane_run -0 amqprun --semaphore "$LOCK" bash -c own
  for line in AMQPRUN_COUNT=1 AMQPRUN_KIND=semaphore "AMQPRUN_LOCK=$LOCK" "AMQPRUN_SLOT=$((3 - slot))" "AMQPRUN_SLOTS=$((3 - slot))"; do
    grep -qxF "$line" <<<"$output"
  done
  release "$bg_pid"
  amqprun destroy --semaphore "$LOCK"
}

@test "variables of an outer amqprun are replaced, and its locks are kept" {
  export -f own
  sane_run -0 amqprun --mutex "$LOCK-outer" bash -c "export AMQPRUN_SLOT=9 AMQPRUN_COUNT=9; amqprun --mutex $LOCK bash -c own; env | grep ^AMQPRUN_ID="
  for line in AMQPRUN_COUNT=1 "AMQPRUN_LOCK=$LOCK" AMQPRUN_SLOT=1; do
    [ "$(grep -cxF "$line" <<<"$output")" -eq 1 ]
  done
  [[ $output =~ AMQPRUN_LOCKS=mutex:$LOCK-outer@[^\ ]+\ mutex:$LOCK@ ]]
  [ "$(grep '^AMQPRUN_ID=' <<<"$output" | sort -u | wc -l)" -eq 2 ]
}

@test "everything else in the environment reaches the command unchanged" {
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -0 env FOO='a
b' BAR= amqprun --mutex "$LOCK" sh -c 'printf %s "$FOO"; echo "${BAR-unset}"'
  [ "$output" = $'a\nb' ]
}

@test "AMQPRUN_URL comes before AMQP_URL, and --url before both" {
  nowhere=amqp://guest:guest@127.0.0.1:1/
  good=$AMQPRUN_URL
  AMQP_URL=$nowhere sane_run -0 amqprun --mutex "$LOCK" true
  AMQPRUN_URL=$nowhere AMQP_URL=$good sane_run -69 amqprun --mutex "$LOCK" -n true
  AMQPRUN_URL=$nowhere sane_run -0 amqprun --url "$good" --mutex "$LOCK" true
  unset AMQPRUN_URL
  AMQP_URL=$good sane_run -0 amqprun --mutex "$LOCK" true
  AMQP_URL=$nowhere sane_run -69 amqprun --mutex "$LOCK" -n true
}

@test "an empty variable is one that is not set, and reaches the command" {
  export AMQP_URL=$AMQPRUN_URL
  # shellcheck disable=SC2016 # for the inner shell
  AMQPRUN_URL='' AMQPRUN_HEARTBEAT='' AMQPRUN_VERBOSE='' \
    sane_run -0 --separate-stderr amqprun --mutex "$LOCK" sh -c 'echo "${AMQPRUN_HEARTBEAT-unset}"'
  [ "$output$stderr" = "" ]
}

@test "options about the manner are read from the environment" {
  AMQPRUN_VERBOSE=1 AMQPRUN_HEARTBEAT=17 sane_run -0 --separate-stderr amqprun --mutex "$LOCK" true
  [[ $stderr == *"heartbeat 17s"* ]]
  AMQPRUN_VERBOSE=1 AMQPRUN_HEARTBEAT=17 sane_run -0 --separate-stderr amqprun --heartbeat 18 --mutex "$LOCK" true
  [[ $stderr == *"heartbeat 18s"* ]]
  AMQPRUN_CHECK_INTERVAL=60 sane_run -64 --separate-stderr amqprun --mutex "$LOCK" true
  assert_error 'check interval of 1m0s'
  AMQPRUN_KILL_AFTER=70 sane_run -64 --separate-stderr amqprun --mutex "$LOCK" true
  assert_error '1m10s to stop the command'
  for variable in SIGNAL CONNECT_TIMEOUT HEARTBEAT CHECK_INTERVAL KILL_AFTER PRIORITY REGAIN VERBOSE QUIET; do
    sane_run -64 --separate-stderr env "AMQPRUN_$variable=nonsense" amqprun --mutex "$LOCK" true
    assert_error "^amqprun: error: AMQPRUN_$variable=\"nonsense\": "
  done
  hold --mutex "$LOCK"
  AMQPRUN_QUIET=1 sane_run -75 --separate-stderr amqprun --mutex "$LOCK" -n true
  [ -z "$stderr" ]
}

@test "AMQPRUN_SIGNAL stops the command of a lost lock" {
  amqprun change --semaphore "$LOCK" 1
  AMQPRUN_SIGNAL=USR1 AMQPRUN_CHECK_INTERVAL=0.1 start_bg amqprun --semaphore "$LOCK" \
    sh -c 'trap "echo stopped; exit 0" USR1; echo ready; sleep 600 & wait'
  wait_until 20 file_has bg.1.out ready
  amqprun destroy --semaphore "$LOCK"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 76 ]
  file_has bg.1.out stopped
}

@test "options that say which lock, how many or whether to wait are not" {
  AMQPRUN_WAIT=nonsense AMQPRUN_CONFLICT_EXIT_CODE=nonsense AMQPRUN_SLOTS=nonsense AMQPRUN_ORPHANS=nonsense AMQPRUN_COMMAND=false \
    sane_run -0 amqprun --mutex "$LOCK" true
  AMQPRUN_MUTEX=$LOCK AMQPRUN_SEMAPHORE=$LOCK sane_run -64 --separate-stderr amqprun true
  assert_error 'no lock is named'
  AMQPRUN_SLOTS=3 sane_run -78 amqprun --semaphore "$LOCK" true
  AMQPRUN_COMMAND=true sane_run -64 --separate-stderr amqprun --mutex "$LOCK"
  assert_error 'no command'
  hold --mutex "$LOCK"
  AMQPRUN_CONFLICT_EXIT_CODE=3 sane_run -75 amqprun --mutex "$LOCK" -n true
  holder=$bg_pid
  AMQPRUN_NONBLOCK=1 AMQPRUN_WAIT=0 start_waiter 1 --mutex "$LOCK" true
  release "$holder"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
}

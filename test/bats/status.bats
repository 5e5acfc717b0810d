#!/usr/bin/env bats
# Holders and waiters: status, check and evict.

load helpers
load locks

export AMQPRUN_SHOW_COMMAND=1 # the tests know their runs by it

setup_file() { # the users of docs/how-to/permissions.md, whose lock is called builds
  [[ -n ${AMQPRUN_TEST_BROKER:-} ]] || return 0
  export SECRET=s3cret
  for user in ci operator; do
    broker_add_user "$user" "$SECRET" '' '' ''
  done
  # shellcheck disable=SC2317 # the lines of the page call it
  rabbitmqctl() { broker_ctl "$@"; }
  eval "$(sed -n '/^For .status. and .evict. there/,/^A holder or waiter with/ { /^    /p }' "$ROOT/docs/how-to/permissions.md")"
  broker_add_user silent "$SECRET" '^builds-(B-[0-9]+|[WH])$' '^amq\.default$' '^builds-(A-[0-9]+|[WH])$'
}

teardown_file() {
  [[ -n ${AMQPRUN_TEST_BROKER:-} ]] || return 0
  for user in ci operator silent; do
    broker_delete_user "$user"
  done
  amqprun destroy --semaphore builds
}

teardown() {
  end_background
  amqprun destroy --semaphore "$LOCK"
}

as() { echo "amqp://$1:$SECRET@${AMQPRUN_URL#*@}"; } # USER

@test "status of a free semaphore, as text and as JSON" {
  amqprun change --semaphore "$LOCK" 3
  sane_run -0 --separate-stderr amqprun status --semaphore "$LOCK"
  [ "$output" = "semaphore \"$LOCK\": 3 slots, 0 held, 3 free" ]
  [ -z "$stderr" ]
  sane_run -0 --separate-stderr amqprun status --json --semaphore "$LOCK"
  [ "$output" = "{\"version\":1,\"kind\":\"semaphore\",\"name\":\"$LOCK\",\"slots\":3,\"held\":0,\"free\":3,\"waiting\":0,\"holders\":[],\"waiters\":[]}" ]
  [ -z "$stderr" ]
}

@test "status of a free mutex, as text and as JSON, and it does not take the mutex" {
  for _ in 1 2; do
    sane_run -0 amqprun status --json --mutex "$LOCK"
    [ "$output" = "{\"version\":1,\"kind\":\"mutex\",\"name\":\"$LOCK\",\"slots\":1,\"held\":0,\"free\":1,\"waiting\":0,\"holders\":[],\"waiters\":[]}" ]
    sane_run -0 amqprun status --mutex "$LOCK"
    [ "$output" = "mutex \"$LOCK\": free" ]
  done
}

@test "status names holders, unknown holders and waiters, in order" {
  local began=$SECONDS
  CI_JOB_URL=https://ci/8 hold --semaphore "$LOCK" --slots 2 --metadata team=blue --metadata 'why=a b'
  foreign_hold acquire "$LOCK"
  wait_until "$PATIENCE" json "s['holders'][0].get('id') or s['holders'][1].get('id')" --semaphore "$LOCK"
  for n in 1 2 3; do
    start_waiter "$n" --semaphore "$LOCK" -- printf 'waiter %s' "number-$n"
  done
  wait_until "$PATIENCE" json "len(s['waiters']) == 3 and len([h for h in s['holders'] if 'id' in h]) == 1" --semaphore "$LOCK"
  sane_run -0 saved "[w['command'] for w in s['waiters']] == [\"printf 'waiter %s' number-%d\" % ('%s', n) for n in (1, 2, 3)]"
  sane_run -0 saved "[w['position'] for w in s['waiters']] == [1, 2, 3] and s['waiting'] == 3 and s['held'] == 2"
  sane_run -0 saved "sorted(map(str, (h.get('unknown') for h in s['holders']))) == ['None', 'True']"
  sane_run -0 saved "[h['slots'] for h in s['holders']] == [[1], [2]]"
  sane_run -0 saved "[(h['host'], h['user'], h['pid'], h['job'], h['metadata']) for h in s['holders'] if 'id' in h] == [('$(uname -n)', '$(id -un)', ${BACKGROUND[0]}, 'https://ci/8', {'team': 'blue', 'why': 'a b'})]"
  sane_run -0 saved "[0 < h['seconds'] < $((SECONDS - began + 1)) and h['since'][10] == 'T' for h in s['holders'] if 'id' in h] == [True]"
  everybody_answers() {
    amqprun status --semaphore "$LOCK" >table 2>table.err && file_lines table 7 && [ "$(grep -c 'unknown holder' table)" -eq 1 ]
  }
  wait_until "$PATIENCE" everybody_answers
  mapfile -t lines <table
  [ "${lines[0]}" = "semaphore \"$LOCK\": 2 slots, 2 held, 0 free, 3 waiting" ]
  [[ ${lines[1]} =~ ^PLACE\ +ID\ +WHO\ +PID\ +SINCE\ +FOR\ +NOTES\ +COMMAND$ ]]
  [[ ${lines[2]}${lines[3]} =~ "slot "[12]\ +[0-9a-f]{16}\ +"$(id -un)@$(uname -n)"\ +${BACKGROUND[0]}\ +[0-9-]{10}\ [0-9:]{8}\ +[0-9ms]+\ +"https://ci/8 team=blue why=a b"\ +"sh -c " ]]
  [[ ${lines[2]}${lines[3]} =~ "slot "[12]\ +-\ +"unknown holder" ]]
  for n in 1 2 3; do
    [[ ${lines[3 + n]} =~ ^"line $n "\ +[0-9a-f]{16}\ .*"printf 'waiter %s' number-$n"$ ]]
  done
  [ "${#lines[@]}" -eq 7 ]
  [ ! -s table.err ]
}

@test "a waiter that gets the lock is shown as its holder; the next one moves up" {
  hold --mutex "$LOCK"
  local first=$bg_pid
  start_waiter 1 --mutex "$LOCK" -- sleep 61
  local second=$bg_pid
  start_waiter 2 --mutex "$LOCK" -- sleep 62
  wait_until "$PATIENCE" json "len(s['waiters']) == 2 and 'id' in s['holders'][0]" --mutex "$LOCK"
  local id
  id=$(id_of 61 --mutex "$LOCK")
  release "$first"
  wait_until "$PATIENCE" json "[h.get('id') for h in s['holders']] == ['$id'] and [w['command'] for w in s['waiters']] == ['sleep 62']" --mutex "$LOCK"
  sane_run -0 saved "s['holders'][0]['pid'] == $second and s['holders'][0]['slots'] == [1]"
  both_answer() {
    run -0 amqprun status --mutex "$LOCK"
    echo "$output"
    [[ ${lines[0]} == "mutex \"$LOCK\": held, 1 waiting" && ${lines[2]} =~ ^holder\ +"$id" ]]
  }
  wait_until "$PATIENCE" both_answer
}

@test "status without a name lists every lock" {
  hold --semaphore "$LOCK" --slots 2
  hold --mutex "$LOCK" # which then keeps administrators out
  wait_until "$PATIENCE" json "[(l['kind'], l['held'], len(l['holders'])) for l in s['locks'] if l['name'] == '$LOCK'] == [('mutex', 1, 1), ('semaphore', 1, 1)]"
  both_listed() {
    run -0 amqprun status
    [[ $output == *"mutex \"$LOCK\": held"*"semaphore \"$LOCK\": 2 slots, 1 held, 1 free"* ]]
  }
  wait_until "$PATIENCE" both_listed
  release "$bg_pid"
  release "${BACKGROUND[0]}"
}

@test "passwords and hidden commands are not shown" {
  start_bg amqprun --mutex "$LOCK" -- sh -c 'exec sleep 600' amqp://me:s3cret@host/ --token=t0psecret
  wait_until "$PATIENCE" json "'amqp://me:***@host/' in s['holders'][0]['command']" --mutex "$LOCK"
  run ! grep s3cret status.json
  grep -q t0psecret status.json
  release "$bg_pid"
  AMQPRUN_HIDE_COMMAND=1 start_bg amqprun --mutex "$LOCK" -- sh -c 'exec sleep 600' --token=t0psecret
  wait_until "$PATIENCE" json "s['holders'][0]['command'] == 'sh'" --mutex "$LOCK"
  release "$bg_pid"
  AMQPRUN_SHOW_COMMAND='' start_bg amqprun --mutex "$LOCK" -- sh -c 'exec sleep 600' --token=t0psecret
  wait_until "$PATIENCE" json "s['holders'][0]['command'] == 'sh'" --mutex "$LOCK"
  sane_run -64 --separate-stderr amqprun --mutex "$LOCK" --metadata nonsense -- true
  assert_error 'option --metadata: not of the form K=V'
}

@test "status --watch redraws on a terminal and refuses elsewhere" {
  sane_run -64 --separate-stderr amqprun status --watch --mutex "$LOCK"
  assert_error '--watch needs a terminal' 'prints once'
  sane_run -64 --separate-stderr amqprun status --watch --json --mutex "$LOCK"
  assert_error '--watch and --json exclude each other'
  start_bg script -qefc "stty cols 60 rows 6; exec amqprun status --watch --mutex '$LOCK'" typescript
  wait_until 10 grep -qF "mutex \"$LOCK\": free" typescript
  hold --mutex "$LOCK"
  wait_until 10 grep -qF "mutex \"$LOCK\": held" typescript
  wait_until 10 grep -qF "holder" typescript
  # No line is longer than the terminal is wide, and no picture scrolls.
  run -0 sed -e 's/\x1b\[[0-9]*[HJK]//g; s/\r//g' typescript
  for line in "${lines[@]:1}"; do
    ((${#line} <= 60)) || [[ $line == Script* ]]
  done
}

@test "check answers by its exit status alone" {
  local try
  for try in 0 75; do
    sane_run -"$try" --separate-stderr amqprun check --mutex "$LOCK"
    [ -z "$output$stderr" ]
    ((try)) || hold --mutex "$LOCK"
  done
  sane_run -9 --separate-stderr amqprun check -E 9 --mutex "$LOCK"
  [ -z "$output$stderr" ]
  sane_run -78 --separate-stderr amqprun check --semaphore "$LOCK"
  assert_error "there is no semaphore \"$LOCK\""
  release "$bg_pid"
  hold --semaphore "$LOCK" --slots 2
  sane_run -0 --separate-stderr amqprun check --semaphore "$LOCK"
  hold --semaphore "$LOCK"
  sane_run -75 --separate-stderr amqprun check --semaphore "$LOCK"
  [ -z "$output$stderr" ]
  sane_run -69 amqprun check --url amqp://127.0.0.1:1/ --mutex "$LOCK"
}

@test "evict stops that one run, which names the evictor" {
  start_bg amqprun --semaphore "$LOCK" --slots 2 -- sleep 601
  local first=$bg_pid
  hold --semaphore "$LOCK" --slots 2
  wait_until "$PATIENCE" json "len([h for h in s['holders'] if 'id' in h]) == 2" --semaphore "$LOCK"
  start_waiter 1 --semaphore "$LOCK" -- touch next
  wait_until "$PATIENCE" json "len(s['waiters']) == 1" --semaphore "$LOCK"
  local id
  id=$(id_of 601 --semaphore "$LOCK")
  sane_run -78 --separate-stderr amqprun evict --semaphore "$LOCK" --holder "$(id_of touch --semaphore "$LOCK")"
  assert_error 'it only waits, and holds nothing' 'amqprun status'
  sane_run -78 --separate-stderr amqprun evict --mutex "$LOCK" --holder "$id"
  assert_error "it holds or waits for semaphore \"$LOCK\" instead"
  [ ! -e next ]
  sane_run -0 --separate-stderr amqprun evict --semaphore "$LOCK" --holder "$id"
  [ -z "$output$stderr" ]
  wait_bg 10 "$first"
  [ "$status" -eq 76 ]
  stderr=$(<bg.1.err)
  assert_error "lost slot [12] of semaphore \"$LOCK\" on .*: evicted by $(id -un)@$(uname -n) .*died of SIGTERM"
  wait_until 10 test -e next
  kill -0 "${BACKGROUND[1]}"
  # The slot now belongs to another run.
  sane_run -78 --separate-stderr amqprun evict --semaphore "$LOCK" --holder "$id"
  assert_error "holder \"$id\" of semaphore \"$LOCK\" on .*: there is no such holder"
  sane_run -64 --separate-stderr amqprun evict --semaphore "$LOCK"
  assert_error 'no holder is named' 'amqprun status'
}

@test "a holder that is frozen is unknown, and evicting it says so" {
  hold --heartbeat 60 --mutex "$LOCK" # for two of them the broker leaves one that is frozen the lock
  wait_until "$PATIENCE" json "'id' in s['holders'][0]" --mutex "$LOCK"
  local id
  id=$(id_of sleep --mutex "$LOCK")
  kill -STOP "$bg_pid"
  sane_run -0 json "s['holders'] == [{'slots': [1], 'unknown': True, 'seconds': 0}]" --mutex "$LOCK"
  # The timeout is twice a login on a busy machine. evict waits as long for the answer.
  sane_run -69 --separate-stderr amqprun evict --connect-timeout 6 --mutex "$LOCK" --holder "$id"
  assert_error "holder \"$id\" of mutex \"$LOCK\" on .* does not answer" 'close_connection'
}

@test "the documented permissions" {
  requires_broker_ctl
  amqprun change --semaphore builds --to 2
  AMQPRUN_URL=$(as ci) hold --semaphore builds -v
  AMQPRUN_URL=$(as silent) hold --semaphore builds -v
  wait_until 10 file_has bg.2.err "status does not show this run, and nobody can evict it: .*ACCESS_REFUSED"
  run ! grep "not shown" bg.1.err
  AMQPRUN_URL=$(as operator) wait_until "$PATIENCE" json "sorted(h.get('user', '') for h in s['holders']) == ['', '$(id -un)']" --semaphore builds
  AMQPRUN_URL=$(as ci) wait_until "$PATIENCE" json "sorted(h.get('user', '') for h in s['holders']) == ['', '$(id -un)']" --semaphore builds
  AMQPRUN_URL=$(as silent) sane_run -0 json "[h.get('user', '') for h in s['holders']] == ['', ''] and s['held'] == 2" --semaphore builds
  local id
  id=$(id_of sleep --semaphore builds)
  AMQPRUN_URL=$(as ci) sane_run -77 --separate-stderr amqprun evict --semaphore builds --holder "$id"
  assert_error 'cannot evict holder .*ACCESS_REFUSED' 'permission'
  kill -0 "${BACKGROUND[0]}"
  AMQPRUN_URL=$(as operator) sane_run -0 amqprun evict --semaphore builds --holder "$id"
  wait_bg 10 "${BACKGROUND[0]}"
  [ "$status" -eq 76 ]
}

@test "status of a virtual host without a lock" {
  requires_broker_ctl
  broker_ctl add_vhost "$LOCK"
  broker_ctl set_permissions -p "$LOCK" guest '.*' '.*' '.*'
  AMQPRUN_URL=${AMQPRUN_URL%/}/$LOCK sane_run -0 amqprun status
  [ "$output" = "no holder or waiter answered: no lock is in use, or permissions hide it" ]
  broker_ctl delete_vhost "$LOCK"
}

#!/usr/bin/env bats
# The permissions of docs/how-to/permissions.md are enough; without any of them something fails.

load helpers
load locks

setup_file() {
  [[ -n ${AMQPRUN_TEST_BROKER:-} ]] || return 0
  local users='' name user
  # The lines are commands, so a shell takes their arguments apart.
  # shellcheck disable=SC2317 # eval calls it
  rabbitmqctl() {
    [[ $users != *"<<\"may-$2\">>"* ]] || set -- "$1" "$2-seen" "${@:3}" # the second line for ci
    users+="User(<<\"may-$2\">>, $(erl "$3"), $(erl "$4"), $(erl "$5")),"
  }
  eval "$(sed -n '/^    rabbitmqctl set_permissions /{:more; /\\$/{N; b more}; p}' "$BATS_TEST_DIRNAME/../../docs/how-to/permissions.md")"
  for name in ci cron admin ci-seen operator fenced; do
    [[ $users == *"<<\"may-$name\">>"* ]]
  done
  while read -r user configure write read; do
    users+="User(<<\"may-$user\">>, $(erl "$configure"), $(erl "$write"), $(erl "$read")),"
  done <<'USERS'
ci-no-line ^builds-(B-[0-9]+|H)$ ^amq\.default$ ^builds-(A-[0-9]+|H)$
ci-no-will ^builds-(B-[0-9]+|W)$ ^amq\.default$ ^builds-(A-[0-9]+|W)$
ci-no-claim ^builds-[WH]$ ^amq\.default$ ^builds-(A-[0-9]+|[WH])$
ci-no-all ^builds-(B-[1-9][0-9]*|[WH])$ ^amq\.default$ ^builds-(A-[0-9]+|[WH])$
ci-no-check ^builds-(B-[0-9]+|[WH])$ ^amq\.default$ ^builds-[WH]$
ci-no-probe ^builds-(B-[0-9]+|[WH])$ ^$ ^builds-(A-[0-9]+|[WH])$
cron-bare ^nightly$ ^$ ^amqprun-witness$
cron-no-claim ^(nightly-[WH]|amqprun-witness)$ ^amq\.default$ ^(nightly-[WH]|amqprun-witness)$
cron-no-log ^(nightly(-[WH])?|amqprun-witness)$ ^amq\.default$ ^(nightly-[WH]|amqprun-witness)$
cron-no-check ^(nightly(-[WH])?|amqprun-witness)$ ^amq\.default$ ^nightly-[WH]$
watch ^$ ^amq\.default$ ^$
look ^nightly$ ^$ ^$
nothing ^$ ^$ ^$
admin-no-drain ^builds(-A-[0-9]+|-[WHD])?$ ^amq\.default$ ^$
ask-only ^$ ^amqprun\.who$ ^$
admin-slots ^builds(-A-[0-9]+)?$ ^amq\.default$ ^$
admin-no-line ^builds(-A-[0-9]+|-[HLD])?$ ^amq\.default$ ^$
maker ^builds(-[AB]-[0-9]+|-[WHLD])?$ ^amq\.default$ ^builds-(A-[0-9]+|[WHL])$
USERS
  broker_eval '
    rabbit_vhost:add(<<"rights">>, <<"test">>),
    User = fun(Name, Conf, Write, Read) ->
      catch rabbit_auth_backend_internal:delete_user(Name, <<"test">>),
      rabbit_auth_backend_internal:add_user(Name, <<"s3cret">>, <<"test">>),
      rabbit_auth_backend_internal:set_permissions(Name, <<"rights">>, Conf, Write, Read, <<"test">>)
    end,
    '"$users"'
    rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"rights">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>).'
}

teardown_file() {
  [[ -z ${AMQPRUN_TEST_BROKER:-} ]] || broker_eval '
    [rabbit_auth_backend_internal:delete_user(N, <<"test">>) || U <- rabbit_auth_backend_internal:list_users(),
      N <- [proplists:get_value(user, U)], binary:part(N, 0, min(4, size(N))) =:= <<"may-">>],
    rabbit_vhost:delete(<<"rights">>, <<"test">>).'
}

setup() {
  requires_broker_ctl
  new_lock
  GUEST=${AMQPRUN_URL}rights
  export AMQPRUN_URL=$GUEST
}

as() { # USER COMMAND...
  AMQPRUN_URL=${GUEST/guest:guest/may-$1:s3cret} "${@:2}"
}

# One run of the user holds the lock and hands it to another one that waits. The broker refuses them
# nothing, except perhaps to be seen.
hand_over() { # USER OPTION...
  as "$1" hold -v "${@:2}"
  local holder=$bg_pid
  as "$1" start_bg amqprun -v "${@:2}" echo next
  wait_until 20 file_has bg.2.err 'first in the wait queue'
  # The last will is armed when a message waits for its acknowledgement.
  wait_until 20 will_is_armed
  release "$holder"
  wait_bg 20 "${BACKGROUND[1]}"
  [ "$status" -eq 0 ]
  [ "$(<bg.2.out)" = next ]
  [[ $1 == *-seen ]] || sed -i '/status does not show this run/d' bg.1.err bg.2.err
  sane_run -1 grep -iE 'refused|late|no wait queue|no hint|warning|not shown' bg.1.err bg.2.err
}

will_is_armed() {
  # shellcheck disable=SC2016 # $H is the character, in Erlang
  broker_eval '
    [1 || [{name, {resource, _, _, Name}}, {messages_unacknowledged, 1}] <-
      rabbit_amqqueue:info_all(<<"rights">>, [name, messages_unacknowledged]),
      binary:last(Name) =:= $H].' | grep -q 1
}

denied() { # USER PATTERN ARGUMENT...
  as "$1" sane_run -77 --separate-stderr amqprun "${@:3}"
  assert_error "ACCESS_REFUSED.*$2" 'permission'
  [ ! -e started ]
}

@test "a holder and a waiter of a semaphore, with the documented permissions" {
  amqprun change --semaphore builds --to 1
  hand_over ci --semaphore builds
}

@test "the same, visible to an operator" {
  amqprun change --semaphore builds --to 1
  hand_over ci-seen --semaphore builds
  as operator sane_run -0 --separate-stderr amqprun status --semaphore builds
  [[ ${lines[0]} == 'semaphore "builds": 1 slot, 0 held, 1 free'* ]]
  [ -z "$stderr" ]
}

@test "an operator sees and evicts the holders of every lock" {
  amqprun change --semaphore builds --to 1
  as ci-seen hold --semaphore builds
  hold --mutex "$LOCK"
  as operator wait_until "$PATIENCE" all_are_seen
  as operator sane_run -0 amqprun status --mutex "$LOCK"
  [ "${lines[0]}" = "mutex \"$LOCK\": held" ]
  as operator sane_run -75 amqprun check --mutex "$LOCK"
  as operator sane_run -75 amqprun check --semaphore builds
  local id pid
  id=$(as operator id_of sh --semaphore builds)
  as operator amqprun evict --semaphore builds --holder "$id"
  id=$(as operator id_of sh --mutex "$LOCK")
  as operator amqprun evict --mutex "$LOCK" --holder "$id"
  for pid in "${BACKGROUND[@]}"; do
    wait_bg 20 "$pid"
    [ "$status" -eq 76 ]
  done
  as operator wait_until "$PATIENCE" amqprun check --mutex "$LOCK" # the broker has to see that the connection has ended
}

all_are_seen() {
  amqprun status >all &&
    grep -qxF "mutex \"$LOCK\": held" all && grep -qx 'semaphore "builds": 1 slot, 1 held, 0 free' all
}

# A list that is empty because nothing can be counted would be a false statement.
@test "a user who may ask, and count nothing, gets an error instead of an empty list" {
  amqprun change --semaphore builds --to 1
  hold --semaphore builds
  id_of sh --semaphore builds
  denied ask-only amq.default status
}

@test "a holder and a waiter of a mutex, the first in a virtual host too" {
  hand_over cron --mutex nightly
}

@test "an administrator, with the documented permissions" {
  amqprun destroy --semaphore builds
  as admin sane_run -0 amqprun change --semaphore builds 2
  as admin sane_run -0 amqprun change --semaphore builds --to 3
  as admin sane_run -0 amqprun change --semaphore builds -1
  as admin sane_run -0 amqprun status --semaphore builds
  [ "$output" = 'semaphore "builds": 2 slots, 0 held, 2 free' ]
  denied admin-no-drain 'builds-B-[0-9]+' change --semaphore builds --drain -1
  as admin sane_run -0 amqprun change --semaphore builds --drain -1
  as admin-slots sane_run -0 amqprun change --semaphore builds 1 # without asking whether somebody has all
  denied admin-slots 'builds-H' destroy --semaphore builds
  denied admin-no-line 'builds-W' destroy --semaphore builds
  amqprun change --semaphore builds --to 1
  as admin sane_run -0 amqprun destroy --semaphore builds
  for user in ci watch nothing; do
    denied "$user" '' change --semaphore builds 1
    denied "$user" '' destroy --semaphore builds
  done
  denied ci '' --semaphore builds --slots 2 touch started
  as maker sane_run -0 amqprun --semaphore builds --slots 2 true
}

# With the permission such a change is refused.
@test "without NAME-B-0 a change does not see that somebody holds all slots" {
  amqprun change --semaphore builds --to 2
  as ci hold --semaphore builds --count all
  as admin sane_run -75 --separate-stderr amqprun change --semaphore builds 1
  as admin-slots sane_run -0 amqprun change --semaphore builds 1
  release "${BACKGROUND[0]}"
  amqprun destroy --semaphore builds
}

@test "without the wait queue the waiters have no order" {
  amqprun change --semaphore builds --to 1
  as ci-no-line hold -v --semaphore builds
  as ci-no-line start_bg amqprun -v --semaphore builds echo next
  wait_until 20 file_has bg.2.err 'no wait queue: .*ACCESS_REFUSED'
  release "${BACKGROUND[0]}"
  wait_bg 20 "${BACKGROUND[1]}"
  [ "$status" -eq 0 ]
  [ "$(<bg.2.out)" = next ]
}

@test "without the last will only a crash is noticed late" {
  amqprun change --semaphore builds --to 1
  as ci-no-will hold -v --semaphore builds
  as ci-no-will start_bg amqprun -v --semaphore builds echo next
  wait_until 20 file_has bg.2.err 'first in the wait queue'
  wait_until 20 file_has bg.1.err 'waiters would notice a crash of this run late: .*ACCESS_REFUSED'
  release "${BACKGROUND[0]}"
  wait_bg 20 "${BACKGROUND[1]}"
  [ "$status" -eq 0 ]
  [ "$(<bg.2.out)" = next ]
}

@test "without any of the comforts a mutex still works" {
  as cron sane_run -0 amqprun --mutex nightly true # makes the witness
  as cron-bare hold -v --mutex nightly
  as cron-bare start_bg amqprun -v --mutex nightly echo next
  wait_until 20 file_has bg.2.err 'no wait queue: .*ACCESS_REFUSED'
  release "${BACKGROUND[0]}"
  wait_bg 20 "${BACKGROUND[1]}"
  [ "$status" -eq 0 ]
  [ "$(<bg.2.out)" = next ]
}

@test "permissions that a lock cannot do without" {
  amqprun change --semaphore builds --to 1
  as cron sane_run -0 amqprun --mutex nightly true
  denied ci-no-claim 'builds-B-1' --semaphore builds touch started
  denied ci-no-all 'builds-B-0' --semaphore builds --count all touch started
  denied ci-no-check 'builds-A-1' --semaphore builds touch started
  denied ci-no-probe 'amq.default' --semaphore builds touch started
  denied cron-no-claim 'nightly' --mutex nightly touch started
  denied cron-no-check 'amqprun-witness' --mutex nightly touch started
  denied nothing 'nightly' --mutex nightly touch started
  denied ci other --semaphore other --slots 1 touch started
  broker_ctl delete_queue -p rights amqprun-witness
  denied cron-bare 'amqprun-witness' --mutex nightly touch started
}

@test "status needs no more than it says" {
  amqprun change --semaphore builds --to 1
  as watch sane_run -0 amqprun status --semaphore builds
  as watch sane_run -0 amqprun check --semaphore builds
  for user in look watch; do
    as "$user" sane_run -0 amqprun status --mutex nightly
    [ "$output" = 'mutex "nightly": free' ]
  done
  if broker_has_mnesia; then
    as nothing sane_run -0 amqprun status --mutex nightly
  else
    denied nothing nightly status --mutex nightly
  fi
  denied nothing 'amq.default' status --semaphore builds
}

@test "a history, with what the page gives, and without" {
  amqprun change --semaphore builds --to 1
  as ci-seen sane_run -0 --separate-stderr amqprun --history --semaphore builds true
  [ -z "$stderr" ]
  hand_over cron --history --mutex nightly
  as cron sane_run -0 amqprun history --mutex nightly
  [[ ${#lines[@]} -eq 3 && ${lines[2]} == *" exit 0 "* ]]
  hand_over fenced --fence --mutex ledger
  as fenced sane_run -0 amqprun history --mutex ledger
  [[ ${lines[0]} == *" TOKEN "* ]]
  as cron-no-log sane_run -0 --separate-stderr amqprun --history --mutex nightly true
  [[ $stderr == *"warning: the history of mutex \"nightly\" is not complete: "*ACCESS_REFUSED* ]]
  denied cron-no-log nightly-L history --mutex nightly
  denied cron-no-log '(nightly-L|amqprun.clock)' --fence --mutex nightly touch started
  denied cron amqprun.clock. --fence --mutex nightly touch started
  denied cron-no-log nightly-L destroy --mutex nightly
  amqprun destroy --mutex nightly
  amqprun destroy --mutex ledger
  amqprun destroy --semaphore builds
}

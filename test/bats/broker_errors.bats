#!/usr/bin/env bats
# A broker that does not answer or refuses: each reason has its own words and exit status, and none
# shows a password.

load helpers
load locks

# The id of this run only: a test looks for it in every process of the machine.
ID=${BATS_RUN_TMPDIR##*/}
SECRET="s3cret/&$ID"
ENCODED="s3cret%2F%26$ID"

setup() {
  requires_broker_ctl
  new_lock
}

setup_file() {
  [[ -n ${AMQPRUN_TEST_BROKER:-} ]] || return 0
  broker_eval '
    User = fun(Name, Conf, Write, Read) ->
      catch rabbit_auth_backend_internal:delete_user(Name, <<"test">>),
      rabbit_auth_backend_internal:add_user(Name, <<"'"$SECRET"'">>, <<"test">>),
      [rabbit_auth_backend_internal:set_permissions(Name, <<"/">>, Conf, Write, Read, <<"test">>) || Conf /= none]
    end,
    User(<<"outsider">>, none, none, none),
    User(<<"reader">>, <<"^$">>, <<"^$">>, <<".*">>),
    User(<<"holder">>, <<".*">>, <<".*">>, <<".*">>),
    User(<<"mute">>, <<".*">>, <<"^$">>, <<".*">>),
    rabbit_vhost:add(<<"elsewhere">>, <<"test">>),
    rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"elsewhere">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>).'
}

teardown_file() {
  [[ -z ${AMQPRUN_TEST_BROKER:-} ]] || broker_eval '
    [catch rabbit_auth_backend_internal:delete_user(U, <<"test">>) || U <- [<<"outsider">>, <<"reader">>, <<"holder">>, <<"mute">>]],
    rabbit_vhost:delete(<<"elsewhere">>, <<"test">>).'
}

fails() { # STATUS URL PATTERN ARGUMENT...
  AMQPRUN_URL=$2 sane_run "-$1" --separate-stderr timeout 20 amqprun "${@:4}"
  assert_error "$3"
  [[ $output$stderr != *s3cret* ]]
  [ ! -e started ]
}

as() { # USER: the URL
  echo "${AMQPRUN_URL/guest:guest/$1:$ENCODED}"
}

@test "nobody listens" {
  for action in "--mutex $LOCK -n" "--mutex $LOCK -w 0.5 -q" "--semaphore $LOCK --connect-timeout 0.5 -q"; do
    # shellcheck disable=SC2086 # several words
    fails 69 "amqp://user:$ENCODED@127.0.0.1:1/" 'cannot reach the broker amqp://127\.0\.0\.1:1: .*connection refused' $action touch started
  done
  fails 69 "amqp://user:$ENCODED@127.0.0.1:1/" 'cannot reach the broker' change --semaphore "$LOCK" 1
  [ "$output" = "Adjustment failure" ]
  fails 69 "amqp://user:$ENCODED@127.0.0.1:1/" 'cannot reach the broker' destroy --semaphore "$LOCK"
  fails 69 "amqp://user:$ENCODED@127.0.0.1:1/" 'cannot reach the broker' status --mutex "$LOCK"
}

@test "no such host" {
  fails 69 "amqp://user:$ENCODED@no-such-host.invalid/" 'cannot reach the broker amqp://no-such-host\.invalid:5672' --mutex "$LOCK" -n touch started
}

@test "the listener does not answer" {
  start_bg /usr/bin/python3 -c '
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
time.sleep(600)'
  wait_until 20 test -s bg.1.out
  # The time has to be long enough for the connection itself on a machine that is busy.
  fails 69 "amqp://user:$ENCODED@127.0.0.1:$(<bg.1.out)/" 'no answer in time' --connect-timeout 1 --mutex "$LOCK" touch started
}

@test "the listener is no AMQP server" {
  start_bg /usr/bin/python3 -c '
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept()
    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    client.close()'
  wait_until 20 test -s bg.1.out
  fails 69 "amqp://user:$ENCODED@127.0.0.1:$(<bg.1.out)/" "cannot reach the broker amqp://127\.0\.0\.1:$(<bg.1.out)" --mutex "$LOCK" touch started
}

@test "the broker does not speak TLS" {
  fails 69 "amqps${AMQPRUN_URL#amqp}" 'no secure connection to the broker' --mutex "$LOCK" touch started
  [[ $stderr == *"does not speak TLS"* ]]
}

# Each of these asks once more after a second, so they run side by side.
@test "wrong password, unknown user" {
  AMQPRUN_URL=${AMQPRUN_URL/guest:guest/guest:$ENCODED} start_bg amqprun --mutex "$LOCK" -n touch started
  AMQPRUN_URL=${AMQPRUN_URL/guest:guest/nobody:$ENCODED} start_bg amqprun --semaphore "$LOCK" touch started
  AMQPRUN_URL=${AMQPRUN_URL/guest:guest/guest:$ENCODED} start_bg amqprun change --semaphore "$LOCK" 1
  AMQPRUN_URL=$(as outsider) start_bg amqprun --mutex "$LOCK" touch started
  for n in 1 2 3 4; do
    wait_bg 30 "${BACKGROUND[n - 1]}"
    [ "$status" -eq 77 ]
    stderr=$(<"bg.$n.err")
    case $n in
      1 | 3) assert_error 'refused the login of user "guest"' 'check user and password' ;;
      2) assert_error 'refused the login of user "nobody"' ;;
      4) assert_error 'does not let user "outsider" into virtual host "/"' 'set_permissions' ;;
    esac
    [[ $stderr != *s3cret* ]]
  done
  [ ! -e started ]
}

@test "no such virtual host, or one the user may not enter" {
  fails 78 "${AMQPRUN_URL}missing" 'has no virtual host "missing"' --mutex "$LOCK" touch started
  fails 78 "${AMQPRUN_URL}missing" 'has no virtual host "missing"' change --semaphore "$LOCK" 1
  fails 77 "$(as reader)elsewhere" 'does not let user "reader" into virtual host "elsewhere"' --mutex "$LOCK" touch started
}

@test "a broker that turns connections away may stop doing so" {
  broker_ctl set_vhost_limits -p elsewhere '{"max-connections": 0}'
  fails 69 "${AMQPRUN_URL}elsewhere" 'the broker [^ ]*/elsewhere turned the connection away: .*connection limit' --mutex "$LOCK" -n touch started
  AMQPRUN_URL=${AMQPRUN_URL}elsewhere start_bg amqprun --connect-timeout 60 --mutex "$LOCK" echo ran
  wait_until 20 file_has bg.1.err 'warning: the broker [^ ]* turned the connection away: .*; trying again for 1m0s'
  broker_ctl clear_vhost_limits -p elsewhere
  wait_bg 60 "$bg_pid"
  [ "$status" -eq 0 ]
  [ "$(<bg.1.out)" = ran ]
}

@test "a permission is missing" {
  fails 77 "$(as reader)" "cannot claim mutex \"$LOCK\" .*ACCESS_REFUSED" --mutex "$LOCK" touch started
  fails 77 "$(as reader)" "ACCESS_REFUSED" change --semaphore "$LOCK" 1
  [ "$output" = "Adjustment failure" ]
  fails 77 "$(as reader)" "ACCESS_REFUSED" --semaphore "$LOCK" --slots 1 touch started
}

@test "a mutex is free for users that may not publish" {
  AMQPRUN_URL=$(as mute) sane_run -0 --separate-stderr amqprun --mutex "$LOCK" echo ran
  [ "$output" = ran ]
  [ -z "$stderr" ]
}

@test "the name is that of somebody's work queue" {
  foreign work "$LOCK"
  fails 78 "$AMQPRUN_URL" "queue \"$LOCK\" on amqp://[^ ]* is not exclusive: it is a work queue" --mutex "$LOCK" touch started
  fails 78 "$AMQPRUN_URL" "queue \"$LOCK\" on amqp://[^ ]* is not exclusive: it is a work queue" change --semaphore "$LOCK" 1
  fails 78 "$AMQPRUN_URL" "queue \"$LOCK\" on amqp://[^ ]* is not exclusive: it is a work queue" status --mutex "$LOCK"
  sane_run -0 foreign has "$LOCK"
  foreign remove "$LOCK"
}

@test "the password shows in no process of a running amqprun" {
  AMQPRUN_URL=$(as holder) start_bg amqprun -v --mutex "$LOCK" sh -c 'echo ready; exec sleep 600'
  wait_until 20 file_has bg.1.out ready
  # grep itself fails for processes that end meanwhile; its own command line does not hold the word.
  sane_run grep -lzsE "s3[c]ret(/&|%2F%26)$ID" /proc/[0-9]*/cmdline
  [ -z "$output" ]
  sane_run -1 grep -s s3cret bg.1.err
  release "$bg_pid"
  sane_run -1 grep -s s3cret bg.1.err
}

# From 4.0 on RabbitMQ fails over the text of a refusal that it has to cut, and closes the connection.
@test "names over whose refusal the broker fails" {
  local long vhost encoded name option
  long=$(printf 'v%.0s' {1..60})
  for vhost in "$long:$long:größe" "x-büro:x-b%C3%BCro:short"; do
    IFS=: read -r vhost encoded name <<<"$vhost"
    broker_ctl add_vhost "$vhost"
    broker_ctl set_permissions -p "$vhost" guest '.*' '.*' '.*'
    for option in --mutex --semaphore; do
      AMQPRUN_URL=${AMQPRUN_URL%/}/$encoded holds_alone "$option" "$name"
    done
    broker_ctl delete_vhost "$vhost"
  done
}

holds_alone() { # OPTION NAME
  [ "$1" = --mutex ] || amqprun change "$@" --to 1
  hold "$@"
  sane_run -75 amqprun "$@" -n true
  sane_run -75 amqprun check "$@"
  sane_run -0 amqprun status "$@"
  [[ $output == *held* ]]
  release "$bg_pid"
}

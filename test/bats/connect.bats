#!/usr/bin/env bats
# The choice of the broker: several URLs, files with URLs and passwords, and what others see of them.

load helpers
load locks

SECRET='s3cret/&'
ENCODED='s3cret%2F%26'
NOWHERE=amqp://user:$ENCODED@127.0.0.1:1/

assert_hidden() {
  [[ $output${stderr-} != *s3cret* ]]
}

fails() { # STATUS PATTERN ARGUMENT...
  sane_run "-$1" --separate-stderr amqprun -v --mutex "$LOCK" -n "${@:3}" touch started
  assert_error "$2"
  assert_hidden
  [ ! -e started ]
}

succeeds() { # ARGUMENT...
  sane_run -0 --separate-stderr amqprun --mutex "$LOCK" "$@" echo ran
  [ "$output" = ran ]
  [ -z "$stderr" ]
}

secret_file() { # NAME CONTENTS
  (umask 077 && printf %s "$2" >"$1")
}

@test "several URLs are tried in order" {
  succeeds --url "$NOWHERE" --url "$AMQPRUN_URL"
  succeeds --url "$AMQPRUN_URL" --url "$NOWHERE"
  AMQPRUN_URL="$NOWHERE $AMQPRUN_URL" succeeds
  AMQPRUN_URL=$NOWHERE$'\n'"  $AMQPRUN_URL"$'\n' succeeds
  sane_run -0 --separate-stderr amqprun -v --url "$NOWHERE" --url "$AMQPRUN_URL" --mutex "$LOCK" true
  [[ $stderr == *"cannot reach the broker amqp://127.0.0.1:1: "*"connected to "* ]]
  assert_hidden
}

@test "when no broker takes the connection each is named with its reason" {
  sane_run -69 --separate-stderr amqprun --url "$NOWHERE" --url amqp://u:s3cret@no-such-host.invalid/ -n --mutex "$LOCK" touch started
  assert_error '^amqprun: error: none of 2 brokers took the connection: cannot reach the broker amqp://127\.0\.0\.1:1: dial tcp 127\.0\.0\.1:1: connect: connection refused; cannot reach the broker amqp://no-such-host\.invalid:5672: dial tcp: lookup no-such-host\.invalid[^;]*$' \
    'is RabbitMQ running there'
  assert_hidden
  [ ! -e started ]
  sane_run -78 --separate-stderr amqprun --url "${NOWHERE}missing" --url "${AMQPRUN_URL}missing" -n --mutex "$LOCK" touch started
  assert_error 'none of 2 brokers took the connection: cannot reach .*; the broker [^ ]* has no virtual host "missing"' 'create it'
  sane_run -64 --separate-stderr amqprun --url "$AMQPRUN_URL" --url "amqp://u:s3cret/@h/" --mutex "$LOCK" touch started
  assert_error 'broker URL 2: there is a "/" before an @'
  sane_run -64 --separate-stderr amqprun --url "$AMQPRUN_URL" --url "${AMQPRUN_URL}other" --mutex "$LOCK" touch started
  assert_error 'broker URL 2: its virtual host is "other", and that of the first URL "/"'
  assert_hidden
}

@test "a lock is known again by any of the brokers" {
  # shellcheck disable=SC2016 # for the inner shell
  AMQPRUN_URL="$AMQPRUN_URL $NOWHERE" sane_run -64 amqprun --mutex "$LOCK" \
    sh -c 'set -- $AMQPRUN_URL; AMQPRUN_URL=$1 amqprun --mutex "$AMQPRUN_LOCK" touch started'
  [[ $output == *"is already held"* ]]
  # shellcheck disable=SC2016 # for the inner shell
  AMQPRUN_URL="$AMQPRUN_URL $NOWHERE" sane_run -0 amqprun --mutex "$LOCK" sh -c 'echo "$AMQPRUN_LOCKS"'
  [[ $output =~ ^mutex:$LOCK@[^\ ]+\ mutex:$LOCK@amqp%3A%2F%2F127\.0\.0\.1%3A1$ ]]
  assert_hidden
}

@test "a file with URLs" {
  secret_file urls $'# the cluster\n\n'"  $NOWHERE"$'\r\n'"$AMQPRUN_URL"
  good=$AMQPRUN_URL
  AMQPRUN_URL=$NOWHERE succeeds --url-file urls
  AMQPRUN_URL='' AMQPRUN_URL_FILE=urls AMQP_URL=$NOWHERE succeeds
  AMQPRUN_URL=$good AMQPRUN_URL_FILE=/nowhere succeeds
  AMQPRUN_URL='' AMQPRUN_URL_FILE=/nowhere succeeds --url "$good"
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -0 bash -c 'amqprun --url-file <(cat urls) --mutex "$1" true' - "$LOCK"
  # shellcheck disable=SC2016 # for the inner shell
  AMQPRUN_URL='' AMQPRUN_URL_FILE=urls sane_run -0 amqprun --mutex "$LOCK" sh -c 'env | grep AMQPRUN_URL'
  [ "$output" = $'AMQPRUN_URL=\nAMQPRUN_URL_FILE=urls' ] || [ "$output" = $'AMQPRUN_URL_FILE=urls\nAMQPRUN_URL=' ]
}

@test "a file with URLs that cannot be used" {
  fails 64 'URL file: open /nowhere: no such file or directory' --url-file /nowhere
  fails 64 'URL file: read \.: is a directory|URL file \.: others may read' --url-file .
  fails 64 '--url and --url-file exclude each other' --url-file urls --url "$AMQPRUN_URL"
  fails 64 'option --url-file: has an empty value' --url-file ''
  secret_file urls $'# nothing\n'
  fails 64 'URL file urls: there is no URL in it' --url-file urls
  secret_file urls $'amqp://u:s3cret@host/\namqp://u:s3cret with@host/\n'
  fails 64 'broker URL 2: holds a space' --url-file urls
  head -c 70000 /dev/zero >zeros && chmod 600 zeros
  fails 64 'URL file zeros: is longer than 65536 bytes' --url-file zeros
  secret_file urls "$AMQPRUN_URL"
  for mode in 640 604 620 602 644; do
    chmod "$mode" urls
    fails 64 "URL file urls: others may read or write it \(mode 0$mode\)" --url-file urls
    [[ $stderr == *"hint: it holds a password: chmod 600 urls"* ]]
  done
  chmod 400 urls
  succeeds --url-file urls
}

@test "a file with a password" {
  requires_broker_ctl
  broker_add_user "filed-$LOCK" "$SECRET" '.*' '.*' '.*'
  at=${AMQPRUN_URL/guest:guest/filed-$LOCK}
  secret_file password "$SECRET"$'\n'
  succeeds --url "$at" --password-file password
  AMQPRUN_PASSWORD_FILE=password AMQPRUN_URL=$at succeeds
  fails 64 "broker URL: there is no password for user \"filed-$LOCK\"" --url "$at"
  fails 64 'a password is given, and no broker URL has a user without a password' --password-file password
  secret_file empty $'\n'
  fails 64 'URL file /dev/null: there is no URL in it' --url-file /dev/null
  fails 64 'password file empty: it is empty' --url "$at" --password-file empty
  fails 64 'password file: open /nowhere' --url "$at" --password-file /nowhere
  chmod 644 password
  fails 64 'password file password: others may read or write it' --url "$at" --password-file password
  broker_delete_user "filed-$LOCK"
}

@test "a file of somebody else is as open as its owner wants it" {
  [ "$EUID" -eq 0 ] || skip "only root can give files away"
  printf %s "$AMQPRUN_URL" >urls
  chmod 644 urls
  chown nobody urls
  succeeds --url-file urls
}

@test "ps shows no password of a URL" {
  requires_broker_ctl
  broker_add_user "shown-$LOCK" "$SECRET" '.*' '.*' '.*'
  at=${AMQPRUN_URL/guest:guest/shown-$LOCK:$ENCODED}
  export -n AMQPRUN_URL
  start_bg amqprun -v --url "$NOWHERE" --url="$at" --mutex "$LOCK" sh -c 'env >env; echo ready; exec sleep 600' "$at"
  wait_until 20 file_has bg.1.out ready
  wait_until 20 pgrep -P "$bg_pid" sleep # until then the arguments of sh show the URL
  # The rest of the command line is as it was.
  tr '\0' ' ' <"/proc/$bg_pid/cmdline" >cmdline
  file_has cmdline "amqprun -v --url amqp://user:x+@127\.0\.0\.1:1/ --url=amqp://shown-$LOCK:x+@127\.0\.0\.1:[0-9]+/ --mutex $LOCK sh -c env >env; "
  sane_run -1 grep -F s3cret cmdline env bg.1.err
  sane_run grep -lzsF "shown-$LOCK:s3cret" /proc/[0-9]*/cmdline
  [ -z "$output" ]
  # The guard has neither.
  wait_until 20 pgrep -P "$bg_pid" -f lock-guard
  guard=$(pgrep -P "$bg_pid" -f lock-guard)
  sane_run -1 grep -lzsF "shown-$LOCK" "/proc/$guard/cmdline" "/proc/$guard/environ"
  # The command still has its own arguments, whole.
  command=$(pgrep -P "$bg_pid" sleep)
  sane_run -1 grep -zsF s3cret "/proc/$command/environ"
  release "$bg_pid"
  broker_delete_user "shown-$LOCK"
}

@test "no mistake makes it show a password" {
  url='amqp://user:s3cret/x@127.0.0.1:1/'
  for arguments in "--mutex m --ulr=$url true" "--mutex m --ulr $url true" "--mutex m -w $url true" "--mutex m --heartbeat $url true" \
    "--mutex $url --mutex $url true" "--semaphore m --count $url true" "-s $url --mutex m true" \
    "change --semaphore m 1 --url $url" "change --semaphore m $url" "destroy --semaphore m $url" "status --mutex m $url" \
    "--mutex m -c true $url" "--url $url --mutex m true" "--cacert $url --url amqps://u:s3cret@127.0.0.1:1 --mutex m true" \
    "--url-file $url --mutex m true" "--password-file $url --mutex m true" "--url s3cret --mutex m true"; do
    for format in text json; do
      # shellcheck disable=SC2086 # several words
      AMQPRUN_LOG_FORMAT=$format sane_run -64 --separate-stderr amqprun $arguments
      [ -n "$stderr" ]
      assert_hidden
    done
  done
  AMQPRUN_HEARTBEAT=$url sane_run -64 --separate-stderr amqprun --mutex m true
  assert_hidden
  sane_run -127 --separate-stderr amqprun --mutex "$LOCK" "$url"
  [ -n "$stderr" ]
  assert_hidden
}

names() {
  broker_eval '
    [binary_to_list(Name) || [{client_properties, T}] <- rabbit_networking:connection_info_all([client_properties]),
      is_list(T), {<<"connection_name">>, _, Name} <- T].' | grep -oE '"[^"]*"' | tr -d '"'
}

named() { # NAME...: each is that of a connection
  local name all
  all=$(names)
  for name; do grep -qxF -- "$name" <<<"$all" || return; done
}

@test "a connection says whose it is, and nothing that may be a secret" {
  requires_broker_ctl
  host=$(uname -n)
  printf '#!/bin/sh\nexec sleep 600\n' >./make
  chmod +x make
  amqprun change --semaphore "$LOCK" 1
  start_bg amqprun --semaphore "$LOCK" ./make all s3cret --password=s3cret
  holder=$bg_pid
  wait_until "$PATIENCE" slots 1 1
  start_bg amqprun change --semaphore "$LOCK" --drain -1
  # The second connection of change is opened when the first stands.
  wait_until 20 named "amqprun change $LOCK @$host:$bg_pid" "amqprun change $LOCK @$host:$bg_pid (publish)" \
    "amqprun $LOCK: make @$host:$holder" "amqprun $LOCK: make @$host:$holder (publish)"
  sane_run -0 names
  [[ $output != *s3cret* ]]
  sane_run -0 broker_ctl list_connections client_properties
  [[ $output == *'{"product","amqprun"}'*"{\"version\",\"$(amqprun --version | cut -d' ' -f2)\"}"* ]]
  [[ $output == *'{"platform",'* ]]
  release "$holder"
  wait_bg 20 "${BACKGROUND[1]}"
}

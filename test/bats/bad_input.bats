#!/usr/bin/env bats
# amqprun refuses wrong calls before it contacts a broker: exit status 64, and one line that names
# the cause.

load helpers
load locks

SECRET=hunter2

setup_file() {
  # The broker of these tests is a listener that writes a line for each connection and closes it.
  /usr/bin/python3 -c '
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
with open(sys.argv[1] + ".tmp", "w") as port:
    port.write(str(server.getsockname()[1]))
__import__("os").rename(sys.argv[1] + ".tmp", sys.argv[1])
while True:
    connection, _ = server.accept()
    with open(sys.argv[2], "a") as log:
        log.write("connection\n")
    connection.close()' "$BATS_FILE_TMPDIR/port" "$BATS_FILE_TMPDIR/connections" 3>&- &
  echo $! >"$BATS_FILE_TMPDIR/pid"
  : >"$BATS_FILE_TMPDIR/connections"
}

teardown_file() {
  kill "$(<"$BATS_FILE_TMPDIR/pid")"
}

setup() {
  new_lock
  wait_until 20 test -e "$BATS_FILE_TMPDIR/port"
  HOST=127.0.0.1:$(<"$BATS_FILE_TMPDIR/port")
  export AMQPRUN_URL=amqp://user:$SECRET@$HOST/
}

refused() { # PATTERN ARGUMENT...
  sane_run -64 --separate-stderr amqprun "${@:2}"
  assert_error "$1"
  [ -z "$output" ]
  [[ $stderr != *"$SECRET"* ]]
  [ ! -e started ]
  [ ! -s "$BATS_FILE_TMPDIR/connections" ]
}

@test "unknown options and options without a value" {
  refused 'unknown option --bogus' --mutex "$LOCK" --bogus touch started
  refused 'unknown option --bogus' --bogus=1 --mutex "$LOCK" touch started
  refused 'unknown option -x' --mutex "$LOCK" -x touch started
  refused 'unknown option --generate-bash-completion' --mutex "$LOCK" --generate-bash-completion
  refused 'unknown option --nonblok' --mutex "$LOCK" --nonblok touch started
  [[ $stderr == *"hint: amqprun --help lists the options;"* ]]
  refused 'unknown option -nw5' --mutex "$LOCK" -nw5 touch started
  [[ $stderr == *"hint: short options are written apart"* ]]
  refused '--timeout and -w are the same option' --mutex "$LOCK" -w 1 --timeout 2 touch started
  refused 'option --verbose: must be true or false' --mutex "$LOCK" --verbose=yes touch started
  AMQPRUN_VERBOSE=yes refused '^[^ ]* error: AMQPRUN_VERBOSE="yes": must be true or false$' --mutex "$LOCK" touch started
  AMQPRUN_HEARTBEAT=soon refused '^[^ ]* error: AMQPRUN_HEARTBEAT="soon": not a time' --mutex "$LOCK" touch started
  refused 'unknown option --two\\nlines' --mutex "$LOCK" $'--two\nlines' touch started
  refused '\-\-\-mutex' ---mutex "$LOCK" touch started
  refused 'option --mutex needs a value' --mutex
  refused 'option -w needs a value' --mutex "$LOCK" -w
  refused '"maybe"' --mutex "$LOCK" --verbose=maybe touch started
}

@test "which lock: none, two, one twice" {
  refused 'no lock is named' touch started
  refused 'no lock is named' -- touch started
  refused 'no lock is named'
  refused '--mutex and --semaphore' --mutex "$LOCK" --semaphore "$LOCK" touch started
  refused '--mutex.* given twice' --mutex "$LOCK" --mutex other touch started
  refused '--semaphore.* given twice' --semaphore "$LOCK" --semaphore "$LOCK" touch started
}

@test "no command, and two" {
  refused 'no command' --mutex "$LOCK"
  refused 'no command' --mutex "$LOCK" --
  refused 'no command' --mutex "$LOCK" ''
  refused 'both --command and the command "touch"' --mutex "$LOCK" -c true touch started
}

@test "times that are none" {
  for time in x '' -1 -1s nan -inf 5x '1 s' 1,5; do
    refused 'option -w: not a time' --mutex "$LOCK" -w "$time" touch started
  done
  for time in 1e300 inf 1e10; do
    refused 'option -w: too long' --mutex "$LOCK" -w "$time" touch started
  done
  refused 'option --wait: not a time' --mutex "$LOCK" --wait=soon touch started
  refused 'option -k: not a time' --mutex "$LOCK" -k soon touch started
  refused 'option --check-interval: must be at least 10ms' --mutex "$LOCK" --check-interval 1us touch started
  refused 'option --connect-timeout: must be at least 10ms' --mutex "$LOCK" --connect-timeout 0s touch started
}

@test "--nonblock beside --wait" {
  refused '--nonblock and --wait' --mutex "$LOCK" -n -w 5 touch started
}

@test "names that no lock can have" {
  for kind in mutex semaphore; do
    refused 'lock name "": is empty' "--$kind" '' touch started
    refused 'lock name "": is empty' status "--$kind" ''
    refused 'lock name "amq.x": begins with "amq."' "--$kind" amq.x touch started
    refused 'lock name "a\\nb": holds a control character' "--$kind" $'a\nb' touch started
    refused 'lock name "a\\tb": holds a control character' "--$kind" $'a\tb' touch started
    refused 'lock name "a\\xffb": is not valid UTF-8' "--$kind" $'a\xffb' touch started
    refused 'lock name "x-A-1": ends in "-A-1"' "--$kind" x-A-1 touch started
    refused 'lock name "x-B-12": ends in "-B-12"' "--$kind" x-B-12 touch started
    refused 'lock name "x-W": ends in "-W"' "--$kind" x-W touch started
    refused 'lock name "x-H": ends in "-H"' "--$kind" x-H touch started
    refused 'lock name "amqprun-witness"' "--$kind" amqprun-witness touch started
    refused 'lock name "nnn.*\.\.\.": is 300 bytes long' "--$kind" "$(printf 'n%.0s' {1..300})" touch started
  done
  refused 'ends in "-A-1"' change --semaphore x-A-1 1
  refused 'ends in "-A-1"' destroy --semaphore x-A-1
  refused 'ends in "-A-1"' status --semaphore x-A-1
}

@test "an empty URL" {
  refused 'option --url: has an empty value' --url '' --mutex "$LOCK" touch started
  refused 'option --url: has an empty value' status --url '' --mutex "$LOCK"
}

@test "URLs that are none" {
  for url in "http://$HOST/" "$HOST" "not a url" "amqp://$HOST:5/" "amqp:/$HOST/" "amqp:$HOST" "amqp://127.0.0.1:port/" "amqp://127.0.0.1:99999/" \
    "amqp://127.0.0.1:0/" "amqp://$HOST/%zz" $'amqp://127.0.0.1\n/' "amqp://$HOST/#fragment" "amqp://$HOST/?heartbeat=0"; do
    refused 'broker URL: ' --url "$url" --mutex "$LOCK" touch started
    AMQPRUN_URL=$url refused 'broker URL: ' --mutex "$LOCK" touch started
  done
}

@test "URLs with unescaped characters in the password, which is not shown" {
  for password in "$SECRET/x" "$SECRET?x" "$SECRET#x" "$SECRET%x" "$SECRET%zz" "x@$SECRET/x" "1/$SECRET" "$SECRET x" "${SECRET}[x" \
    "x#$SECRET" "x?$SECRET" "x@$SECRET?x" "x@$SECRET#x" "$SECRET:x/y@z"; do
    AMQPRUN_URL=amqp://user:$password@$HOST/ refused 'broker URL: ' --mutex "$LOCK" touch started
    AMQPRUN_URL=amqp://user:$password@$HOST/ refused 'broker URL: ' change --semaphore "$LOCK" 1
  done
}

@test "numbers of slots" {
  refused '--slots 0' --semaphore "$LOCK" --slots 0 touch started
  refused '--slots -1' --semaphore "$LOCK" --slots -1 touch started
  refused '"many" for option --slots: must be a whole number' --semaphore "$LOCK" --slots many touch started
  refused '"0x3" for option --slots: must be a whole number' --semaphore "$LOCK" --slots 0x3 touch started
  refused '100001 slots' --semaphore "$LOCK" --slots 100001 touch started
  refused '--slots 2: only a semaphore' --mutex "$LOCK" --slots 2 touch started
}

@test "how many slots to take" {
  refused 'count' --semaphore "$LOCK" --count 0 touch started
  refused 'count' --semaphore "$LOCK" --count -1 touch started
  refused 'count' --semaphore "$LOCK" --count many touch started
  refused 'priority.*from -100 to 100' --mutex "$LOCK" --priority 101 touch started
  refused 'mutex .*count' --mutex "$LOCK" --count 2 touch started
  refused 'mutex .*greedy' --mutex "$LOCK" --greedy touch started
  refused 'count and greedy exclude' --semaphore "$LOCK" --count 2 --greedy touch started
  refused 'elastic' --semaphore "$LOCK" --elastic touch started
  refused 'slots' change --semaphore "$LOCK" --to -1
  for n in 100001 9223372036854775807; do
    refused "$n slots: must be from 0 to 100000" change --semaphore "$LOCK" --to "$n"
    refused "$n slots: must be from 0 to 100000" change --semaphore "$LOCK" --drain --to "$n"
    refused "$n slots: must be from 1 to 100000" --semaphore "$LOCK" --create "$n" touch started
    refused "count of $n slots: must be from 1 to 100000" --semaphore "$LOCK" --count "$n" touch started
  done
  refused 'option --to: the number is too large' change --semaphore "$LOCK" --to 99999999999999999999
  refused 'option --count: the number is too large' --semaphore "$LOCK" --count 99999999999999999999 touch started
  refused '"many"' change --semaphore "$LOCK" --to many
  refused '1' change --semaphore "$LOCK" --to 2 1
}

@test "COUNT" {
  for count in many 1e3 1.5 '' '1 2' 9223372036854775807 99999999999999999999 -99999999999999999999 --; do
    refused 'COUNT' change --semaphore "$LOCK" "$count"
  done
  refused 'COUNT' change --semaphore "$LOCK"
  refused 'COUNT' change --semaphore "$LOCK" 1 2
  refused 'argument "1"' destroy --semaphore "$LOCK" 1
  refused 'argument "1"' status --semaphore "$LOCK" 1
}

@test "options that a subcommand does not have" {
  refused 'no semaphore is named' change 1
  refused 'no lock is named' destroy
  refused 'no lock is named' check
  refused 'no lock is named' evict --holder x
  refused 'unknown option --mutex' change --mutex "$LOCK" 1
  refused 'unknown option --fence' history --fence --mutex "$LOCK"
  refused 'unknown option -n' status -n --mutex "$LOCK"
  refused 'unknown option --json' change --json --semaphore "$LOCK" 1
  [[ $stderr == *"hint: amqprun change --help lists the options" ]]
}

@test "exit statuses, signals and orphans" {
  refused '"256" for option -E: an exit status is from 0 to 255' --mutex "$LOCK" -E 256 touch started
  refused '"-1" for option -E: an exit status is from 0 to 255' --mutex "$LOCK" -E -1 touch started
  refused 'option -E' --mutex "$LOCK" -E x touch started
  refused '"FOO"' --mutex "$LOCK" -s FOO touch started
  refused '"0"' --mutex "$LOCK" -s 0 touch started
  refused '"sometimes".*leave, wait nor kill' --mutex "$LOCK" --orphans sometimes touch started
}

@test "a URL in the place of a name" {
  for subcommand in status doctor change; do
    refused '.' "$subcommand" "amqp://me:$SECRET@$HOST/"
    [[ $stderr == *"hint: a broker is named by --url URL or AMQPRUN_URL"* ]]
  done
}

@test "timings that cannot work" {
  for heartbeat in 1 1.5 2500ms 70000; do
    refused 'heartbeat ' --mutex "$LOCK" --heartbeat "$heartbeat" touch started
  done
  refused 'option --heartbeat: must be at least 10ms' --mutex "$LOCK" --heartbeat 0 touch started
  refused ' and 1m0s to stop the command' --mutex "$LOCK" -k 60 touch started
  refused 'check interval of 30s' --mutex "$LOCK" --check-interval 30 touch started
  refused 'heartbeat of 2s' --mutex "$LOCK" --heartbeat 2 touch started
}

@test "a lock that the caller holds already" {
  key() { echo "$1:$LOCK@$(printf %s "amqp://$HOST" | sed 's|:|%3A|g; s|/|%2F|g')"; }
  AMQPRUN_LOCKS="mutex:other@x $(key mutex)" refused "mutex \"$LOCK\" is already held" --mutex "$LOCK" touch started
  AMQPRUN_LOCKS=$(key semaphore) refused "semaphore \"$LOCK\" is already held" --semaphore "$LOCK" touch started
}

# This test comes last. It shows that the listener notices a connection.
@test "a call that is not refused contacts the broker" {
  sane_run -69 --separate-stderr amqprun --mutex "$LOCK" -n touch started
  assert_error "cannot reach the broker amqp://$HOST"
  [[ $stderr != *"$SECRET"* ]]
  [ -s "$BATS_FILE_TMPDIR/connections" ]
}

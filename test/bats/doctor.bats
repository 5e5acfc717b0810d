#!/usr/bin/env bats
# amqprun doctor: what it finds, and that its advice mends it.

load helpers
load locks

VHOST=doctor-vhost

# Each of these users lacks one permission on the mutex "nightly.x", or on the semaphore of that name.
lacking() {
  cat <<'USERS'
name ^(nightly\.x-[WHL]|amqprun.*)$ .* .*
witness ^(nightly\.x(-[WHL])?|amqprun\..*)$ .* .*
check .* .* ^(nightly\.x-[WHL]|amqprun\..*)$
publish .* ^amqprun\.who.*$ .*
queue ^(nightly\.x(-[HL])?|amqprun.*)$ .* .*
read-queue .* .* ^(nightly\.x-[HL]|amqprun.*)$
will ^(nightly\.x(-[WL])?|amqprun.*)$ .* .*
read-will .* .* ^(nightly\.x-[WL]|amqprun.*)$
log ^(nightly\.x(-[WH])?|amqprun.*)$ .* .*
read-log .* .* ^(nightly\.x-[WH]|amqprun.*)$
clock ^(nightly\.x(-[WHL])?|amqprun-witness|amqprun\.(who.*|evict))$ .* .*
read-clock .* .* ^(nightly\.x-[WHL]|amqprun-witness|amqprun\.(who.*|evict))$
who ^(nightly\.x(-[WHL])?|amqprun-witness|amqprun\.(who|evict|clock.*))$ .* .*
read-who .* .* ^(nightly\.x-[WHL]|amqprun-witness|amqprun\.(who|evict|clock.*))$
bind .* ^amq\.default$ .*
asked .* .* ^(nightly\.x-[WHL]|amqprun-witness|amqprun\.(who\..*|evict|clock.*))$
evicted .* .* ^(nightly\.x-[WHL]|amqprun-witness|amqprun\.(who.*|clock.*))$
first ^(nightly\.x(-[WHL])?|amqprun-witness|amqprun\.(who\..*|evict|clock.*))$ .* .*
slot ^(nightly\.x-(B-0|[WHL])|amqprun.*)$ .* .*
read-slot .* .* ^(nightly\.x-[WHL]|amqprun.*)$
alone ^(nightly\.x-(B-1|[WHL])|amqprun.*)$ .* .*
all ^$ ^$ ^$
slots ^$ ^$ ^$
USERS
}

setup_file() {
  [[ -n ${AMQPRUN_TEST_BROKER:-} ]] || return 0
  local user configure write read users=''
  while read -r user configure write read; do
    users+="User(<<\"doctor-$user\">>, $(erl "$configure"), $(erl "$write"), $(erl "$read")),"
  done < <(lacking)
  broker_eval '
    rabbit_vhost:add(<<"'$VHOST'">>, <<"test">>),
    User = fun(Name, Conf, Write, Read) ->
      catch rabbit_auth_backend_internal:delete_user(Name, <<"test">>),
      rabbit_auth_backend_internal:add_user(Name, <<"s3cret">>, <<"test">>),
      rabbit_auth_backend_internal:set_permissions(Name, <<"'$VHOST'">>, Conf, Write, Read, <<"test">>)
    end,
    '"$users"' ok.'
}

teardown_file() {
  [[ -z ${AMQPRUN_TEST_BROKER:-} ]] || broker_eval '
    [rabbit_auth_backend_internal:delete_user(N, <<"test">>) || U <- rabbit_auth_backend_internal:list_users(),
      N <- [proplists:get_value(user, U)], binary:part(N, 0, min(7, size(N))) =:= <<"doctor-">>],
    rabbit_vhost:delete(<<"'$VHOST'">>, <<"test">>).'
}

# The URL for a user of the virtual host.
url_of() { # USER [PASSWORD]
  local server=${AMQPRUN_URL#*@}
  echo "amqp://$1:${2:-s3cret}@${server%%/*}/$VHOST"
}

has_finding() { # LEVEL CHECK PATTERN
  grep -E "^$1 +$2 +.*$3" <<<"$output" || { echo "no $1 $2 $3" && return 1; }
}

count_of() { grep -cE "^$1 " <<<"$output" || true; } # LEVEL

@test "doctor finds nothing wrong, and nothing is left" {
  requires_broker_ctl
  sane_run -0 amqprun doctor --mutex "$LOCK"
  has_finding ok broker 'accepts the login of user guest'
  has_finding '(ok|warning)' version 'RabbitMQ [34]'
  has_finding ok 'round trip' 'median'
  has_finding ok alarm none
  has_finding ok permission "configure $LOCK"
  [ "$(count_of failure)" -eq 0 ]
  sane_run -0 broker_ctl list_queues name
  [[ $output != *"$LOCK"* && $output != *amq.doctor* ]]
}

@test "doctor does not disturb a holder or those who wait" {
  hold --mutex "$LOCK"
  start_waiter 1 --mutex "$LOCK" echo now
  sane_run -0 amqprun doctor --mutex "$LOCK"
  wait_until "$PATIENCE" json "s['held'] == 1 and s['waiting'] == 1" --mutex "$LOCK"
  release "${BACKGROUND[0]}"
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 0 ]
}

@test "doctor --json is one object, and without a name there is no permission on its queues" {
  amqprun doctor --json --mutex "$LOCK" >found
  /usr/bin/python3 - "$LOCK" <<'PYTHON'
import json, sys
found = json.load(open("found"))
assert found["version"] == 1 and len(open("found").readlines()) == 1
assert {f["level"] for f in found["findings"]} <= {"ok", "warning"}, found
assert {"check": "permission", "level": "ok", "text": "configure " + sys.argv[1]} in found["findings"], found
PYTHON
  sane_run -0 amqprun doctor
  has_finding ok broker .
  [ "$(grep -c permission <<<"$output")" -eq 1 ]
}

# The line that is to be typed. It replaces what the user has, so it is the same for each of them.
line_for() { # USER
  sed -n "s/^.* is missing.*; to do: \(rabbitmqctl set_permissions -p $VHOST doctor-$1 .*\)/\1/p" <<<"$output" | sort -u
}

@test "doctor finds each missing permission" {
  requires_broker_ctl
  expect() { # USER STATUS LEVEL PATTERN
    sane_run "-$2" amqprun doctor "$kind" nightly.x --url "$(url_of "doctor-$1")"
    has_finding "$3" permission "$4 is missing"
    [ "$(grep -c 'is missing' <<<"$output")" -eq 1 ]
    [ "$(line_for "$1")" = "${enough/doctor-$lacks/doctor-$1}" ]
  }
  kind=--mutex lacks=all
  sane_run -77 amqprun doctor $kind nightly.x --url "$(url_of doctor-$lacks)"
  enough=$(line_for $lacks)
  [ -n "$enough" ]
  expect name 77 failure 'configure nightly\.x'
  expect witness 77 failure 'configure amqprun-witness'
  expect check 77 failure 'read amqprun-witness'
  expect publish 0 warning 'write amq\.default'
  expect queue 0 warning 'configure nightly\.x-W'
  expect read-queue 0 warning 'read nightly\.x-W'
  expect will 0 warning 'configure nightly\.x-H'
  expect read-will 0 warning 'read nightly\.x-H'
  expect log 0 warning 'configure nightly\.x-L'
  expect read-log 0 warning 'read nightly\.x-L'
  expect clock 0 warning 'configure amqprun\.clock\.[A-Z0-9]+'
  expect read-clock 0 warning 'read amqprun\.clock\.[A-Z0-9]+'
  expect who 0 warning 'configure amqprun\.who\.[A-Z0-9]+'
  expect read-who 0 warning 'read amqprun\.who\.[A-Z0-9]+'
  expect bind 0 warning 'write amqprun\.who\.[A-Z0-9]+'
  expect asked 0 warning 'read amqprun\.who'
  expect evicted 0 warning 'read amqprun\.evict'
  expect first 0 warning 'configure amqprun\.who'
  kind=--semaphore lacks=slots
  sane_run -77 amqprun doctor $kind nightly.x --url "$(url_of doctor-$lacks)"
  enough=$(line_for $lacks)
  [ -n "$enough" ]
  expect slot 77 failure 'configure nightly\.x-B-1'
  expect read-slot 77 failure 'read nightly\.x-A-1'
  expect publish 77 failure 'write amq\.default'
  expect alone 0 warning 'configure nightly\.x-B-0'
  sane_run -0 broker_ctl list_queues -p "$VHOST" name
  [ -z "$output" ]
}

# Does what the first line of the last output says that is about permissions.
mend() {
  local line
  line=$(sed -n 's/^failure .*to do: \(rabbitmqctl set_permissions .*\)/\1/p' <<<"$output" | head -n 1)
  [[ $line == rabbitmqctl* ]]
  rabbitmqctl() { broker_ctl "$@"; }
  eval "$line"
}

@test "the line that doctor prints is enough for a mutex and for a semaphore" {
  requires_broker_ctl
  url=$(url_of doctor-all)
  sane_run -77 amqprun doctor --mutex nightly.x --url "$url"
  mend
  sane_run -0 amqprun doctor --mutex nightly.x --url "$url"
  [[ $output != *missing* ]]
  sane_run -0 amqprun --mutex nightly.x --fence --url "$url" -- true

  url=$(url_of doctor-slots)
  sane_run -77 amqprun doctor --semaphore "it's" --url "$url"
  mend
  sane_run -0 amqprun doctor --semaphore "it's" --url "$url"
  [[ $output != *missing* ]]
  amqprun change --semaphore "it's" --to 1 --url "${AMQPRUN_URL%/*}/$VHOST" 2>/dev/null || {
    broker_ctl set_permissions -p "$VHOST" guest '.*' '.*' '.*'
    amqprun change --semaphore "it's" --to 1 --url "${AMQPRUN_URL%/*}/$VHOST"
  }
  sane_run -0 amqprun --semaphore "it's" --fence --url "$url" -- true
}

@test "doctor has the statuses of a run: wrong password, no virtual host, no broker, no TLS there" {
  requires_broker_ctl
  sane_run -77 amqprun doctor --url "$(url_of doctor-all wrong)"
  has_finding failure broker 'refused the login.*to do: check user and password'
  sane_run -0 amqprun doctor --url "$(url_of doctor-all)"
  sane_run -78 amqprun doctor --url "${AMQPRUN_URL%/*}/no-such"
  has_finding failure broker 'no virtual host.*to do: '
  sane_run -69 amqprun doctor --url amqp://127.0.0.1:1/
  has_finding failure broker 'cannot reach'
  sane_run -69 amqprun doctor --connect-timeout 5 --url "${AMQPRUN_URL/amqp:/amqps:}"
  has_finding failure broker 'TLS|secure'
  sane_run -64 amqprun doctor --mutex ''
  sane_run -64 amqprun doctor nightly
}

@test "doctor looks at each broker of a cluster" {
  sane_run -69 amqprun doctor --url "$AMQPRUN_URL" --url amqp://127.0.0.1:1/
  has_finding ok broker 'accepts'
  has_finding failure broker 'cannot reach'
  sane_run -64 amqprun doctor --url "$AMQPRUN_URL" --url amqp://127.0.0.1/other # as a run
}

@test "doctor warns of a low limit of files, and says how to raise it" {
  sane_run -0 bash -c 'ulimit -n 30; exec amqprun doctor'
  has_finding warning files 'at most 30 .*to do: ulimit -n 64, or LimitNOFILE=64 in a unit, where the limit was set$'
  local fix
  fix=$(sed -n 's/^warning  files .*to do: \(ulimit -n [0-9]*\),.*/\1/p' <<<"$output")
  sane_run -0 bash -c "$fix; exec amqprun doctor"
  has_finding ok files 'at most 64 '
}

#!/usr/bin/env bats
# --report: a test for each row of docs/reference/json.md.

load helpers
load locks

# The report has these fields and no others. A VALUE is Python; FIELD~PATTERN is a regular expression.
reported() { # FIELD=VALUE | FIELD~PATTERN | FIELD...
  cat report.json
  /usr/bin/python3 - "$LOCK" "$@" <<-'PYTHON'
	import ast, datetime, json, re, sys
	lines = open("report.json").read().splitlines()
	assert len(lines) == 1, lines
	report = json.loads(lines[0])
	lock = sys.argv[1]
	want = {"kind", "name", "broker", "id", "started", "waited"}
	assert report["kind"] in ("mutex", "semaphore") and report["name"] == lock, report
	assert re.fullmatch("amqps?://[^@]+", report["broker"]), report
	assert re.fullmatch("[0-9a-f]{16}", report["id"]), report
	age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(report["started"])
	assert 0 <= age.total_seconds() < 60 and 0 < report["waited"] < 60, report
	for word in sys.argv[2:]:
	    field, how, value = re.fullmatch(r"([a-z_]+)([=~]?)(.*)", word).groups()
	    want.add(field)
	    if how == "=":
	        assert report[field] == ast.literal_eval(value), (word, report)
	    if how == "~":
	        assert re.fullmatch(value, report[field]), (word, report)
	assert set(report) == want, set(report) ^ want
	assert 0 < report.get("held", 1) < 60, report
	PYTHON
  [ "$(echo report.json*)" = report.json ]
}

@test "ended: by itself" {
  sane_run -0 amqprun --report report.json --mutex "$LOCK" true
  reported 'result="ended"' exit_status=0 'slots=[1]' held 'command={"status": 0}'
  [ "$(stat -c %a report.json)" = "$(printf '%o' $((0666 & ~$(umask))))" ]
  amqprun change --semaphore "$LOCK" --to 3
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -3 amqprun --report report.json --semaphore "$LOCK" --count 2 sh -c 'echo "$AMQPRUN_ID $AMQPRUN_SLOTS"; exit 3'
  read -r id slots <<<"$output"
  reported 'result="ended"' exit_status=3 'kind="semaphore"' "slots=[${slots/ /, }]" held 'command={"status": 3}' "id=\"$id\""
  amqprun destroy --semaphore "$LOCK"
}

@test "ended: by a signal" {
  # shellcheck disable=SC2016 # for the inner shell
  sane_run -143 amqprun --report report.json --mutex "$LOCK" sh -c 'kill -TERM $$'
  reported 'result="ended"' exit_status=143 slots held 'command={"status": 143, "signal": "SIGTERM"}'
}

@test "not-started" {
  sane_run -127 amqprun --report report.json --mutex "$LOCK" ./nonesuch
  reported 'result="not-started"' exit_status=127 'error~cannot run \./nonesuch: .*'
  sane_run -126 amqprun --report report.json --mutex "$LOCK" /
  reported 'result="not-started"' exit_status=126 'error~cannot run /: .*'
}

@test "not-acquired, also with -q" {
  hold --mutex "$LOCK"
  mkdir late
  start_bg amqprun --report late/report.json --mutex "$LOCK" -q -w 10 -E 3 true # which includes the login
  sane_run -75 amqprun --report report.json --mutex "$LOCK" -n true
  reported 'result="not-acquired"' exit_status=75 'error~mutex ".*" on .* was not acquired: it is held by others'
  wait_bg 30 "$bg_pid"
  [ "$status" -eq 3 ]
  [ ! -s bg.2.out ]
  [ ! -s bg.2.err ]
  mv late/report.json .
  reported 'result="not-acquired"' exit_status=3 'error~.* was not acquired in time: it is held by others'
}

@test "interrupted" {
  hold --mutex "$LOCK"
  for signal in TERM:143 INT:130; do
    start_waiter 1 --report report.json --mutex "$LOCK" true
    kill "-${signal%:*}" "$bg_pid"
    wait_bg 20 "$bg_pid"
    [ "$status" -eq "${signal#*:}" ]
    reported 'result="interrupted"' "exit_status=$status" "error=\"SIG${signal%:*} while waiting for the lock\""
    foreign line "$LOCK" 0 # or the broker still counts it when the next one comes
  done
}

@test "lost" {
  amqprun change --semaphore "$LOCK" 1
  hold --report report.json --semaphore "$LOCK" --check-interval 0.2
  amqprun change --semaphore "$LOCK" -1
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 76 ]
  reported 'result="lost"' exit_status=76 'slots=[1]' held 'command={"status": 143, "signal": "SIGTERM"}' 'error~lost slot 1 of semaphore .*'
  amqprun destroy --semaphore "$LOCK"
}

@test "error" {
  sane_run -78 amqprun --report report.json --semaphore "$LOCK" true
  reported 'result="error"' exit_status=78 'error~there is no semaphore .*' 'hint~create it with: .*'
  sane_run -69 amqprun --url amqp://127.0.0.1:1/ --report report.json --mutex "$LOCK" true
  reported 'result="error"' exit_status=69 'broker="amqp://127.0.0.1:1"' 'error~cannot reach the broker .*' hint
}

@test "a wrong command line writes no report" {
  echo old >report.json
  sane_run -64 amqprun --report report.json --mutex "$LOCK" --bogus
  sane_run -64 amqprun --report report.json --mutex "$LOCK"
  [ "$(<report.json)" = old ]
}

@test "a place where no report can be written" {
  mkdir directory
  : >file
  for place in 'none/report:the directory none does not exist' 'file/report:file is no directory' \
    'directory:is no file that can be replaced' '/dev/null:is no file that can be replaced'; do
    sane_run -64 --separate-stderr amqprun --url amqp://127.0.0.1:1/ --report "${place%%:*}" --mutex "$LOCK" true
    assert_error "^amqprun: error: --report \"${place%%:*}\": ${place#*:}$"
  done
  ((EUID == 0)) || {
    chmod 500 directory
    sane_run -64 --separate-stderr amqprun --report directory/report --mutex "$LOCK" true
    assert_error 'the directory directory is not writable'
  }
}

@test "a report that cannot be written at the end is a warning" {
  mkdir directory
  sane_run -3 --separate-stderr amqprun --report directory/report --mutex "$LOCK" sh -c 'rm -r directory; exit 3'
  [[ $stderr =~ ^"amqprun: warning: the report cannot be written: open directory/.report"[0-9]+": no such file or directory"$ ]]
}

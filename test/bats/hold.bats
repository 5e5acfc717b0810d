#!/usr/bin/env bats
# The lock without a command: amqprun hold and amqprun release.
# shellcheck disable=SC2016 # for the inner shells

load helpers
load locks

# The process in the background that holds $LOCK.
keeper() { pgrep -f "amqprun hold .*$LOCK"; }
no_keeper() { ! keeper; }
is_free() { amqprun check --mutex "$LOCK"; }
is_held() { ! is_free; }

# Runs amqprun as another user, who may not be able to execute that of the tests.
as_nobody() { # ARGUMENT...
  cp "$(type -P amqprun)" .
  chmod -R a+rX "$BATS_RUN_TMPDIR"
  setpriv --reuid nobody --clear-groups "$PWD/amqprun" "$@"
}

# Runs a script in the background that holds $LOCK and then waits for the file "go".
script() { # LINES-AFTER [OPTION-OF-HOLD...]
  cat >script <<-SH
	trap 'echo ended' EXIT
	eval "\$(amqprun hold --mutex $LOCK ${*:2})" || exit
	echo "\$AMQPRUN_HOLD"
	until [ -e go ]; do sleep 0.05; done
	$1
	SH
  start_bg "${SHELL_UNDER_TEST:-bash}" script
  wait_until 20 test -s "bg.${#BACKGROUND[@]}.out"
  read -r socket <"bg.${#BACKGROUND[@]}.out"
}

nothing_is_left() {
  wait_until 10 no_keeper
  wait_until "$PATIENCE" is_free
  [ ! -e "${socket%/socket}" ]
}

teardown() {
  end_background
  # By TERM a keeper would end the process for which it holds, which may be this one.
  pkill -KILL -f "amqprun hold .*$LOCK" || true
}

@test "hold and release in bash, dash and zsh" {
  for SHELL_UNDER_TEST in bash dash zsh; do
    rm -f go
    script 'amqprun release; echo "released $?"; amqprun release; echo "again $?"'
    is_held
    touch go
    wait_bg 20 "$bg_pid"
    cat "bg.${#BACKGROUND[@]}."*
    file_has "bg.${#BACKGROUND[@]}.out" '^released 0$'
    file_has "bg.${#BACKGROUND[@]}.out" '^again 78$'
    [ "$status" -eq 0 ]
    nothing_is_left
  done
}

@test "what hold prints can pass through a filter, in bash, dash and zsh" {
  for shell in bash dash zsh; do
    sane_run -0 "$shell" -c 'eval "$(amqprun hold --mutex "$1" | tee log)"
      amqprun check --mutex "$1"; echo "check $?"; amqprun release' - "$LOCK"
    [[ $output == *'check 75'* ]]
    # A script whose own output is read holds for itself.
    sane_run -0 "$shell" -c 'out=$("$1" -c "amqprun hold --mutex $2 | tee log"); exec amqprun --mutex "$2" -w 20 true' \
      - "$shell" "$LOCK"
  done
}

# It does not sleep before that, as a shell does not that waits for a processor.
@test "a shell that is slow to start the filter is the one that holds" {
  sane_run -0 bash -c 'eval "$(exec 9< <(amqprun hold --mutex "$1"); while ((SECONDS < 2)); do :; done; cat <&9 & exec 9<&-; wait)"
    amqprun check --mutex "$1"; echo "check $?"; amqprun release' - "$LOCK"
  [[ $output == *'check 75'* ]]
}

@test "a failure ends the script with the status of hold, in bash, dash and zsh" {
  hold --mutex "$LOCK"
  for shell in bash dash zsh; do
    sane_run -75 "$shell" -c 'eval "$(amqprun hold --mutex "$1" -n)" || exit; echo on' - "$LOCK"
    [[ $output != *on ]]
    sane_run -64 "$shell" -c 'eval "$(amqprun hold --mutx "$1")" || exit; echo on' - "$LOCK"
    [[ $output != *on ]]
    sane_run -64 "$shell" -c 'eval "$(amqprun hold -n -E 0 --mutex "$1")" || exit; echo on' - "$LOCK"
    [[ $output != *on ]]
    sane_run -4 "$shell" -c 'set -e; eval "$(amqprun hold -q -n -E 4 --mutex "$1")"; echo on' - "$LOCK"
    [[ $output != *on ]]
  done
}

@test "hold sets the variables that a command gets" {
  amqprun change --semaphore "$LOCK" --to 3
  AMQPRUN_TOKEN=9 AMQPRUN_SLOTS_FILE=/x sane_run -0 bash -c '
    eval "$(amqprun hold --semaphore "$1" --count 2)" || exit
    echo "$AMQPRUN_LOCK $AMQPRUN_KIND $AMQPRUN_COUNT $AMQPRUN_SLOTS ${AMQPRUN_ID:?} ${AMQPRUN_TOKEN-none} ${AMQPRUN_SLOTS_FILE-none}"
    amqprun release' - "$LOCK"
  [[ $output =~ ^"$LOCK semaphore 2 "[1-3]" "[1-3]" "[0-9a-f]{16}" none none"$ ]]
  sane_run -0 bash -c 'eval "$(amqprun hold --mutex "$1" --fence)" || exit
    echo "$AMQPRUN_TOKEN"; amqprun release' - "$LOCK-f"
  [[ $output =~ ^[0-9]+$ ]]
  amqprun history --mutex "$LOCK-f" | grep -q released
  amqprun destroy --mutex "$LOCK-f"
  amqprun destroy --semaphore "$LOCK"
}

@test "a lock that the script holds is refused to its commands, and given again after the release" {
  sane_run -0 bash -c '
    eval "$(amqprun hold --mutex "$1")" || exit
    amqprun --mutex "$1" -w 10 -- true; echo "nested $?"
    amqprun release
    amqprun --mutex "$1" -- true; echo "after $?"' - "$LOCK"
  [[ $output == *'already held by the script'*'nested 64'*'after 0' ]]
}

@test "the caller is the shell that reads the output, and not its copy" {
  for shell in bash dash zsh; do
    sane_run -0 "$shell" -c 'eval "$(amqprun hold --mutex "$1"; true)" || exit
      amqprun status --mutex "$1" && amqprun release' - "$LOCK" # status takes half a second
  done
}

@test "status shows for which process a lock is held" {
  export AMQPRUN_SHOW_COMMAND=1 AMQPRUN_HIDE_COMMAND=1
  script 'amqprun release'
  wait_until "$PATIENCE" json "s['holders'][0].get('command') == 'hold for bash'" --mutex "$LOCK"
  touch go
  wait_bg 20 "$bg_pid"
  nothing_is_left
}

@test "the end of the script releases the lock, also kill -9" {
  script 'exit 3'
  touch go
  wait_bg 20 "$bg_pid"
  [ "$status" -eq 3 ]
  nothing_is_left
  rm go
  script ''
  kill -KILL "$bg_pid"
  nothing_is_left
}

@test "kill -9 of the process that holds frees the lock, and release says 76" {
  script 'amqprun release; echo "released $?"'
  kill -KILL "$(keeper)"
  wait_until "$PATIENCE" is_free
  touch go
  wait_bg 20 "$bg_pid"
  file_has bg.1.out '^released 76$'
  file_has bg.1.err "mutex \"$LOCK\" was lost: the process that held it is gone"
  nothing_is_left
}

@test "the file of a hold that was killed is removed by the next one" {
  script ''
  kill -KILL "$(keeper)" "$bg_pid"
  [ -e "$socket" ]
  touch -d '2 minutes ago' "${socket%/socket}" # from now on any other hold may remove it
  left=$socket
  touch go
  script 'amqprun release'
  [ ! -e "$left" ]
}

@test "on a loss the script gets TERM, and release says 76 and why" {
  script 'amqprun release; echo "released $?"' -s USR1 --log "$PWD/log"
  sed -i '1i trap "echo lost; touch go" USR1' script
  kill "$bg_pid"
  nothing_is_left
  start_bg bash script
  wait_until 20 test -s bg.2.out
  wait_until "$PATIENCE" json "s['holders'][0].get('id')" --mutex "$LOCK"
  amqprun evict --mutex "$LOCK" --holder "$(id_of hold --mutex "$LOCK")"
  wait_bg 20 "$bg_pid"
  cat bg.2.*
  file_has bg.2.out '^lost$'
  file_has bg.2.out '^released 76$'
  file_has bg.2.err 'error: lost mutex.*evicted'
  file_has log 'warning: lost mutex.*evicted'
  read -r socket <bg.2.out
  nothing_is_left

}

@test "release after a loss says 76 and why, also when --max is over" {
  # The check interval leaves the signal a tenth of a second.
  sane_run -76 bash -c '
    eval "$(amqprun hold --mutex "$1" -s URG --max 12 --check-interval 13.9)" || exit
    SECONDS=0
    until amqprun evict -q --mutex "$1" --holder "$AMQPRUN_ID" || ((SECONDS > 13)); do sleep 0.05; done
    until ((SECONDS > 13)); do sleep 0.05; done
    amqprun release' - "$LOCK"
  [[ $output == *"error: lost mutex \"$LOCK\""*evicted* ]]
  wait_until 10 no_keeper
}

@test "a wrong command line leaves no file of --log" {
  sane_run -64 amqprun hold --mutex "$LOCK" -n -w 5 --log log
  [ ! -e log ]
}

@test "a FIFO for --log is opened once, before the lock is held" {
  mkfifo log
  start_bg cat log # it ends when a writer has closed the FIFO
  script 'amqprun release' --log "$PWD/log"
  touch go
  wait_bg 20 "$bg_pid"
  nothing_is_left
}

@test "hold works with few open files" {
  sane_run -0 bash -c 'ulimit -n 64; lock=$(amqprun hold --mutex "$1") && eval "$lock" && amqprun release' \
    bash "$LOCK"
}

@test "--kill-after kills a script that does not end, and without it none is killed" {
  printf 'trap "" TERM\neval "$(amqprun hold --mutex %s --max 0.3 %s)" || exit\nexec sleep 600\n' "$LOCK" '-k 0.3' >stubborn
  start_bg bash stubborn
  wait_bg 10 "$bg_pid"
  [ "$status" -eq 137 ]
  wait_until 10 no_keeper
  is_free
}

@test "a lock is held for --max at most, and the script gets the signal" {
  script '' --max 0.5
  wait_bg 10 "$bg_pid"
  [ "$status" -eq 143 ]
  nothing_is_left
}

@test "a process that holds and is stopped loses the lock by its lease" {
  script 'amqprun release; echo "released $?"' --heartbeat 4 --check-interval 0.3 -s URG
  kill -STOP "$(keeper)"
  # Another one is suspended together with its script, as with the whole machine.
  local other=suspended-${LOCK#test-} frozen
  echo 'trap "echo signalled; touch awake" USR1
    eval "$(amqprun hold --mutex "$1" --heartbeat 4 --check-interval 0.3 -s USR1)" || exit
    echo "$$"; until [ -e awake ]; do sleep 0.05; done; amqprun release; echo "released $?"' >suspended
  start_bg bash suspended "$other"
  wait_until 20 test -s bg.2.out
  frozen=("$bg_pid" "$(pgrep -f "amqprun hold .*$other")")
  kill -STOP "${frozen[@]}"
  start_bg amqprun --mutex "$other" -w 60 -- sh -c 'echo next; exec sleep 600'
  wait_until "$PATIENCE" is_free
  wait_until 20 test -s bg.3.out
  kill -CONT "${frozen[@]}"
  wait_bg 20 "${frozen[0]}"
  [ "$(tail -n +2 bg.2.out)" = $'signalled\nreleased 76' ]
  file_has bg.2.err "lost mutex \"$other\""
  kill -CONT "$(keeper)"
  touch go
  wait_bg 20 "${BACKGROUND[0]}"
  file_has bg.1.out '^released 76$'
  nothing_is_left
}

@test "nothing is left of a hold that is interrupted while it waits" {
  hold --mutex "$LOCK"
  for signal in TERM INT KILL; do
    start_bg amqprun hold --mutex "$LOCK"
    foreign line "$LOCK" 1
    kill "-$signal" "$bg_pid"
    wait_bg 10 "$bg_pid"
    wait_until 10 no_keeper
    foreign line "$LOCK" 0 # the broker has to see that, too, before the next one waits
  done
  file_has bg.2.out '^\(exit 143\)$'
}

@test "hold gives up when the process dies for which it waits" {
  hold --mutex "$LOCK"
  start_bg sleep 600
  sleeper=$bg_pid
  start_bg amqprun hold --mutex "$LOCK" --for "$sleeper"
  foreign line "$LOCK" 1
  kill "$sleeper"
  wait_bg 10 "$bg_pid"
  [ "$status" -ne 0 ]
  wait_until 10 no_keeper
}

@test "a lock whose variables nobody could read is released" {
  sane_run -125 sh -c 'exec amqprun hold --mutex "$1" --for "$2" >/dev/full' - "$LOCK" $$
  wait_until 10 no_keeper
  is_free
}

@test "a lock for a reader that has gone is released" {
  mkfifo pipe
  exec {both}<>pipe
  exec {writer}>pipe
  exec {both}>&- # which was the reader
  sane_run -125 bash -c 'exec amqprun hold --mutex "$1" --for "$2" >&"$3"' - "$LOCK" $$ "$writer"
  exec {writer}>&-
  wait_until 10 no_keeper
  is_free
}

@test "a CI job of three steps" {
  start_bg sleep 600 # the runner
  bash -e -c 'eval "$(amqprun hold --mutex "$1" --for "$2")"
    echo "AMQPRUN_HOLD=$AMQPRUN_HOLD" >>env' - "$LOCK" "$bg_pid"
  is_held
  bash -e -c 'set -a; . ./env; ! amqprun --mutex "$1" -n -q true' - "$LOCK"
  bash -e -c 'set -a; . ./env; amqprun release'
  is_free
  sane_run -64 amqprun hold --mutex "$LOCK" --for 0
  amqprun hold --mutex "$LOCK" --for 0 --max 60 >held
  bash -e -c '. ./held; amqprun release'
  is_free
}

@test "a hold for nobody that is over says 76" {
  amqprun hold --mutex "$LOCK" --for 0 --max 2 >held # in which it has to hand over the text
  wait_until 10 no_keeper
  sane_run -76 sh -c '. ./held; amqprun release'
  socket=$(sed -n 's/^export AMQPRUN_HOLD=//p' held)
  nothing_is_left
}

@test "another user cannot release" {
  ((EUID == 0)) || skip "needs root"
  eval "$(amqprun hold --mutex "$LOCK" --for $$)"
  sane_run -77 as_nobody release
  amqprun release
}

# The shell below is root's and ends with amqprun, as sudo does.
@test "hold that another user's process has started asks for --for" {
  ((EUID == 0)) || skip "needs root"
  sane_run -64 as_nobody hold --mutex "$LOCK"
  [[ $output == *'cannot find out which process has called it'*'--for PID'* ]]
}

@test "hold refuses a process that it cannot signal" {
  ((EUID == 0)) || skip "needs root"
  sane_run -64 as_nobody hold --mutex "$LOCK" --for $$
  [[ $output == *"--for $$: "*'operation not permitted'* ]]
}

@test "the helper for Bats: two lines hold a lock for a file" {
  # Bats would take a line here that begins with its word for one of this file.
  sed 's/^TEST/@test/' >two.bats <<-BATS
	load $ROOT/share/bats/amqprun
	setup_file() { amqprun_hold --mutex $LOCK -w 5m; }
	teardown_file() { amqprun_release; }
	TEST "ours" { ! amqprun check --mutex $LOCK && [ "\$AMQPRUN_SLOT" = 1 ]; }
	TEST "lost or not" { [ -z "\${LOSE:-}" ] || kill -KILL "\$(pgrep -f 'amqprun hold .*$LOCK')"; }
	BATS
  sane_run -0 bats two.bats
  [[ $output == *'ok 1 ours'*'ok 2 lost or not'* ]]
  wait_until 10 no_keeper
  is_free
  LOSE=1 sane_run '!' bats two.bats
  [[ $output == *'was lost'* ]]
  hold --mutex "$LOCK"
  sed -i 's/-w 5m/-n/' two.bats
  sane_run '!' bats two.bats
  [[ $output == *'was not acquired'* && $output != *'ok 1 ours'* ]]
}

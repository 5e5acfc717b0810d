#!/usr/bin/env bats
# Help, version, and where the options end. test/cli has many more arguments of commands.

load helpers
load locks

setup() { new_lock; }

@test "--help goes to standard output, wherever it stands" {
  for arguments in --help -h '--mutex m -h'; do
    # shellcheck disable=SC2086 # several words
    sane_run -0 --separate-stderr amqprun $arguments
    [ -z "$stderr" ]
    [[ ${lines[0]} == "amqprun: run a command under a lock"* ]]
    [[ $output == *"--semaphore NAME"*"change"*"destroy"*"status"*"77 permission refused"* ]]
  done
}

@test "--help of a subcommand is about that" {
  for subcommand in change destroy status check evict; do
    sane_run -0 --separate-stderr amqprun "$subcommand" --help
    [ -z "$stderr" ]
    [[ $output == "amqprun $subcommand: "*"amqprun $subcommand [OPTIONS] "*"--semaphore NAME"*"--url URL"* ]]
    [[ $output != *--nonblock* ]]
  done
}

@test "--version" {
  sane_run -0 --separate-stderr amqprun --version
  [[ $output =~ ^amqprun\ [0-9]+\.[0-9]+\.[0-9]+[^\ ]*\ \((commit\ [0-9a-f]+(, modified)?;\ )?go1[^\)]*\)$ ]]
  [ -z "$stderr" ]
}

@test "no subcommand is called help, h or completion" {
  for word in help h completion version; do
    sane_run -64 --separate-stderr amqprun "$word"
    assert_error 'no lock is named'
  done
}

@test "a command called like a subcommand or an option is a command" {
  requires_broker
  mkdir bin
  for name in change destroy status help -x -- --help; do
    # shellcheck disable=SC2016 # for the script
    printf '#!/bin/sh\necho "$0 $*"\n' >"bin/$name"
    chmod +x "bin/$name"
    PATH=$PWD/bin:$PATH sane_run -0 --separate-stderr amqprun --mutex "$LOCK" -- "$name" --help -v
    [ "$output" = "$PWD/bin/$name --help -v" ]
    [ -z "$stderr" ]
  done
  PATH=$PWD/bin:$PATH sane_run -0 amqprun --mutex "$LOCK" change --semaphore other 1
  [ "$output" = "$PWD/bin/change --semaphore other 1" ]
}

@test "options behind the command are the command's" {
  requires_broker
  sane_run -0 amqprun --mutex "$LOCK" echo -n --mutex b --bogus -- -h
  [ "$output" = "--mutex b --bogus -- -h" ]
}

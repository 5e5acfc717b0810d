# amqprun for Bats: a test file that holds a lock of RabbitMQ while its tests run.
#
#   bats_load_library amqprun # as the packages install it; else: load /path/to/amqprun.bash
#
#   setup_file() { amqprun_hold --mutex test-database -w 5m; }
#   teardown_file() { amqprun_release; }
#
# amqprun_hold takes the options of `amqprun hold` and fails with its status. Then Bats runs no test of
# the file. The tests have AMQPRUN_SLOT and the other variables.
#
# amqprun_release fails with 76 if the lock was lost while the tests ran, and Bats reports that. The lock
# is free when Bats ends, also when Bats is killed.
#
# A loss does not stop the tests, because a signal would keep Bats from its report. Give --signal to
# amqprun_hold to stop them.
# shellcheck shell=bash

amqprun_hold() { # OPTION-OF-HOLD...
  local variables shell=$BASHPID
  # Within $(...) BASHPID is that of a copy. Bats waits for everybody who has descriptor 3.
  variables=$(amqprun hold --for "$shell" --signal URG "$@" 3>&-) || return
  eval "$variables"
}

amqprun_release() { amqprun release 3>&-; }

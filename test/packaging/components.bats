# The CI components: the shell in each file runs here, with the variables of its service, against a
# release made of bin/amqprun.
# shellcheck shell=bash
# shellcheck disable=SC2030,SC2031,SC2119,SC2120,SC2154 # a test is a subshell; the helpers set bg_pid
load ../bats/helpers

setup_file() {
  "$BATS_TEST_DIRNAME/release" "$BATS_FILE_TMPDIR/releases"
  export VERSION
  VERSION=$(sed -n 's/^var version = "\(.*\)"$/\1/p' "$BATS_TEST_DIRNAME/../../main.go")
}

# Only a component brings amqprun into the PATH. The test itself calls $ROOT/bin/amqprun.
setup() {
  LOCK=test-$$-$BATS_TEST_NUMBER-$SRANDOM
  # shellcheck disable=SC2034 # the helpers use it
  BACKGROUND=()
  cd "$BATS_TEST_TMPDIR" || return
  PATH=${PATH//"$ROOT/bin:"/}
  export LOCK HOME=$PWD/home AMQPRUN_RELEASES=file://$BATS_FILE_TMPDIR/releases
  # Each component runs it under the lock. It shows who it is, and waits until the test has looked.
  cat >under_lock <<'END'
command -v amqprun >which
echo "$AMQPRUN_KIND $AMQPRUN_LOCK" >held
until [ -e looked ]; do sleep 0.1; done
END
}

shown() { # URL
  "$ROOT/bin/amqprun" status --mutex "$LOCK" | grep -F -- "$1"
}

# Starts a component, looks from outside while it holds the lock, and lets it end.
holds_lock() { # URL-OF-JOB COMMAND...
  local url=$1
  shift
  start_bg "$@"
  wait_until 30 test -s held || {
    cat bg.1.err
    return 1
  }
  [[ $(<held) == "mutex $LOCK" && $(<which) == "$PWD"/* ]]
  wait_until 10 shown "$url"
  sane_run -75 "$ROOT/bin/amqprun" check --mutex "$LOCK"
  touch looked
  wait_bg 30 "$bg_pid"
  cat bg.1.err
  ((status == 0))
}

# The steps of GitHub's runner: the action adds to the file GITHUB_PATH, and the next step has that PATH.
github() { # INPUT=VALUE...
  export RUNNER_TOOL_CACHE=$PWD/tools GITHUB_PATH=$PWD/path GITHUB_ACTION_PATH=$ROOT/.github/actions/setup
  "$BATS_TEST_DIRNAME/extract" "$GITHUB_ACTION_PATH/action.yml" "$@" >setup.sh
  bash -e setup.sh
}

@test "GitHub: the action installs the version that it pins" {
  github
  sane_run -0 "$(<path)/amqprun" --version
  [[ $output == "amqprun $VERSION "* ]]
  PATH=$(<path):$PATH
  export GITHUB_SERVER_URL=https://github.example GITHUB_REPOSITORY=me/shop GITHUB_RUN_ID=47
  holds_lock https://github.example/me/shop/actions/runs/47 amqprun --mutex "$LOCK" -- sh under_lock
}

@test "GitHub: a cached archive is used without the network, and still checked" {
  github
  AMQPRUN_RELEASES=file:///nowhere github
  echo broken >>"tools/amqprun/$VERSION/amqprun_${VERSION}_linux_$(go env GOARCH).tar.gz"
  AMQPRUN_RELEASES=file:///nowhere sane_run ! github
  [[ $output == *"did NOT match"* ]]
  sane_run -0 github
}

@test "GitHub: a checksum that the caller names has to match" {
  sane_run ! github sha256=0000000000000000000000000000000000000000000000000000000000000000
  [[ ! -e tools/amqprun/$VERSION/amqprun && ! -s path ]]
  sane_run -0 github sha256="$(cut -d' ' -f1 "$BATS_FILE_TMPDIR/releases/v$VERSION/checksums.txt")"
}

@test "GitLab: a job that extends the hidden job has amqprun" {
  export CI_PROJECT_DIR=$PWD CI_JOB_URL=https://gitlab.example/me/shop/-/jobs/47
  "$BATS_TEST_DIRNAME/extract" "$ROOT/ci/gitlab/templates/amqprun.yml" >job.sh
  # shellcheck disable=SC2016 # for the job
  echo 'amqprun --mutex "$LOCK" -- sh under_lock' >>job.sh
  holds_lock "$CI_JOB_URL" sh -e job.sh
  rm held looked
  AMQPRUN_RELEASES=file:///nowhere holds_lock "$CI_JOB_URL" bash -eo pipefail job.sh
}

@test "jobs that install at the same time in one folder do not disturb one another" {
  # shellcheck disable=SC2016 # for the jobs
  local job='folder=$("$1/ci/install" 2>/dev/null) && exec "$folder/amqprun" --version' i
  for i in {1..40}; do
    sh -c "$job" - "$ROOT" >"$i" || echo "$i" >>failed &
  done
  wait
  sort -u -- [0-9]* | grep -c '' | grep -x 1
  [[ ! -e failed ]]
}

@test "GitLab: a failed installation fails the job" {
  export CI_PROJECT_DIR=$PWD
  "$BATS_TEST_DIRNAME/extract" "$ROOT/ci/gitlab/templates/amqprun.yml" version=9.9.9 >job.sh
  echo 'touch ran' >>job.sh
  sane_run ! bash -eo pipefail job.sh
  [[ ! -e ran ]]
}

jenkins() { # OPTIONS COMMAND
  groovy "$BATS_TEST_DIRNAME/jenkins.groovy" "$ROOT/ci/jenkins/vars/amqprun.groovy" "$@"
}
export_jenkins() { export -f jenkins && export BATS_TEST_DIRNAME ROOT; }

@test "Jenkins: the step runs a command under the lock" {
  export BUILD_URL=https://jenkins.example/job/shop/47/ JENKINS_URL=https://jenkins.example/
  export_jenkins
  # shellcheck disable=SC2016 # for the step
  holds_lock "$BUILD_URL" bash -c 'jenkins "--mutex \"\$LOCK\" -w 1m" "sh under_lock && echo \"it'\''s done\" >last"'
  [[ $(<last) == "it's done" ]]
}

@test "Jenkins: the step ends with the status of the command" {
  sane_run -7 jenkins "--mutex $LOCK" 'exit 7'
  AMQPRUN_VERSION=9.9.9 sane_run ! jenkins "--mutex $LOCK" 'touch ran'
  [[ ! -e ran ]]
}

# The agent sources a hook from a file of its own.
buildkite() { # COMMAND
  export BUILDKITE=true BUILDKITE_COMMAND=$1
  bash -c '. "$1"' - "$ROOT/ci/buildkite/amqprun/hooks/command"
}

@test "Buildkite: the hook runs the command of the step under the lock" {
  export BUILDKITE_BUILD_URL=https://buildkite.example/me/shop/builds/47 BUILDKITE_JOB_ID=0190
  export BUILDKITE_PLUGIN_AMQPRUN_MUTEX=$LOCK BUILDKITE_PLUGIN_AMQPRUN_WAIT=1m
  export -f buildkite
  export ROOT
  holds_lock "$BUILDKITE_BUILD_URL#0190" bash -c 'buildkite "sh under_lock
echo second line >last"'
  [[ -s last ]]
  sane_run -7 buildkite 'exit 7'
}

@test "Buildkite: slots of a semaphore" {
  export BUILDKITE_PLUGIN_AMQPRUN_SEMAPHORE=$LOCK BUILDKITE_PLUGIN_AMQPRUN_SLOTS=2
  # shellcheck disable=SC2016 # for the hook
  sane_run -0 buildkite 'echo "slot $AMQPRUN_SLOT"'
  [[ $output == *"slot "[12] ]]
  "$ROOT/bin/amqprun" destroy --semaphore "$LOCK"
}

@test "Buildkite: plugin.yml accepts what the hook reads, and nothing else" {
  cat >check.py <<'END'
import sys, yaml, jsonschema
schema = yaml.safe_load(open(sys.argv[1]))["configuration"]
jsonschema.Draft7Validator.check_schema(schema)
jsonschema.validate(yaml.safe_load(sys.argv[2]), schema)
END
  valid() { /usr/bin/python3 check.py "$ROOT/ci/buildkite/amqprun/plugin.yml" "$1"; }
  sane_run -0 valid '{mutex: deploy, wait: 30m, version: 1.2.3, sha256: abc}'
  sane_run -0 valid '{semaphore: builds, slots: 4}'
  sane_run ! valid '{mutex: deploy, semaphore: builds}'
  sane_run ! valid '{wait: 30m}'
  sane_run ! valid '{mutex: deploy, timeout: 30m}'
}

@test "the components pin the version of main.go" {
  local file
  for file in .github/actions/setup/action.yml ci/gitlab/templates/amqprun.yml; do
    grep -qx " *default: $VERSION" "$ROOT/$file"
  done
  grep -qF "AMQPRUN_VERSION:-$VERSION}" "$ROOT/ci/install"
}

@test "GitLab's and Jenkins' components hold the text of ci/install" {
  sed -n '/^set -eu$/,$p' "$ROOT/ci/install" >want
  sed -n 's/^        //p' "$ROOT/ci/gitlab/templates/amqprun.yml" >gitlab
  diff want gitlab
  # Groovy takes a backslash for the beginning of an escape.
  sed -n '/^set -eu$/,/^)$/p' "$ROOT/ci/jenkins/vars/amqprun.groovy" | sed -e '/^)$/d' -e 's/\\\\/\\/g' >jenkins
  diff want jenkins
}

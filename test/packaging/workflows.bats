# The workflows: the shell of the release's steps runs here, with programs that only write down how they
# were called.
# shellcheck shell=bash
# shellcheck disable=SC2030,SC2031 # a test is a subshell
load ../bats/helpers

# A clone with these tags, the last of which is released. Its scripts and make are stubs.
setup() {
  cd "$BATS_TEST_TMPDIR" || return
  mkdir bin scripts
  local name
  # shellcheck disable=SC2016 # for the stubs
  for name in bin/make bin/buildah scripts/install-tools scripts/image; do
    printf '#!/bin/sh\necho "${0##*/} $*" >>"$CALLS"\n' >"$name"
  done
  echo 'echo sha256:47' >>scripts/image
  echo 'cat >token' >>bin/buildah
  chmod +x bin/* scripts/*
  git init --quiet
  export CALLS=$PWD/calls GITHUB_OUTPUT=$PWD/output GITHUB_ACTOR=me PATH=$PWD/bin:$PATH
}

release() { # TAG...
  echo "var version = \"${*: -1}\"" | sed 's/"v/"/' >main.go
  git add main.go
  git -c user.name=me -c user.email=me@example.com commit --quiet --message release
  printf '%s\n' "$@" | xargs -n 1 git tag
  GITHUB_REF_NAME=${*: -1} bash -e <("$BATS_TEST_DIRNAME/extract" "$ROOT/.github/workflows/release.yml" \
    secrets.GITHUB_TOKEN=secret)
}

pushed() { # TAG-OF-IMAGE...
  local want
  want="image$(printf ' docker://ghcr.io/amqprun/amqprun:%s' "$@")"
  diff <(grep '^image' calls) <(echo "$want")
}

@test "a release is the latest image" {
  release v0.1.0 v0.9.0 v0.10.0-rc.1 v0.10.0
  pushed 0.10.0 latest
  [[ $(<calls) == $'make release\ninstall-tools buildah\nbuildah login --username me --password-stdin ghcr.io\n'* ]]
  [[ $(<token) == secret && $(<output) == digest=sha256:47 ]]
}

@test "a pre-release is not the latest image" {
  release v0.1.0 v0.2.0-rc.1
  pushed 0.2.0-rc.1
}

@test "the first pre-release is not the latest image" {
  release v0.1.0-rc.1
  pushed 0.1.0-rc.1
}

@test "a repair of an older release is not the latest image" {
  release v0.2.0 v0.1.1
  pushed 0.1.1
}

@test "a tag that is not the version of main.go is not released" {
  sane_run -0 release v0.1.0
  git tag v0.3.0
  rm calls
  GITHUB_REF_NAME=v0.3.0 sane_run -1 bash -e <("$BATS_TEST_DIRNAME/extract" \
    "$ROOT/.github/workflows/release.yml" secrets.GITHUB_TOKEN=secret)
  [[ ! -e calls ]]
}

@test "the steps of the ci workflow are targets and scripts that there are" {
  local step steps=0
  while read -r step; do
    steps=$((steps + 1))
    case $step in
      make\ *) PATH=${PATH#"$PWD/bin:"} make -C "$ROOT" -n "${step#make }" >/dev/null ;;
      git\ * | amqprun\ *) ;;
      *) [[ -x $ROOT/${step%% *} ]] ;;
    esac || { echo "no such step: $step" && return 1; }
  done < <("$BATS_TEST_DIRNAME/extract" "$ROOT/.github/workflows/ci.yml" github.workspace=/w |
    sed -n "s/^bash -ec '\{0,1\}\([^']*\).*/\1/p")
  ((steps > 8))
}

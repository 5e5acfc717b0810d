# The container image, as make image leaves it in dist/image.tar.
# shellcheck shell=bash
# shellcheck disable=SC2154 # the helpers set bg_pid
load ../bats/helpers

setup_file() {
  export IMAGE=$BATS_FILE_TMPDIR/image
  mkdir "$IMAGE"
  tar -xf "$BATS_TEST_DIRNAME/../../dist/image.tar" -C "$IMAGE"
}

blob() { cat "$IMAGE/blobs/${1/://}"; } # DIGEST

# Writes the only layer of the image for a processor to standard output.
layer() { # PROCESSOR
  local manifest
  manifest=$(blob "$(jq -r '.manifests[0].digest' "$IMAGE/index.json")" |
    jq -r --arg it "$1" '.manifests[] | select(.platform.architecture == $it).digest')
  blob "$(blob "$manifest" | jq -er '.layers | if length == 1 then .[0].digest else error("layers") end')"
}

@test "the image holds one static file for each processor" {
  local processor machine
  for processor in amd64:X86-64 arm64:AArch64; do
    machine=${processor#*:} processor=${processor%:*}
    layer "$processor" | tar -xz
    [[ $(layer "$processor" | tar -tz) == amqprun ]]
    readelf --file-header amqprun | grep -E "Machine: .*$machine"
    sane_run ! grep -a ld-linux amqprun # static: it names no loader
    rm amqprun
  done
}

# runc runs with the old hierarchy of control groups too. crun needs none, but only without the old one.
podman_rootless() { # ARGUMENT-OF-PODMAN-RUN...
  local as_nobody=() engine=(--runtime runc) groups=()
  if [[ $(stat -fc %T /sys/fs/cgroup) == cgroup2fs ]]; then
    engine=(--runtime crun) groups=(--cgroups disabled)
  fi
  if ((EUID == 0)); then
    chown nobody "$PWD"
    as_nobody=(setpriv --reuid nobody --regid nogroup --clear-groups)
  fi
  exec "${as_nobody[@]}" env HOME="$PWD" XDG_RUNTIME_DIR="$PWD" podman --log-level error \
    --storage-driver vfs --root "$PWD/storage" --runroot "$PWD/run" --cgroup-manager cgroupfs \
    "${engine[@]}" run --rm --network host --user 0:0 "${groups[@]}" "$@"
}

mutex_is_held() { # NAME
  sane_run -75 "$ROOT/bin/amqprun" check --mutex "$1"
}

# The image has no other program, so amqprun runs itself: it waits for a second lock, which the test has.
@test "a container without root holds a lock" {
  requires_broker
  export AMQPRUN_URL
  chmod a+rx "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR"/* "$BATS_TEST_TMPDIR"
  cp "$ROOT/dist/image.tar" . && chmod a+r image.tar
  start_bg amqprun --mutex "$LOCK-second" -- sh -c 'until [ -e let_go ]; do sleep 0.1; done'
  wait_until 10 mutex_is_held "$LOCK-second"
  start_bg bash -c "$(declare -f podman_rootless); podman_rootless \"\$@\"" - -e AMQPRUN_URL \
    "oci-archive:$PWD/image.tar" --mutex "$LOCK" -- /amqprun --mutex "$LOCK-second" -- /amqprun --version
  wait_until 30 mutex_is_held "$LOCK" || { cat bg.2.err && false; }
  touch let_go
  wait_bg 30 "$bg_pid"
  cat bg.2.err
  ((status == 0))
  [[ $(<bg.2.out) == "amqprun $(sed -n 's/^var version = "\(.*\)"$/\1/p' "$ROOT/main.go") "* ]]
}

@test "two builds of a commit have one digest" {
  sane_run -0 "$ROOT/scripts/image" "oci-archive:$PWD/again.tar"
  [[ $(tar -xOf again.tar index.json | jq -r '.manifests[0].digest') == "$(jq -r '.manifests[0].digest' "$IMAGE/index.json")" ]]
}

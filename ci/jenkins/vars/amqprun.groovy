// A step that installs amqprun on the agent and runs a shell command under a lock:
//
//     amqprun('--mutex deploy -w 30m', 'make deploy')
//
// The shell expands variables in the options. AMQPRUN_VERSION, AMQPRUN_SHA256, AMQPRUN_FOLDER and
// AMQPRUN_RELEASES in the environment mean what they mean in ci/install.
def call(String options, String command) {
  String quoted = "'" + command.replace("'", "'\\''") + "'"
  sh(install() + 'PATH="$folder:$PATH" exec amqprun ' + options + ' -- sh -ec ' + quoted)
}

private String install() {
  return '''
folder=$(
set -eu
version=${AMQPRUN_VERSION:-0.1.0}
releases=${AMQPRUN_RELEASES:-https://github.com/amqprun/amqprun/releases/download}
folder=${AMQPRUN_FOLDER:-$HOME/.cache/amqprun}/$version
case $(uname -m) in
  x86_64 | amd64) processor=amd64 ;;
  aarch64 | arm64) processor=arm64 ;;
  armv7*) processor=armv7 ;;
  *) echo "amqprun: error: no release for $(uname -m)" >&2 && exit 69 ;;
esac
archive=amqprun_${version}_$(uname -s | tr '[:upper:]' '[:lower:]')_$processor.tar.gz
fetch() {
  [ ! -e "$1" ] || return 0
  if command -v curl >/dev/null; then
    curl -fsSL --retry 3 -o "$1.$$" "$releases/v$version/$1"
  else
    wget -qO "$1.$$" "$releases/v$version/$1"
  fi
  mv "$1.$$" "$1"
}
mkdir -p "$folder"
cd "$folder"
fetch "$archive"
sum=${AMQPRUN_SHA256:-}
if [ -z "$sum" ]; then
  fetch checksums.txt
  sum=$(sed -n "s/ *$archive\\$//p" checksums.txt)
fi
check='sha256sum -c'
command -v sha256sum >/dev/null || check='shasum -a 256 -c'
echo "$sum  $archive" | $check >&2 || { rm -f "$archive" checksums.txt && exit 69; }
tar -xzOf "$archive" amqprun >"amqprun.$$"
chmod 755 "amqprun.$$"
mv "amqprun.$$" amqprun # in one step, because another job may run it
echo "$folder"
)
'''
}

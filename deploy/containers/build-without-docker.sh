#!/bin/bash
# Builds the image where there is neither Docker nor a registry of images, and lets it speak: debootstrap
# makes the base image, buildah runs the Dockerfile's own steps. On Debian, as root, in a checkout:
#
#   apt-get install debootstrap buildah
#   deploy/containers/build-without-docker.sh [FOLDER] [DOCKERFILE]
#
# FOLDER (default: a new one in /var/tmp; needs 3 GB, for Dockerfile.cuda 40 GB) keeps the image, in
# storage/, and what it said, in data/hello.wav. From the environment:
#   ISOLATION=chroot         of the build; `oci` needs a runtime such as runc
#   PORT=8765                of the server that speaks, on 127.0.0.1
#   PIP_CERT, PIP_INDEX_URL  as pip's, for a network with certificates or a mirror of its own
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(realpath "${1:-$(mktemp --directory /var/tmp/duplex-tts.XXXXXX)}")
dockerfile=$(basename "${2:-Dockerfile}")
image=localhost/duplex-tts${dockerfile#Dockerfile}
image=${image/./-}
suite=bookworm
base=localhost/debian:$suite-slim
port=${PORT:-8765}
most_mb=700 # of the CPU image

main() {
  mkdir -p "$work/data" "$work/root"
  has_image "$base" || make_base
  build
  container=$(buildah from "$image")
  root=$(buildah mount "$container")
  trap clean EXIT
  chown 10001:0 "$work/data"
  check_size
  check_speech
  echo "built $image, in $work/storage; its words: $work/data/hello.wav"
}

buildah() {
  command buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

has_image() {
  buildah inspect --type image "$1" >/dev/null 2>&1
}

# As Debian's own slim images: without manuals and translations.
make_base() {
  local tree=$work/$suite container
  debootstrap --variant=minbase "$suite" "$tree" >"$work/debootstrap.log"
  umount --quiet "$tree/proc" "$tree/sys" || true # left over where debootstrap may not unmount
  local share=$tree/usr/share
  printf 'path-exclude %s\n' '/usr/share/'{doc,info,locale,man}'/*' >"$tree/etc/dpkg/dpkg.cfg.d/slim"
  echo 'path-include /usr/share/doc/*/copyright' >>"$tree/etc/dpkg/dpkg.cfg.d/slim"
  find "$share/doc" ! -type d ! -name copyright -delete
  rm -rf "$share"/{info,locale,man}/* "$tree"/var/{lib/apt/lists,cache/apt,log}/*
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$tree" / >/dev/null
  buildah commit --quiet --rm "$container" "$base" >/dev/null
  rm -rf --one-file-system "$tree"
}

build() {
  local options=(--build-arg "BASE=$base")
  if [ -n "${PIP_INDEX_URL:-}" ]; then options+=(--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL"); fi
  if [ -n "${PIP_CERT:-}" ]; then
    options+=(--volume "$PIP_CERT:/run/pip.crt:ro" --build-arg PIP_CERT=/run/pip.crt)
  fi
  # The Docker format keeps HEALTHCHECK.
  buildah build --isolation "${ISOLATION:-chroot}" --ulimit "nofile=$(ulimit -Hn)" --format docker \
    --layers=false "${options[@]}" --file "deploy/containers/$dockerfile" --tag "$image" .
}

check_size() {
  local megabytes
  megabytes=$(du --summarize --one-file-system --block-size=1MB "$root" | cut --fields=1)
  echo "the image takes $megabytes MB; of it:"
  du --block-size=1MB --max-depth=1 "$root"/opt/duplex-tts/lib/python3*/site-packages |
    sort --numeric --reverse | sed --quiet '1,12s/\t.*\//\t/p'
  [ "$dockerfile" != Dockerfile ] || [ "$megabytes" -le "$most_mb" ] || fail "more than $most_mb MB"
}

# Runs a command in the image's root as a container would: processes and mounts of its own, nothing
# writable but /data and /tmp, no root.
enter() {
  local settings
  readarray -t settings < <(
    buildah inspect --type image --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$image"
  )
  unshare --mount --pid --fork --kill-child -- bash -c '
    set -e; root=$1 data=$2; shift 2
    mount --bind "$0" "$root"; mount -o remount,bind,ro "$root"
    mount --bind "$data" "$root/data"; mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"; mount -t proc proc "$root/proc"
    exec chroot --userspec=10001:0 "$root" setpriv --no-new-privs env --ignore-environment "$@"
  ' "$root" "$work/root" "$work/data" --chdir=/data "${settings[@]}" \
    DUPLEX_TTS_SERVER__HOST=127.0.0.1 DUPLEX_TTS_SERVER__DRAIN_TIMEOUT=30 \
    "DUPLEX_TTS_SERVER__PORT=$port" "$@"
}

check_speech() {
  local url=http://127.0.0.1:$port status=0
  enter duplex-tts serve >"$work/server.log" 2>&1 &
  server=$!
  wait_until_healthy
  local say=(duplex-tts say --url "$url")
  if enter "${say[@]}" -o refused.wav Hello 2>/dev/null; then fail "it speaks without a key"; fi
  if enter touch /opt/written 2>/dev/null; then fail "its root can be written"; fi
  say+=(--key "$(cat "$work/data/duplex-tts/lan.key")")
  enter "${say[@]}" -o hello.wav "Hello from the container."
  # Stopped while a text is written: all of it is spoken, then the server ends by itself.
  for word in These words are written slowly and heard to the end; do
    printf '%s ' "$word" && sleep 0.4
  done | enter "${say[@]}" -o stopped.wav &
  local speaking=$!
  until [ "$(grep --count context.opened "$work/server.log")" = 2 ]; do sleep 0.1; done
  kill -TERM "$(innermost_child "$server")"
  wait "$speaking" || fail "the text was cut off"
  wait "$server" || status=$?
  [ "$status" = 0 ] || fail "the server ended with status $status"
  echo "it speaks, refuses clients without a key, and ends when asked"
}

# The process that is the first one inside of `enter`.
innermost_child() {
  local process=$1 child
  while child=$(pgrep --parent "$process"); do process=$child; done
  echo "$process"
}

wait_until_healthy() {
  local check
  check=$(buildah inspect --type image --format '{{index .Docker.Config.Healthcheck.Test 3}}' "$image")
  for _ in $(seq 60); do
    kill -0 "$server" 2>/dev/null || fail "the server ended"
    if enter python -c "$check" 2>/dev/null; then return; fi
    sleep 1
  done
  fail "the server is not healthy"
}

clean() {
  if [ -n "${server:-}" ]; then kill "$server" 2>/dev/null || true; fi
  buildah rm "$container" >/dev/null
}

fail() {
  tail --lines=20 "$work/server.log" >&2 2>/dev/null || true
  echo "build-without-docker: $1; log: $work/server.log" >&2
  exit 1
}

main

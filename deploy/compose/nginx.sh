#!/usr/bin/env bash
# nginx in a container of its own, whose config another container writes: a change of CONFIG's folder is taken up with
# `nginx -s reload` within a second or two, once nginx finds it valid. Connections stay open; an invalid config changes nothing.
#
#   nginx.sh CONFIG FOLDER     FOLDER holds the pid and temporary files
set -euo pipefail

config=$1
folder=$2
mkdir -p "$folder"
# Started by root, which no container of ours is, the workers would be a user who may not open the sockets.
user=
[ "$(id -u)" -ne 0 ] || user=" user root;"
nginx=(nginx -e stderr -p "$folder" -c "$config")

state() { find "$(dirname "$config")" -type f -name '*.conf' -exec cksum {} + | sort; }

watch() {
  local now
  # It ends with nginx, which takes the place of this shell.
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    now=$(state) || continue
    [ "$now" = "$seen" ] && continue
    seen=$now
    # What is wrong, nginx says on standard error.
    "${nginx[@]}" -t -q && "${nginx[@]}" -s reload || true
  done
}

seen=$(state)
"${nginx[@]}" -t -q
watch &
exec "${nginx[@]}" -g "daemon off;$user"

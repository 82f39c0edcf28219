#!/usr/bin/env bash
# nginx in a container of its own, whose config another container writes: a change of a file `*.conf` in CONFIG's folder or below, where the
# service keeps the routes of the apps, is taken up with `nginx -s reload` within a second or two, once nginx finds all of it valid.
# Connections stay open; an invalid config changes nothing, and is tried again every 5 s: a name that leads nowhere may lead somewhere by then.
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
  local now again=
  # It ends with nginx, which takes the place of this shell.
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    now=$(state) || continue
    [ "$now" != "$seen" ] || { [ -n "$again" ] && [ "$SECONDS" -ge "$again" ]; } || continue
    seen=$now
    # What is wrong, nginx says on standard error.
    if "${nginx[@]}" -t -q && "${nginx[@]}" -s reload; then again=; else again=$((SECONDS + 5)); fi
  done
}

seen=$(state)
"${nginx[@]}" -t -q
watch &
exec "${nginx[@]}" -g "daemon off;$user"

#!/usr/bin/env bash
# Makes the secrets of docker-compose.yml, each in a file of its own, in deploy/secrets/ or the folder named. `make secrets` calls it.
# What is there already stays as it is: the stores are sealed with it.
#
# The folder is for its owner alone. The files in it are readable for everybody who gets as far, because Compose mounts each by itself
# into containers whose users are not yours.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$here/../secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

# 256 random bits, in letters that need no escape in a URL or in a file of Redis.
draw() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
# put NAME TEXT
put() {
  [ -s "$1" ] && return
  printf '%s\n' "$2" >"$1"
  chmod 444 "$1"
  printf 'secrets: made %s\n' "$folder/$1"
}

printf '*\n' >.gitignore
put oidc_client_secret "$(draw)"
put session_secrets "$(draw)"
put redis_password "$(draw)"
put mariadb_root_password "$(draw)"
put mariadb_password "$(draw)"

# What follows holds one of the above.
redis=$(cat redis_password)
# Nobody comes in as `default`, who keeps all rights all the same: Redis reads its append-only file in that name, and with fewer rights
# drops what it reads. `health` may ask whether Redis lives, and nothing else.
put redis_users "user default off resetpass ~* &* +@all
user health on nopass resetkeys resetchannels -@all +ping
user tiergate on >$redis ~tiergate:* &* -@all +@read +@write +@scripting +@connection +role +wait"
put redis_url "redis://tiergate:$redis@redis:6379/0"
put directory_url "mysql://tiergate:$(cat mariadb_password)@mariadb:3306/tiergate"

# docker-compose.yml asks for this file, so that whoever has not been here reads its name in the error.
printf '# Nothing stands in here. It is there when the secrets are.\n' >run-make-secrets-first

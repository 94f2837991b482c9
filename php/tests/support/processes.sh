# Sourced by the runners: provides a scratch folder, the misbehaving server and the real one, and stops them at exit.
# Requires $here (php/tests) and $server (the path of sharedanced).

scratch=$(mktemp -d)
chmod 755 "$scratch"
started=()
on_exit() {
  local pid
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$scratch"
}
trap on_exit EXIT

# until_true SECONDS COMMAND...: polls it
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" 2>/dev/null; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.05
  done
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }

skipped() {
  local n
  n=$(grep -c '^skipped' "$1" || true)
  [ "$n" -eq 0 ] || echo ", $n skipped"
}

# make_certificate PATH: PATH.pem and PATH.key, for localhost
make_certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$1.key" -out "$1.pem" 2>/dev/null
}

# make_client_certificate PATH AUTHORITY: PATH.pem and PATH.key, signed by make_certificate AUTHORITY
make_client_certificate() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=web -keyout "$1.key" -out "$1.csr" 2>/dev/null
  printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n' >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.pem" 2>/dev/null
}

start_mock() {
  mkfifo "$scratch/mock.in"
  python3 "$here/support/mock.py" "$scratch" <"$scratch/mock.in" >"$scratch/mock.out" &
  started+=($!)
  exec 8>"$scratch/mock.in" # the mock ends when this does
  until_true 60 grep -q control= "$scratch/mock.out"
  local word
  for word in $(cat "$scratch/mock.out"); do export "MOCK_$(tr a-z A-Z <<<"${word%%=*}")=${word#*=}"; done
  export MOCK_FOLDER=$scratch
}

# start_server [OPTION...]: sets server_pid and SERVER_PORT; a restart uses the same port and directory
start_server() {
  [ -x "$server" ] || { echo "no server at $server: cargo build --release, or --server PATH" >&2; exit 2; }
  export SERVER_PORT=${SERVER_PORT:-$(free_port)}
  mkdir -p -m 700 "$scratch/store"
  "$server" --ip=127.0.0.1 --port="$SERVER_PORT" --directory="$scratch/store" "$@" >>"$scratch/server.log" 2>&1 &
  server_pid=$!
  started+=($server_pid)
  until_true 60 listens "$SERVER_PORT" || { echo "the server does not start:" >&2; cat "$scratch/server.log" >&2; exit 1; }
}

# start_secured_server: another server, which requires the user "web" with the password "right horse": SECURED_PORT in
# clear, SECURED_TLS with a client certificate (SECURED_CERT.pem, .key), and the unix socket SECURED_SOCKET
start_secured_server() {
  export SECURED_PORT SECURED_TLS SECURED_SOCKET=$scratch/secured.sock SECURED_CERT=$scratch/client
  SECURED_PORT=$(free_port)
  SECURED_TLS=$(free_port)
  make_client_certificate "$SECURED_CERT" "$scratch/tls"
  mkdir -m 700 "$scratch/secured"
  (umask 077 && printf 'web:right horse\ncounter:count:admin\n' >"$scratch/users")
  chmod 600 "$scratch/tls.key"
  "$server" --listen="tcp:127.0.0.1:$SECURED_PORT" --listen="tls:127.0.0.1:$SECURED_TLS" --listen="unix:$SECURED_SOCKET" \
    --tls-cert="$scratch/tls.pem" --tls-key="$scratch/tls.key" --tls-client-ca="$scratch/tls.pem" \
    --auth-file="$scratch/users" --directory="$scratch/secured" >>"$scratch/secured.log" 2>&1 &
  started+=($!)
  until_true 60 listens "$SECURED_TLS" || { echo "the server does not start:" >&2; cat "$scratch/secured.log" >&2; exit 1; }
}

# Sourced by the runners after processes.sh: starts web servers. Requires $fpm, the command of php-fpm; if it is empty,
# the newest one is used.

PATH=$PATH:/usr/sbin:/sbin
[ -n "$fpm" ] || fpm=$(compgen -c php-fpm | sort -V | tail -1)
for needed in curl python3 nginx; do
  command -v $needed >/dev/null || { echo "the test needs $needed" >&2; exit 2; }
done
[ -n "$fpm" ] || { echo "the test needs php-fpm" >&2; exit 2; }

# start_nginx NAME FOLDER INI...: nginx and a php-fpm of its own, with a copy of FOLDER as its pages and INI (name=value)
# as its settings. Sets the variable NAME to its URL, and logs to $scratch/NAME.
start_nginx() {
  local name=$1 pages=$2 port option own=$scratch/$1
  shift 2
  port=$(free_port)
  mkdir -p "$own/tmp" "$own/sessions"
  cp -r "$pages" "$own/www"
  {
    echo "[global]"
    echo "daemonize = no"
    echo "error_log = $own/fpm.log"
    echo "[www]"
    echo "user = $(id -un)"
    echo "group = $(id -gn)"
    echo "listen = $own/fpm.sock"
    echo "pm = static"
    echo "pm.max_children = ${FPM_CHILDREN:-8}"
    echo "env[SHAREDANCE_HOST] = 127.0.0.1"
    echo "env[SHAREDANCE_PORT] = $SERVER_PORT"
    [ -z "${LIBRARY-}" ] || echo "env[LIBRARY] = $LIBRARY"
    echo "php_admin_value[session.save_path] = $own/sessions"
    for option in "$@"; do
      # Pages may change session settings, so php_value sets them; it cannot set some of the others.
      if [[ $option == session.* ]]; then echo "php_value[${option%%=*}] = ${option#*=}"
      else echo "php_admin_value[${option%%=*}] = ${option#*=}"; fi
    done
  } >"$own/fpm.conf"
  $fpm --nodaemonize --allow-to-run-as-root --fpm-config "$own/fpm.conf" 2>>"$own/fpm.err" &
  started+=($!)
  # A setting in the query of a request (?locking=0) applies to that request.
  cat >"$own/nginx.conf" <<EON
daemon off;
pid $own/nginx.pid;
error_log $own/nginx.log;
$([ "$(id -u)" -ne 0 ] || echo "user $(id -un) $(id -gn);")
events { }
http {
  access_log off;
  client_body_temp_path $own/tmp;
  fastcgi_temp_path $own/tmp;
  proxy_temp_path $own/tmp;
  uwsgi_temp_path $own/tmp;
  scgi_temp_path $own/tmp;
  server {
    listen 127.0.0.1:$port;
    root $own/www;
    location ~ \\.php(/|\$) {
      fastcgi_split_path_info ^(.+\\.php)(/.*)\$;
      include /etc/nginx/fastcgi_params;
      fastcgi_param PATH_INFO \$fastcgi_path_info;
      fastcgi_param SCRIPT_FILENAME \$document_root\$fastcgi_script_name;
      fastcgi_param SHAREDANCE_LOCKING \$arg_locking if_not_empty;
      fastcgi_param SHAREDANCE_LOCK_TTL \$arg_lock_ttl if_not_empty;
      fastcgi_param GATES $scratch/gates;
      fastcgi_pass unix:$own/fpm.sock;
    }
  }
}
EON
  nginx -e "$own/nginx.log" -c "$own/nginx.conf" 2>>"$own/nginx.err" &
  started+=($!)
  until_true 60 test -S "$own/fpm.sock" || { cat "$own"/fpm.* >&2; exit 1; }
  until_true 60 listens "$port" || { cat "$own"/nginx.* >&2; exit 1; }
  eval "$name=http://127.0.0.1:$port"
}

#!/bin/sh
# Serve one app: shared/run.sh NAME PORT ENVIRONMENT COMMAND NOTE. The environment is a folder in .venv; the shell reads the
# command; the note is printed, if there is one.
# The secret comes from .env, unless the environment sets one, even an empty one.
set -eu
name=$1 port=$2 environment=$3 command=$4 note=${5-}
absolute() { # because the app runs in another folder
    case $1 in
        /*) printf %s "$1" ;;
        *) printf %s "$PWD/$1" ;;
    esac
}
export HOST="${HOST:-127.0.0.1}" PORT="${PORT:-$port}"

if [ -z "${SHARED_SECRET+set}${SHARED_SECRET_FILE:+set}" ]; then
    set -a
    . ./.env
    set +a
fi
case ${WEB_CONCURRENCY-1} in
    '' | 0* | *[!0-9]*)
        echo "WEB_CONCURRENCY is the number of worker processes: set it to 1 or more, or not at all." >&2
        exit 1
        ;;
esac
secret=${SHARED_SECRET-}
if [ -n "${SHARED_SECRET_FILE-}" ]; then
    SHARED_SECRET_FILE=$(absolute "$SHARED_SECRET_FILE")
    secret=$(cat "$SHARED_SECRET_FILE") || true
fi
if [ -n "${SHARED_SECRET_PREVIOUS_FILE-}" ]; then
    SHARED_SECRET_PREVIOUS_FILE=$(absolute "$SHARED_SECRET_PREVIOUS_FILE")
fi

case $HOST in
    *:*) url="http://[$HOST]:$PORT" ;;
    *) url="http://$HOST:$PORT" ;;
esac
quoted=$(printf %s "$secret" | sed "s/'/'\\\\''/g")
cat <<EOT
$name on $url. From another terminal: open, refused, granted:
curl -i '$url/healthz'
curl -i '$url/protected'
curl -i '$url/protected' -H '${SHARED_SECRET_HEADER:-X-Shared-Secret}: $quoted'
EOT
[ -z "$note" ] || echo "$note"

PATH=$PWD/.venv/$environment/bin:$PATH
cd "apps/$name"
eval "exec $command"

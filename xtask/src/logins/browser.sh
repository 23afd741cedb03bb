#!/bin/sh
# A person at a browser: opens the address, fills the login form in, goes where the browser is sent.
# LOGIN_FOLDER has the cookies and the password, which is no argument of any program.
set -eu
jar="$LOGIN_FOLDER/cookies-$LOGIN_USER"
web() { curl -sS --fail-with-body --max-time 60 --cacert "$LOGIN_CA" -L -c "$jar" -b "$jar" "$@"; }
page=$(web "$1")
field() { printf '%s' "$page" | sed -n "s/.*name=\"$1\" value=\"\([^\"]*\)\".*/\1/p" | sed 's/&amp;/\&/g'; }
web --data-urlencode "form=$(field form)" --data-urlencode "next=$(field next)" \
  --data-urlencode "client=$(field client)" --data-urlencode "login=$LOGIN_USER" \
  --data-urlencode "password@$LOGIN_FOLDER/password" "$LOGIN_ISSUER/login" >"$LOGIN_FOLDER/last-page"

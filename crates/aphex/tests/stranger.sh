#!/usr/bin/env bash
# What somebody with kubectl, curl and openssl does on a first day. Usage: stranger.sh APHEX KUBECTL EXAMPLES
set -euo pipefail
aphex=$1 kubectl=$2 examples=$3
export KUBECONFIG=$PWD/data/kubeconfig
up=
trap '[[ -n $up ]] && kill -9 "$up" 2>/dev/null || true' EXIT

fail() { echo "FAILED: $*" >&2; tail -20 up.log >&2 || true; exit 1; }
equal() { [[ $1 == "$2" ]] || fail "$3: wanted '$2', got '$1'"; }
start() {
  : >ready
  "$aphex" up --data-dir data --api-port 0 --gateway-port 0 --issuer-port 0 >ready 2>>up.log &
  up=$!
  for _ in $(seq 300); do grep -q 'Aphex is ready' ready && return; kill -0 $up 2>/dev/null || break; sleep 0.1; done
  fail "aphex up did not become ready"
}
binding() { "$kubectl" get repobinding hello-world -n platform-system -o "jsonpath={$1}"; }
runs() { "$kubectl" get pipelineruns -n hello-world -o name | wc -l; }
# post FILE EVENT DELIVERY [SIGNATURE]: prints the status code; the answer is in ./answer
post() {
  local signature=${4:-$(openssl dgst -sha256 -hmac "$secret" -hex <"$1" | sed 's/^.* //')}
  curl -sS -o answer -w '%{http_code}' -X POST "$url" -H 'Content-Type: application/json' -H "X-GitHub-Event: $2" \
    -H "X-GitHub-Delivery: $3" -H "X-Hub-Signature-256: sha256=$signature" --data-binary "@$1"
}
# The answer comes first, the run a moment later: every delivery must have its verdict before runs are counted.
settled() {
  for _ in $(seq 100); do
    "$kubectl" get deliveries -n org-acme-corp -o 'jsonpath={.items[*].status.phase}' | grep -qE 'Pending|Processing' || return 0
    sleep 0.1
  done
  fail "deliveries are still without a verdict"
}

start
"$kubectl" apply -f "$examples/organization.yaml" -f "$examples/repo-binding.yaml"
"$kubectl" wait --for=condition=Ready --timeout=60s -n platform-system organization/acme-corp repobinding/hello-world
url=$(binding .status.webhookURL) secret=$(binding .status.webhookSecret)
push=$examples/github-push.json

equal "$(post "$push" push 11111111-1111-4111-8111-111111111111)" 200 "a signed push"
grep -q '"eventListener":"github-listener"' answer || fail "the answer names the listener: $(cat answer)"
settled
equal "$(runs)" 1 "runs after a signed push"
run() { "$kubectl" get pipelineruns -n hello-world -o "jsonpath={.items[0].spec.params[?(@.name==\"$1\")].value}"; }
equal "$(run git-revision)" 6113728f27ae82c7b1a177c8d03f9e96e0adf246 "the revision pushed"
equal "$(run git-url)" https://github.com/Codertocat/Hello-World.git "the binding's own URL"

equal "$(post "$push" push 22222222-1111-4111-8111-111111111111 "$(printf '0%.0s' {1..64})")" 401 "a bad signature"
equal "$(cat answer)" '{"error":"Invalid webhook signature"}' "the answer to a bad signature"
sed 's#refs/heads/master#refs/heads/other#' "$push" >other.json
equal "$(post other.json push 33333333-1111-4111-8111-111111111111)" 200 "a push to another branch"
equal "$(post "$push" issues 44444444-1111-4111-8111-111111111111)" 200 "another event"
equal "$(post "$push" push 11111111-1111-4111-8111-111111111111)" 200 "a redelivery"
settled
equal "$(runs)" 1 "runs after events that are not wanted"

kill -9 $up
wait $up 2>/dev/null || true
start
equal "$(runs)" 1 "runs after a kill and a new start"
equal "$(binding .status.phase)" Ready "the binding after a kill and a new start"

"$kubectl" delete --timeout=60s -f "$examples/repo-binding.yaml"
"$kubectl" delete --timeout=60s -f "$examples/organization.yaml"
left=$("$kubectl" get namespaces,clusterroles,clusterrolebindings,clustersecretstores,appprojects -A -o name | grep -E 'acme|hello' || true)
equal "$left" "" "what is left after deleting both"
kill -TERM $up
wait $up || fail "SIGTERM is not an orderly end"
up=

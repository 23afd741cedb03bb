#!/usr/bin/env bash
# A real kube-controller-manager with every controller it starts by itself, on an engine that runs no housekeeping.
# Usage: controller-manager.sh KUBECTL KUBE_CONTROLLER_MANAGER, with $KUBECONFIG; works in a folder of its own.
set -euo pipefail
kubectl=$1 manager=$2
pki=$(dirname "$KUBECONFIG")/pki
running=
trap '[[ -n $running ]] && kill "$running" 2>/dev/null || true' EXIT
k() { "$kubectl" -n work "$@"; }

fail() { echo "FAILED: $*" >&2; grep -E '^[EF]' manager.log | tail -20 >&2 || true; exit 1; }
equal() { [[ $1 == "$2" ]] || fail "$3: wanted '$2', got '$1'"; }
# becomes WANTED WHAT COMMAND...: asks until the answer is that one
becomes() {
  local wanted=$1 what=$2; shift 2
  for _ in $(seq 300); do got=$("$@" 2>&1 || true); [[ $got == "$wanted" ]] && return; sleep 0.1; done
  fail "$what: wanted '$wanted', got '$got'"
}

"$manager" --kubeconfig "$KUBECONFIG" --authentication-kubeconfig "$KUBECONFIG" --authorization-kubeconfig "$KUBECONFIG" \
  --authentication-skip-lookup --use-service-account-credentials --secure-port 0 --leader-elect-lease-duration 15s \
  --service-account-private-key-file "$pki/service-account.key" --root-ca-file "$pki/ca.crt" \
  --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" >manager.log 2>&1 &
running=$!

"$kubectl" create namespace work >/dev/null
becomes serviceaccount/default "the account of a namespace" k get serviceaccount default -o name
becomes configmap/kube-root-ca.crt "the CA of a namespace" k get configmap kube-root-ca.crt -o name
equal "$(k get configmap kube-root-ca.crt -o 'jsonpath={.data.ca\.crt}')" "$(cat "$pki/ca.crt")" "the CA"
equal "$("$kubectl" get componentstatus controller-manager -o 'jsonpath={.conditions[0].status}' 2>/dev/null)" True "its health"
echo "ok service accounts and certificates"

k create quota limits --hard=pods=5,configmaps=10 >/dev/null
becomes 0 "a quota's count" k get quota limits -o 'jsonpath={.status.used.pods}'
echo "ok resource quotas"

pods() { k get pods -l "$1" -o name | wc -l | tr -d ' '; }
k create deployment web --image=registry.example.com/web:1 --replicas=3 >/dev/null
becomes 3 "pods of a deployment" pods app=web
k scale deployment web --replicas=1 >/dev/null
becomes 1 "pods after scaling" pods app=web
k set image deployment/web web=registry.example.com/web:2 >/dev/null
becomes 2 "replica sets after a new image" bash -c "'$kubectl' -n work get replicasets -o name | wc -l | tr -d ' '"
becomes 2 "what the deployment observed" k get deployment web -o 'jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}'
echo "ok deployments"

k create job once --image=registry.example.com/job:1 >/dev/null
becomes 1 "pods of a job" pods job-name=once
pod=$(k get pods -l job-name=once -o name)
# What a kubelet would say.
k patch "$pod" --subresource=status -p '{"status":{"phase":"Succeeded","conditions":[{"type":"Ready","status":"False"}]}}' >/dev/null
becomes True "a job whose pod is done" k get job once -o 'jsonpath={.status.conditions[?(@.type=="Complete")].status}'
echo "ok jobs"

k delete deployment web --cascade=foreground --timeout=30s >/dev/null
equal "$(k get replicasets,pods -l app=web -o name)" "" "what a deployment leaves behind"
k create configmap owner >/dev/null
uid=$(k get configmap owner -o 'jsonpath={.metadata.uid}')
k create -f - >/dev/null <<EOF
{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "ownerReferences": [
  {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "$uid"}]}}
EOF
k delete configmap owner >/dev/null
becomes 'Error from server (NotFound): configmaps "owned" not found' "an owned object" k get configmap owned
"$kubectl" delete namespace work --timeout=60s >/dev/null
echo "ok garbage collection and namespaces"

# Lost races are part of the trade, and so is a pod that never got a node.
errors=$(grep -E '^[EF][0-9]' manager.log | grep -vE 'the object has been modified|"Failed to get node"|not found|StorageError: invalid object|because it is being terminated' || true)
equal "$errors" "" "errors in its log"
echo "ok its log"

#!/usr/bin/env bash
# A platform in real pods: what a stranger does, then what machines do to it. `cargo xtask e2e` raises the cluster for it.
# Usage: session.sh KUBECTL EXAMPLES GATEWAY_URL [tekton APHEX]   with $KUBECONFIG set; "tekton" says that Tekton is installed
# Needs bash, curl and openssl. Works in the current folder, which it fills.
set -euo pipefail
kubectl=$1 examples=$2 gateway=$3 tekton=${4:-} aphex=${5:-}
platform=platform-system organization=acme-corp tenant=hello-world
runner=system:serviceaccount:$tenant:pipeline-runner
forward=
trap '[[ -n $forward ]] && kill "$forward" 2>/dev/null || true' EXIT

k() { "$kubectl" "$@"; }
step() { printf '%(%H:%M:%S)T  %s\n' -1 "$*"; }
fail() {
  echo "FAILED: $*" >&2
  k get organizations,repobindings,deliveries,pipelineruns,pods -A >&2 || true
  for component in controller gateway; do k logs -n $platform -l app.kubernetes.io/component=$component --tail=20 --prefix >&2 || true; done
  exit 1
}
equal() { [[ $1 == "$2" ]] || fail "$3: wanted '$2', got '$1'"; }
# until SECONDS WHAT COMMAND...: asks until the command succeeds
until_true() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "in vain: $what"
    sleep 0.2
  done
}
status() { k get repobinding "$1" -n $platform -o "jsonpath={.status.$2}"; }
uuid() { cat /proc/sys/kernel/random/uuid; }
# post BASE_URL FILE DELIVERY SECRET [EVENT]: prints the status code; the answer is in ./answer
post() {
  local signature
  signature=$(openssl dgst -sha256 -hmac "$4" -hex <"$2" | sed 's/^.* //')
  curl -sS -m 20 -o answer -w '%{http_code}' -X POST "$1/$organization" -H 'Content-Type: application/json' \
    -H "X-GitHub-Event: ${5:-push}" -H "X-GitHub-Delivery: $3" -H "X-Hub-Signature-256: sha256=$signature" --data-binary "@$2"
}
runs() { k get pipelineruns -n "$1" -o name | wc -l; }
run_of() { k get pipelineruns -n "$1" -l "platform.aphex/event-id=$2" -o name; }
settled() {
  local phases
  phases=$(k get deliveries -n org-$organization -o 'jsonpath={range .items[*]}[{.status.phase}]{end}')
  [[ $phases != *Pending* && $phases != *Processing* && $phases != *'[]'* ]]
}
# forwarded NAMESPACE TARGET PORT COMMAND...: runs the command with $at set to an address that leads there
forwarded() {
  : >forward.log
  # Not through k: a function runs in a shell of its own, and ending that would leave kubectl behind.
  "$kubectl" port-forward -n "$1" "$2" ":$3" >forward.log 2>&1 &
  forward=$!
  until_true 20 "a way to $2" grep -q '^Forwarding from 127' forward.log
  at=http://127.0.0.1:$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\).*/\1/p;q' forward.log)
  shift 3
  "$@"
  kill $forward
  wait $forward 2>/dev/null || true
  forward=
}
forbidden() { # WHAT kubectl arguments...: must be refused by RBAC
  local what=$1
  shift
  if k "$@" >refusal 2>&1; then fail "$what was allowed"; fi
  grep -qi forbidden refusal || fail "$what ended otherwise than forbidden: $(cat refusal)"
}

step "the platform's pods are ready"
for component in controller gateway; do k rollout status -n $platform deployment/aphex-$component --timeout=180s >/dev/null; done

step "an organization and a binding"
sed 's#docker.io/library/busybox:1.37#localhost/busybox:1#' "$examples/repo-binding.yaml" >binding.yaml
k apply -f "$examples/organization.yaml" -f binding.yaml >/dev/null
k wait --for=condition=Ready --timeout=90s -n $platform organization/$organization repobinding/$tenant >/dev/null ||
  fail "not ready: $(k get organizations,repobindings -n $platform -o 'jsonpath={.items[*].status.message}')"
secret=$(status $tenant webhookSecret) push=$examples/github-push.json
equal "$(status $tenant webhookURL)" "$(k get configmap aphex-config -n $platform -o 'jsonpath={.data.APHEX_GATEWAY_URL}')/$organization" "the webhook URL"

step "a signed push becomes a run"
first=$(uuid)
equal "$(post "$gateway" "$push" "$first" "$secret")" 200 "a signed push"
has_run() { [[ -n $(run_of $tenant "$first") ]]; }
until_true 20 "the run of the push" has_run
run=$(run_of $tenant "$first")
equal "$(k get -n $tenant "$run" -o "jsonpath={.spec.params[?(@.name=='git-revision')].value}")" 6113728f27ae82c7b1a177c8d03f9e96e0adf246 "the revision"
if [[ -n $tekton ]]; then
  k wait -n $tenant --for=condition=Succeeded --timeout=180s "$run" >/dev/null || fail "the run: $(k get -n $tenant "$run" -o yaml)"
  said=$(k logs -n $tenant -l "tekton.dev/pipelineRun=${run#*/}" --all-containers)
  [[ $said == *"building 6113728f27ae82c7b1a177c8d03f9e96e0adf246"* ]] || fail "the pod did not see the revision: $said"

  step "the program shows what the run says, after it and while it runs"
  line="[greet : say] building 6113728f27ae82c7b1a177c8d03f9e96e0adf246"
  equal "$("$aphex" logs "${run#*/}" -n $tenant)" "$line" "the logs of the run"
  again=$("$aphex" run rerun "${run#*/}" -n $tenant -o 'jsonpath={.metadata.name}')
  equal "$(timeout 180 "$aphex" logs -f "$again" -n $tenant 2>follow.log)" "$line" "the logs of the same run, followed"
  grep -q "^run $again Succeeded" follow.log || fail "how the followed run ended: $(cat follow.log)"
  "$aphex" run delete "$again" -n $tenant --yes --wait >/dev/null
fi

step "a bad signature, and a redelivery to each replica"
equal "$(post "$gateway" "$push" "$(uuid)" wrong-secret)" 401 "a bad signature"
equal "$(cat answer)" '{"error":"Invalid webhook signature"}' "the answer to a bad signature"
replicas=$(k get pods -n $platform -l app.kubernetes.io/component=gateway -o name)
equal "$(wc -l <<<"$replicas")" 2 "replicas of the gateway"
redeliver() { equal "$(post "$at" "$push" "$first" "$secret")" 200 "a redelivery"; }
for replica in $replicas; do forwarded $platform "$replica" 8080 redeliver; done
until_true 30 "every delivery has a verdict" settled
equal "$(runs $tenant)" 1 "runs after redeliveries"

step "what confines the tenant holds for pods"
if [[ -n $tekton ]]; then
  limits=$(k get pods -n $tenant -l "tekton.dev/pipelineRun=${run#*/}" -o 'jsonpath={.items[0].spec.containers[0].resources.limits.memory}')
  equal "$limits" 512Mi "the run's memory limit, from the LimitRange"
fi
# pod NAME SECURITY: a pod as the runner would make it
pod() { printf '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{"containers":[{"name":"c","image":"localhost/busybox:1","securityContext":%s,"resources":%s}]}}' "$1" "$2" "${3:-{\}}"; }
pod privileged '{"privileged":true}' | k create -n $tenant --as=$runner -f - >refusal 2>&1 && fail "a privileged pod was admitted"
grep -q 'violates PodSecurity "baseline' refusal || fail "a privileged pod was refused otherwise: $(cat refusal)"
pod greedy '{}' '{"limits":{"cpu":"64","memory":"1Gi"}}' | k create -n $tenant --as=$runner -f - >refusal 2>&1 && fail "a pod beyond the quota was admitted"
grep -q 'exceeded quota: tenant-quota' refusal || fail "a pod beyond the quota was refused otherwise: $(cat refusal)"
k get networkpolicy -n $tenant tenant-isolation >/dev/null
k get networkpolicy -n org-$organization default-deny-ingress >/dev/null

step "the runner can do what its profile says and nothing else"
k auth can-i --list -n $tenant --as=$runner >rights
grep -Eq '^pipelineruns.tekton.dev +\[\] +\[\] +\[get list create\]' rights || fail "the runner's rights on runs: $(cat rights)"
if grep -Eq '\*\.\*|\[\*\]' rights; then fail "the runner has rights without bounds: $(cat rights)"; fi
k create configmap mine -n $tenant --as=$runner >/dev/null
forbidden "a runner reading the organization's secrets" get secrets -n org-$organization --as=$runner
forbidden "a runner reading the platform's secrets" get secrets -n $platform --as=$runner
forbidden "a runner writing to another namespace" create configmap theirs -n default --as=$runner
forbidden "a runner making a role" create role all -n $tenant --verb=get --resource=pods --as=$runner
forbidden "a runner changing its quota" delete resourcequota tenant-quota -n $tenant --as=$runner
forbidden "a runner changing its namespace" label namespace $tenant pod-security.kubernetes.io/enforce=privileged --overwrite --as=$runner
trigger=system:serviceaccount:org-$organization:$tenant-trigger
equal "$(k auth can-i create pipelineruns.tekton.dev -n $tenant --as=$trigger)" yes "the trigger may create runs"
forbidden "a trigger reading runs' secrets" get secrets -n $tenant --as=$trigger
gateway_account=system:serviceaccount:$platform:aphex-gateway
equal "$(k auth can-i impersonate serviceaccounts -n org-$organization --as=$gateway_account)" yes "the gateway acts as triggers"
equal "$(k auth can-i impersonate serviceaccounts -n kube-system --as=$gateway_account || true)" no "the gateway acts as nobody elsewhere"

if [[ -n $tekton ]]; then
  step "Tekton's own listener makes the same run of the same push"
  k wait --for=condition=Ready --timeout=120s -n org-$organization eventlistener/github-listener >/dev/null ||
    fail "Tekton's listener: $(k get eventlistener -n org-$organization github-listener -o yaml; k get events -n org-$organization)"
  k rollout status -n org-$organization deployment/el-github-listener --timeout=120s >/dev/null || fail "$(k get events -n org-$organization)"
  same=$(uuid)
  to_tekton() { equal "$(post "$at" "$push" "$same" "$secret")" 202 "a push to Tekton's own sink"; }
  forwarded org-$organization service/el-github-listener 8080 to_tekton
  two_runs() { (($(runs $tenant) == 2)); }
  until_true 60 "Tekton's run" two_runs
  params() { k get -n $tenant "$1" -o 'jsonpath={range .spec.params[*]}{.name}={.value}{"\n"}{end}{.spec.pipelineRef.name} {.spec.taskRunTemplate.serviceAccountName}' | grep -vE '^(event-id|triggered-at)='; }
  other=$(k get pipelineruns -n $tenant -o name | grep -v "^$run\$")
  equal "$(params "$other")" "$(params "$run")" "the run that Tekton makes"
fi

step "a gateway is killed under load: every push answered 200 has its run"
sed -e "s/hello-world/load/g; s/Hello-World/Load/" binding.yaml |
  sed '/taskSpec:/,$d' >load.yaml
# A task that does not exist: the runs are made, fail, and take no pods. They all stay, to be counted.
printf '          taskRef:\n            name: missing\n  retention: {keepFailed: 1000}\n' >>load.yaml
k apply -f load.yaml >/dev/null
k wait --for=condition=Ready --timeout=90s -n $platform repobinding/load >/dev/null
sed 's#Codertocat/Hello-World"#Codertocat/Load"#' "$push" >load.json
load_secret=$(status load webhookSecret)
# Senders push until the file `stop` is there; what they were answered goes to `answered`, the rest to `refused`.
sender() {
  local id code
  mkdir -p "$1"
  until [[ -e stop ]]; do
    id=$(uuid)
    code=$(cd "$1" && post "$gateway" ../load.json "$id" "$load_secret" 2>&1) || true
    if [[ $code == 200 ]]; then echo "$id" >>answered; else echo "$code" >>refused; fi
  done
}
# under_load COMMAND...: runs the command while four senders push
under_load() {
  local senders=() before number
  before=$(wc -l <answered)
  rm -f stop
  for number in 1 2 3 4; do
    sender "sender-$number" &
    senders+=($!)
  done
  more() { (($(wc -l <answered) > before + $1)); }
  until_true 60 "the load begins" more 20
  "$@"
  until_true 60 "the load goes on" more 60
  touch stop
  wait "${senders[@]}"
}
got() {
  k get pipelineruns -n load -o 'jsonpath={range .items[*]}{.metadata.labels.platform\.aphex/event-id}{"\n"}{end}' | sort >got
  [[ -z $(sort answered | comm -23 - got) ]]
}
: >answered
: >refused
kill_gateway() { k delete -n $platform "$(head -1 <<<"$replicas")" --grace-period=0 --force >/dev/null 2>&1; }
under_load kill_gateway
killed=$SECONDS
until_true 30 "every answered push has its run" got
equal "$(uniq -d got)" "" "events with two runs"
step "  $(wc -l <answered) answered, $(wc -l <refused) not; the last run $((SECONDS - killed)) s after the last push"
k rollout status -n $platform deployment/aphex-gateway --timeout=60s >/dev/null

step "the gateway is replaced under load: every push is answered"
restart() {
  k rollout restart -n $platform deployment/aphex-gateway >/dev/null
  k rollout status -n $platform deployment/aphex-gateway --timeout=120s >/dev/null
}
: >refused
under_load restart
equal "$(cat refused)" "" "answers during a roll-out other than 200"
until_true 30 "every answered push has its run" got
equal "$(uniq -d got)" "" "events with two runs"

step "the leading controller is killed while it provisions: another finishes"
names=$(seq -f 'many-%g' 6)
for name in $names; do sed -e "s/hello-world/$name/g; s/Hello-World/$name/" binding.yaml; echo ---; done >many.yaml
k apply -f many.yaml >/dev/null
leader=$(k get lease aphex-controller -n $platform -o 'jsonpath={.spec.holderIdentity}')
k delete pod -n $platform "${leader%_*}" --grace-period=0 --force >/dev/null 2>&1
began=$SECONDS
k wait --for=condition=Ready --timeout=120s -n $platform $(printf 'repobinding/%s ' $names) >/dev/null || fail "bindings were not finished"
step "  all ready $((SECONDS - began)) s after the kill"
[[ $(k get lease aphex-controller -n $platform -o 'jsonpath={.spec.holderIdentity}') != "$leader" ]] || fail "the Lease did not change hands"

step "everything is taken back"
k delete --timeout=240s -f many.yaml -f load.yaml -f binding.yaml >/dev/null
k delete --timeout=120s -f "$examples/organization.yaml" >/dev/null
left=$(k get namespaces,clusterroles,clusterrolebindings,clustersecretstores,appprojects -A -l platform.aphex/owner-name -o name)
equal "$left" "" "what is left"
left=$(k get namespaces -o name | grep -E "org-$organization|$tenant|load|many-" || true)
equal "$left" "" "namespaces that are left"
step "done"

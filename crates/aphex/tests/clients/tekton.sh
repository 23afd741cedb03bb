#!/usr/bin/env bash
# Tekton's own controller, and the event listener of Tekton Triggers, on objects that the engine keeps.
# Usage: tekton.sh KUBECTL PIPELINE_CONTROLLER SINK INTERCEPTORS PIPELINE TRIGGERS, the last two the modules' sources.
set -euo pipefail
kubectl=$1 controller=$2 sink=$3 interceptors=$4 pipeline=$5 triggers=$6
running=()
# Tekton's programs take their time to end, and never do once the engine is gone.
trap 'for p in ${running[@]+"${running[@]}"}; do kill -9 "$p" 2>/dev/null || true; done' EXIT
k() { "$kubectl" -n work "$@"; }

fail() { echo "FAILED: $*" >&2; tail -5 ./*.log >&2 || true; exit 1; }
becomes() {
  local wanted=$1 what=$2; shift 2
  for _ in $(seq 300); do got=$("$@" 2>&1 || true); [[ $got == "$wanted" ]] && return; sleep 0.1; done
  fail "$what: wanted '$wanted', got '$got'"
}
has() { grep -qE -- "$2" <<<"$1" || fail "$3: nothing like '$2' in: $1"; }

apply() { "$kubectl" apply --server-side --force-conflicts "$@" >/dev/null; }
apply -f "$pipeline/config/100-namespace" -f "$pipeline/config/300-crds"
apply $(printf -- '-f %s ' "$triggers"/config/300-*.yaml)
"$kubectl" wait --for=condition=Established crd --all --timeout=30s >/dev/null
for file in "$pipeline"/config/config-*.yaml "$triggers"/config/config-*.yaml; do sed -E 's/"?devel"?$/v0.0.0/' "$file"; echo; echo ---; done >settings.yaml
apply -f settings.yaml
echo "ok Tekton's own definitions"

export SYSTEM_NAMESPACE=tekton-pipelines KUBERNETES_MIN_VERSION=v1.28.0 METRICS_DOMAIN=tekton.dev/pipeline \
  CONFIG_DEFAULTS_NAME=config-defaults CONFIG_LOGGING_NAME=config-logging CONFIG_OBSERVABILITY_NAME=config-observability \
  CONFIG_FEATURE_FLAGS_NAME=feature-flags CONFIG_LEADERELECTION_NAME=config-leader-election-controller CONFIG_SPIRE=config-spire
METRICS_PROMETHEUS_PORT=0 "$controller" -kubeconfig "$KUBECONFIG" -entrypoint-image e.example.com/entrypoint:1 -nop-image e.example.com/nop:1 \
  -sidecarlogresults-image e.example.com/results:1 -workingdirinit-image e.example.com/workingdir:1 \
  -shell-image e.example.com/shell:1 -shell-image-win e.example.com/shell:2 >controller.log 2>&1 &
running+=($!)

"$kubectl" create namespace work >/dev/null
k apply -f - >/dev/null <<'EOF'
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: greet}
spec:
  params: [{name: who, type: string}]
  tasks:
  - name: hello
    params: [{name: who, value: $(params.who)}]
    taskSpec:
      params: [{name: who, type: string}]
      steps:
      - {name: say, image: e.example.com/shell:1, command: [echo, $(params.who)]}
  - name: bye
    runAfter: [hello]
    taskSpec:
      steps:
      - {name: say, image: e.example.com/shell:1, command: [echo, bye]}
---
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: first}
spec:
  pipelineRef: {name: greet}
  params: [{name: who, value: world}]
EOF
becomes taskrun.tekton.dev/first-hello "the first task's run" k get taskruns -o name
becomes pod/first-hello-pod "its pod" k get pods -o name
has "$(k get pod first-hello-pod -o 'jsonpath={.spec.containers[0].args}')" '"world"' "the parameter in the pod"
becomes Running "the run" k get pipelinerun first -o 'jsonpath={.status.conditions[0].reason}'
# What a kubelet would say when the step has ended well.
k patch pod first-hello-pod --subresource=status -p '{"status":{"phase":"Succeeded","containerStatuses":[{"name":"step-say","image":"x","imageID":"x","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]}}' >/dev/null
becomes Succeeded "the first task's run" k get taskrun first-hello -o 'jsonpath={.status.conditions[0].reason}'
becomes pod/first-bye-pod "the second task's pod" k get pod first-bye-pod -o name
echo "ok a PipelineRun down to its pods"

# Tekton's interceptors listen on a port of their choice, and make themselves a certificate for a service's name.
if (exec 3<>/dev/tcp/127.0.0.1/8443) 2>/dev/null; then fail "port 8443, which Tekton's interceptors want, is taken"; fi
k create secret generic hooks --from-literal=secret=swordfish >/dev/null
"$kubectl" -n tekton-pipelines create secret generic core-certs >/dev/null
k create serviceaccount listener >/dev/null
k create rolebinding listener --clusterrole=admin --serviceaccount=work:listener >/dev/null
k create -f - >/dev/null <<'EOF'
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: starter}
rules: [{apiGroups: [tekton.dev], resources: [pipelineruns], verbs: [create]}]
EOF
k create rolebinding starter --role=starter --serviceaccount=work:listener >/dev/null
for name in github cel; do
  apply -f - <<EOF
{"apiVersion": "triggers.tekton.dev/v1alpha1", "kind": "ClusterInterceptor",
 "metadata": {"name": "$name", "labels": {"server/type": "https"}}, "spec": {"clientConfig": {"url": "https://localhost:8443/$name"}}}
EOF
done
apply -n work -f - <<'EOF'
apiVersion: triggers.tekton.dev/v1beta1
kind: TriggerTemplate
metadata: {name: start}
spec:
  params: [{name: who}, {name: delivery}]
  resourcetemplates:
  - apiVersion: tekton.dev/v1
    kind: PipelineRun
    metadata: {name: from-$(tt.params.delivery)}
    spec:
      pipelineRef: {name: greet}
      params: [{name: who, value: $(tt.params.who)}]
---
apiVersion: triggers.tekton.dev/v1beta1
kind: EventListener
metadata: {name: hooks}
spec:
  serviceAccountName: listener
  triggers:
  - name: push
    interceptors:
    - ref: {name: github, kind: ClusterInterceptor}
      params:
      - {name: secretRef, value: {secretName: hooks, secretKey: secret}}
      - {name: eventTypes, value: [push]}
    - ref: {name: cel, kind: ClusterInterceptor}
      params:
      - {name: filter, value: body.ref == 'refs/heads/main'}
    bindings: [{name: who, value: $(body.pusher)}, {name: delivery, value: $(body.delivery)}]
    template: {ref: start}
EOF
INTERCEPTOR_TLS_SVC_NAME=localhost INTERCEPTOR_TLS_SECRET_NAME=core-certs "$interceptors" -kubeconfig "$KUBECONFIG" >interceptors.log 2>&1 &
running+=($!)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
NAMESPACE=work NAME=hooks K_SINK_TIMEOUT=30 EL_EVENT=disable METRICS_PROMETHEUS_PORT=0 "$sink" -kubeconfig "$KUBECONFIG" \
  -el-name hooks -el-namespace work -port "$port" >sink.log 2>&1 &
running+=($!)
becomes 200 "a live listener" curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/live"
becomes 200 "ready interceptors" curl -sk -o /dev/null -w '%{http_code}' https://localhost:8443/ready
push() { # DELIVERY REF SIGNED-WITH: prints the status
  printf '{"delivery": "%s", "ref": "%s", "pusher": "octocat"}' "$1" "$2" >push.json
  curl -s -o answer -w '%{http_code}' "http://127.0.0.1:$port/" -H 'Content-Type: application/json' -H 'X-GitHub-Event: push' \
    -H "X-Hub-Signature-256: sha256=$(openssl dgst -sha256 -hmac "$3" -hex <push.json | sed 's/^.* //')" --data-binary @push.json
}
becomes 202 "a push to another branch" push elsewhere refs/heads/other swordfish
becomes 202 "a push with a bad signature" push forged refs/heads/main wrong
becomes 202 "a push" push good refs/heads/main swordfish
becomes octocat "the run of the push" k get pipelinerun from-good -o 'jsonpath={.spec.params[0].value}'
becomes pod/from-good-hello-pod "its pod" k get pod from-good-hello-pod -o name
becomes 'pipelinerun.tekton.dev/first pipelinerun.tekton.dev/from-good' "runs" bash -c "'$kubectl' -n work get pipelineruns -o name | xargs"
echo "ok an EventListener with the github and cel interceptors"

# A binding with options: Tekton's own sink and ours make the same of the same events.
here=$(cd "$(dirname "$0")" && pwd)
examples=$here/../../../../examples payloads=$here/../../../aphex-gateway/tests/golden
apply -f "$examples/organization.yaml" -f "$examples/repo-binding-options.yaml"
p() { "$kubectl" -n platform-system "$@"; }
p wait --for=condition=Ready repobinding/hello-options --timeout=60s >/dev/null
hooks=$(p get repobinding hello-options -o 'jsonpath={.status.webhookURL}')
# Outside a pod Tekton's sink cannot act as a trigger's account, so it gets a copy without one.
copy() { # KIND NAME: an object of the organization, as one of this namespace
  "$kubectl" -n org-acme-corp get "$1" "$2" -o json | python3 -c '
import json, sys
object = json.load(sys.stdin)
object["metadata"] = {"name": object["metadata"]["name"], "namespace": "work"}
object.get("spec", {}).pop("serviceAccountName", None)
json.dump(object, sys.stdout)' | apply -f -
}
copy secret webhook-hello-options
copy triggertemplate hello-options-trigger-template
copy trigger hello-options-trigger
apply -n work -f - <<'EOF'
apiVersion: triggers.tekton.dev/v1beta1
kind: EventListener
metadata: {name: options}
spec:
  serviceAccountName: listener
  triggers: [{triggerRef: hello-options-trigger}]
EOF
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
NAMESPACE=work NAME=options K_SINK_TIMEOUT=30 EL_EVENT=disable METRICS_PROMETHEUS_PORT=0 "$sink" -kubeconfig "$KUBECONFIG" \
  -el-name options -el-namespace work -port "$port" >options.log 2>&1 &
running+=($!)
becomes 200 "a live listener of a binding with options" curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/live"

send() { # URL EVENT BODY: prints the id that the event was given
  local secret; secret=$(p get repobinding hello-options -o 'jsonpath={.status.webhookSecret}')
  curl -s "$1" -H 'Content-Type: application/json' -H "X-GitHub-Event: $2" -H "X-GitHub-Delivery: $(cat /proc/sys/kernel/random/uuid)" \
    -H "X-Hub-Signature-256: sha256=$(openssl dgst -sha256 -hmac "$secret" -hex <"$3" | sed 's/^.* //')" --data-binary "@$3" \
    | python3 -c 'import json, sys; print(json.load(sys.stdin)["eventID"])'
}
run_of() { # EVENT-ID: what its run is of
  "$kubectl" -n hello-options get pipelineruns -l "platform.aphex/event-id=$1" \
    -o 'jsonpath={.items[*].metadata.annotations.platform\.aphex/ref} {.items[*].metadata.annotations.platform\.aphex/queued} {.items[*].spec.params[?(@.name=="git-revision")].value} {.items[*].spec.params[?(@.name=="branch")].value} {.items[*].spec.params[?(@.name=="event-type")].value}'
}
none='    '
declare -A ids
ask() { # NAME EVENT PYTHON: sends one event, changed by a line of Python, to both
  python3 - "$payloads/$2/event.json" "$3" >"$1.json" <<'PY'
import json, sys
body = json.load(open(sys.argv[1]))
if "commits" in body: body["commits"] = [{"added": [], "modified": ["src/main.rs"], "removed": []}]
exec(sys.argv[2])
json.dump(body, sys.stdout)
PY
  ids[$1-ours]=$(send "$hooks" "$2" "$1.json")
  ids[$1-theirs]=$(send "http://127.0.0.1:$port/" "$2" "$1.json")
}
ask other-branch push 'body["ref"] = "refs/heads/topic"'
ask longer-branch push 'body["ref"] = "refs/heads/release/1/2"'
ask other-path push 'body["commits"][0]["modified"] = ["docs/a.md", "Makefile"]'
ask other-repository push 'body["repository"]["full_name"] = "somebody/else"'
ask closed pull_request 'body["action"] = "closed"'
ask other-base pull_request 'body["pull_request"]["base"]["ref"] = "topic"'
ask fork pull_request 'body["pull_request"]["head"]["repo"]["full_name"] = "stranger/Hello-World"'
ask deleted-fork pull_request 'body["pull_request"]["head"]["repo"] = None'
ask forced push 'body["commits"][0]["modified"] = ["Makefile"]; body["forced"] = True'
ask no-commits push 'body["commits"] = []'
ask glob-branch push 'body["ref"] = "refs/heads/release/1.x"'
ask glob-path push 'body["commits"][0]["modified"] = ["deep/down/a\nb.md"]'
ask request pull_request ''
made() { [[ $(run_of "$1") == "$none" ]] || echo made; }
for name in forced no-commits glob-branch glob-path request; do
  becomes made "$name, by ours" made "${ids[$name-ours]}"
  becomes "$(run_of "${ids[$name-ours]}")" "$name, by Tekton's sink" run_of "${ids[$name-theirs]}"
done
has "$(run_of "${ids[request-theirs]}")" '^refs/pull/2/head true ec26c3e57ca3a959ca5aad62de7213c562f8c821 changes pull_request$' "a pull request's run"
has "$(run_of "${ids[glob-branch-theirs]}")" '^refs/heads/release/1.x true [0-9a-f]{40} release/1.x push$' "a push's run"
for name in other-branch longer-branch other-path other-repository closed other-base fork deleted-fork; do
  for whose in ours theirs; do
    [[ $(run_of "${ids[$name-$whose]}") == "$none" ]] || fail "$name made a run ($whose)"
  done
done
echo "ok a binding with options, by Tekton's sink as by ours"

t() { "$kubectl" -n hello-options "$@"; }
such() { t get pipelineruns -o "jsonpath={range .items[?(@.status.conditions[0].reason==\"$1\")]}{.metadata.name}{\"\\n\"}{end}"; }
count() { such "$1" | wc -l; }
becomes 1 "one run under way" count Running
becomes 9 "nine that wait" count PipelineRunPending
first=$(such Running)
becomes "pod/$first-greet-pod" "its pod" t get pods -o name
t patch pod "$first-greet-pod" --subresource=status -p '{"status":{"phase":"Succeeded","containerStatuses":[{"name":"step-say","image":"x","imageID":"x","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]}}' >/dev/null
becomes "$first" "the first run's end" such Succeeded
becomes 1 "the next run under way" count Running
becomes 8 "eight that wait" count PipelineRunPending
# Of each ref the newest goes on; of the six cancelled the newest five stay.
p patch repobinding hello-options --type=merge -p '{"spec":{"concurrency":{"policy":"CancelSuperseded","max":null}}}' >/dev/null
becomes 0 "none that waits" count PipelineRunPending
becomes 3 "a run of each ref under way" count Running
becomes 5 "cancelled runs that stay" count Cancelled
echo "ok Tekton's controller does what ours asks of queued, superseded and old runs"

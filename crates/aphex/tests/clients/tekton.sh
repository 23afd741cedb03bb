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

#!/usr/bin/env bash
# A day's work with kubectl, of any version. Usage: kubectl.sh KUBECTL, with $KUBECONFIG; works in a folder of its own.
set -euo pipefail
kubectl=$1
# What this session calls its own, so that sessions of several versions can share a server.
me=day-$("$kubectl" version --client -o json | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p')
k() { "$kubectl" -n "$me" "$@"; }
following=
trap '[[ -n $following ]] && kill "$following" 2>/dev/null || true' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
equal() { [[ $1 == "$2" ]] || fail "$3: wanted '$2', got '$1'"; }
has() { grep -qE -- "$2" <<<"$1" || fail "$3: nothing like '$2' in: $1"; }
refused() { local what=$1; shift; if said=$("$@" 2>&1); then fail "$what was not refused: $said"; fi; }
# until_has FILE PATTERN: waits until a file that another process writes has a line like that.
until_has() { for _ in $(seq 150); do grep -qE "$2" "$1" && return; sleep 0.1; done; fail "nothing like '$2' in $1: $(cat "$1")"; }

has "$("$kubectl" version)" '^Server Version: v1\.35' version
has "$("$kubectl" cluster-info)" 'control plane.* is running at' cluster-info
equal "$("$kubectl" create namespace "$me")" "namespace/$me created" "create namespace"
"$kubectl" wait --for=jsonpath='{.status.phase}'=Active "namespace/$me" --timeout=10s >/dev/null

cat >web.yaml <<'EOF'
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: registry.example.com/web:1
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  colour: red
EOF

# apply and diff
equal "$(k apply -f web.yaml | sort)" $'configmap/settings created\ndeployment.apps/web created' "first apply"
equal "$(k apply -f web.yaml | sort)" $'configmap/settings unchanged\ndeployment.apps/web unchanged' "second apply"
equal "$(k diff -f web.yaml)" "" "diff of what is there"
sed -i 's/replicas: 2/replicas: 3/; s/colour: red/colour: blue/' web.yaml
code=0; difference=$(k diff -f web.yaml) || code=$?
equal $code 1 "exit code of a diff"
has "$difference" '^\+ +replicas: 3' "diff"
has "$difference" '^\+ +colour: blue' "diff"
equal "$(k apply -f web.yaml --dry-run=server -o name | sort)" $'configmap/settings\ndeployment.apps/web' "dry run"
equal "$(k get configmap settings -o 'jsonpath={.data.colour}')" red "data after a dry run"
equal "$(k apply -f web.yaml | sort)" $'configmap/settings configured\ndeployment.apps/web configured' "changed apply"
equal "$(k apply --server-side --force-conflicts -f web.yaml | sort)" $'configmap/settings serverside-applied\ndeployment.apps/web serverside-applied' "server-side apply"
sed 's/colour: blue/colour: green/' web.yaml >other.yaml
refused "another manager's apply" k apply --server-side --field-manager=other -f other.yaml
has "$said" 'conflict with "kubectl".*data.colour|\.data\.colour' "conflict"

# get in every shape
has "$(k get deployments)" '^NAME +READY +UP-TO-DATE +AVAILABLE +AGE' "table"
has "$(k get deployments -o wide)" 'CONTAINERS +IMAGES +SELECTOR' "wide table"
has "$(k get deployments -o wide)" '^web +0/3 .* web +registry.example.com/web:1 +app=web' "wide row"
has "$(k get deployment web -o yaml)" '^  replicas: 3$' "yaml"
has "$(k get deployment web -o json)" '"replicas": 3' "json"
equal "$(k get deployment web -o 'jsonpath={.spec.template.spec.containers[0].image}')" registry.example.com/web:1 "jsonpath"
equal "$(k get deploy web -o 'custom-columns=N:.metadata.name,R:.spec.replicas' --no-headers | tr -s ' ')" "web 3" "custom columns"
equal "$(k get deploy,cm -l app=web -o name)" deployment.apps/web "label selector"
equal "$(k get cm --field-selector metadata.name=settings -o name)" configmap/settings "field selector"
has "$(k get deployments --show-labels)" 'app=web' "labels"
has "$(k get cm --sort-by=.metadata.name)" 'settings' "sorted"
equal "$(k get cm settings -o go-template='{{.data.colour}}')" blue "go-template"
has "$(k describe deployment web)" 'Replicas: +3 desired' describe
has "$("$kubectl" get --raw "/api/v1/namespaces/$me/configmaps/settings")" '"colour":"blue"' "raw"
refused "a missing object" k get configmap nobody
equal "$said" 'Error from server (NotFound): configmaps "nobody" not found' "missing"

# explain and api-resources
has "$("$kubectl" explain deployment.spec.replicas)" 'FIELD: replicas <integer>' explain
has "$("$kubectl" explain organization.spec --recursive)" '^FIELDS:' "explain of a custom resource"
has "$("$kubectl" api-resources)" '^deployments +deploy +apps/v1 +true +Deployment' api-resources
equal "$("$kubectl" api-resources --api-group=batch --namespaced -o name | sort | tr '\n' ' ')" "cronjobs.batch jobs.batch " "api-resources of a group"
has "$("$kubectl" api-versions)" '^networking.k8s.io/v1$' api-versions

# watch
# Not through the function: its shell would be what is killed, and not kubectl.
"$kubectl" -n "$me" get configmaps -w --output-watch-events --no-headers >events.txt &
following=$!
until_has events.txt 'ADDED +settings'
k label configmap settings tier=front >/dev/null
until_has events.txt 'MODIFIED +settings'
kill $following; wait $following 2>/dev/null || true
following=

# label, annotate, patch, edit
equal "$(k get cm -l tier=front -o name)" configmap/settings "label"
k label configmap settings tier- >/dev/null
k annotate configmap settings note=here >/dev/null
equal "$(k get cm settings -o 'jsonpath={.metadata.labels}|{.metadata.annotations.note}')" "|here" "annotation"
k patch configmap settings -p '{"data":{"size":"big"}}' >/dev/null
k patch configmap settings --type merge -p '{"data":{"colour":null}}' >/dev/null
k patch configmap settings --type json -p '[{"op":"add","path":"/data/shape","value":"round"}]' >/dev/null
equal "$(k get cm settings -o 'jsonpath={.data}')" '{"shape":"round","size":"big"}' "data after three patches"
k patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"b"}]}]}}}}' >/dev/null
equal "$(k get deploy web -o 'jsonpath={.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[0].value}')" "registry.example.com/web:1 b" "strategic patch"
k set image deployment/web web=registry.example.com/web:2 >/dev/null
printf '#!/bin/sh\nsed -i "s/size: big/size: small/" "$1"\n' >editor && chmod +x editor
equal "$(KUBE_EDITOR=./editor k edit configmap settings)" "configmap/settings edited" "edit"
equal "$(k get cm settings -o 'jsonpath={.data.size}')" small "data after editing"
k create configmap settings --from-literal=size=tiny --dry-run=client -o yaml | k replace -f - >/dev/null
equal "$(k get cm settings -o 'jsonpath={.data}')" '{"size":"tiny"}' "data after replacing"
refused "a wrong type" k patch deployment web --type merge -p '{"spec":{"replicas":"many"}}'
refused "an unknown field" k create -f - <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"dta":{}}'
has "$said" 'unknown field "dta"' "unknown field"
equal "$(k create -f - --validate=false -o name <<<'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"lax"},"dta":{}}')" configmap/lax "without validation"

# scale, rollout, wait
equal "$(k scale deployment web --replicas=0)" "deployment.apps/web scaled" scale
k rollout restart deployment web >/dev/null
has "$(k get deploy web -o 'jsonpath={.spec.template.metadata.annotations}')" restartedAt "restart"
k rollout pause deployment web >/dev/null
equal "$(k get deploy web -o 'jsonpath={.spec.paused}')" true "pause"
k rollout resume deployment web >/dev/null
# What the deployment's controller would say once it has nothing to run.
generation=$(k get deploy web -o 'jsonpath={.metadata.generation}')
k patch deployment web --subresource=status --type merge \
  -p "{\"status\":{\"observedGeneration\":$generation,\"conditions\":[{\"type\":\"Available\",\"status\":\"True\",\"reason\":\"None\",\"message\":\"none wanted\"}]}}" >/dev/null
equal "$(k rollout status deployment web --timeout=10s)" 'deployment "web" successfully rolled out' "rollout status"
k wait --for=condition=Available deployment/web --timeout=10s >/dev/null

# who may what
equal "$(k auth can-i delete pods)" yes "the administrator"
k create serviceaccount robot >/dev/null
robot="system:serviceaccount:$me:robot"
equal "$(k auth can-i list configmaps --as "$robot" || true)" no "a robot without a role"
k create rolebinding robot --clusterrole=view --serviceaccount="$me:robot" >/dev/null
equal "$(k auth can-i list configmaps --as "$robot")" yes "a robot that may look"
has "$(k auth can-i --list --as "$robot")" 'configmaps ' "what a robot may"
token=$(k create token robot --duration 10m)
has "$("$kubectl" auth whoami -o 'jsonpath={.status.userInfo.groups}')" system:masters "whoami"
cp "$KUBECONFIG" robot.kubeconfig
as_robot() { "$kubectl" --kubeconfig robot.kubeconfig -n "$me" "$@"; }
"$kubectl" --kubeconfig robot.kubeconfig config set-credentials robot --token "$token" >/dev/null
"$kubectl" --kubeconfig robot.kubeconfig config set-context --current --user robot >/dev/null
equal "$(as_robot auth whoami -o 'jsonpath={.status.userInfo.username}')" "$robot" "whoami of a token"
equal "$(as_robot get cm settings -o name)" configmap/settings "reading with a token"
refused "a robot's delete" as_robot delete cm settings
has "$said" "User \"$robot\" cannot delete resource \"configmaps\" in API group \"\" in the namespace \"$me\"" "forbidden"

# generators, jobs and secrets
k create secret generic key --from-literal=a=b >/dev/null
equal "$(k get secret key -o 'jsonpath={.data.a}')" Yg== "secret"
k create job once --image=registry.example.com/job:1 >/dev/null
k create cronjob daily --image=registry.example.com/job:1 --schedule='0 1 * * *' >/dev/null
k create job by-hand --from=cronjob/daily >/dev/null
equal "$(k get jobs -o name | tr '\n' ' ')" "job.batch/by-hand job.batch/once " "jobs"
k create quota limits --hard=pods=5 >/dev/null
k create service clusterip web --tcp=80:8080 >/dev/null
k create ingress web --rule='web.example.com/*=web:80' >/dev/null
k run pod --image=registry.example.com/pod:1 --restart=Never >/dev/null
has "$(k get pods -o wide)" '^pod +0/1 +Pending' "pod"
k expose pod pod --port=80 --name=exposed --labels=x=y --selector=run=pod >/dev/null
k autoscale deployment web --min=1 --max=3 >/dev/null
k events >/dev/null
has "$(k get all -o name)" 'horizontalpodautoscaler' "get all"

# delete
equal "$(k delete configmap settings lax | sed "s/ from .*namespace//" | sort)" $'configmap "lax" deleted\nconfigmap "settings" deleted' "delete"
k delete -f web.yaml --ignore-not-found --timeout=20s >/dev/null
k delete pod pod --now --wait=false >/dev/null
k delete jobs,cronjobs --all --timeout=20s >/dev/null
k delete pods --all --force --grace-period=0 >/dev/null 2>&1
equal "$(k get deploy,jobs,cronjobs,pods -o name)" "" "what is left"
"$kubectl" delete namespace "$me" --timeout=30s >/dev/null
refused "the deleted namespace" "$kubectl" get namespace "$me"
echo "ok $me"

"""Kubernetes' Python client against the server that $KUBECONFIG names, as scripts and operators use it.

Each check works in a namespace of its own. Ends with 1 and says which checks failed.
"""

import sys
import threading
import time
import traceback

import yaml
from kubernetes import client, config, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, UnprocessibleEntityError

PATIENCE = 45
GROUP, VERSION, PLURAL = "python.example.com", "v1", "gadgets"

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "registry.example.com/web:1", env: [{name: A, value: a}]}
"""


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def refused(status, call, *arguments, **named):
    """The refusal with this status that a call must end with."""
    try:
        call(*arguments, **named)
    except ApiException as error:
        same(f"status of a refusal of {call}", error.status, status)
        return error
    raise AssertionError(f"{call} was not refused with {status}")


def eventually(what, ask):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited in vain: {what}")


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def typed_objects(api, namespace):
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    utils.create_from_dict(api, yaml.safe_load(DEPLOYMENT), namespace=namespace)
    found = apps.read_namespaced_deployment("web", namespace)
    same("a default", found.spec.template.spec.containers[0].image_pull_policy, "IfNotPresent")
    found.spec.replicas = 4
    changed = apps.replace_namespaced_deployment("web", namespace, found)
    same("replicas", changed.spec.replicas, 4)
    refused(409, apps.replace_namespaced_deployment, "web", namespace, found)
    refused(404, core.read_namespaced_config_map, "nobody", namespace)
    core.create_namespaced_config_map(namespace, config_map("one"))
    error = refused(409, core.create_namespaced_config_map, namespace, config_map("one"))
    same("the reason is in the body", '"reason":"AlreadyExists"' in error.body, True)
    scale = apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 6}})
    same("scaled", scale.spec.replicas, 6)
    status = apps.patch_namespaced_deployment_status("web", namespace, {"status": {"replicas": 6}})
    same("status", status.status.replicas, 6)
    gone = apps.delete_namespaced_deployment("web", namespace, propagation_policy="Background")
    same("answer to a delete", gone.status, "Success")
    eventually("the deployment is gone", lambda: not apps.list_namespaced_deployment(namespace).items)


def patches(api, namespace):
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    utils.create_from_dict(api, yaml.safe_load(DEPLOYMENT), namespace=namespace)
    more = {"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "B", "value": "b"}]}]}}}}
    strategic = apps.patch_namespaced_deployment("web", namespace, more)
    container = strategic.spec.template.spec.containers[0]
    same("a strategic merge", sorted(item.name for item in container.env), ["A", "B"])
    same("what it left alone", container.image, "registry.example.com/web:1")
    core.create_namespaced_config_map(namespace, config_map("patched", a="1", b="2"))
    # The client takes a list for a JSON patch and everything else for a strategic one.
    operations = [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "remove", "path": "/data/a"}]
    same("a JSON patch", core.patch_namespaced_config_map("patched", namespace, operations).data, {"b": "2"})
    refused(422, core.patch_namespaced_config_map, "patched", namespace, operations)
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "patched"}, "data": {"b": "3"}}
    maps = DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    apply = {"namespace": namespace, "name": "patched", "body": applied, "field_manager": "applier"}
    error = refused(409, maps.server_side_apply, **apply)
    same("the conflict names the field", ".data.b" in error.body.decode(), True)
    forced = maps.server_side_apply(**apply, force_conflicts=True)
    same("an apply", forced.data.to_dict(), {"b": "3"})
    same("its manager", [m.manager for m in forced.metadata.managedFields if m.operation == "Apply"], ["applier"])
    dry = core.patch_namespaced_config_map("patched", namespace, {"data": {"c": "4"}}, dry_run="All")
    same("a dry run answers", dry.data, {"b": "3", "c": "4"})
    same("and keeps nothing", core.read_namespaced_config_map("patched", namespace).data, {"b": "3"})


def pages(api, namespace):
    core = client.CoreV1Api(api)
    for number in range(12):
        core.create_namespaced_secret(namespace, client.V1Secret(
            metadata=client.V1ObjectMeta(name=f"page-{number:02}"), string_data={"number": str(number)}))
    names, token, requests = [], None, 0
    while requests == 0 or token:
        page = core.list_namespaced_secret(namespace, limit=5, _continue=token)
        names += [item.metadata.name for item in page.items]
        token, requests = page.metadata._continue, requests + 1
    same("pages", requests, 3)
    same("objects", names, [f"page-{number:02}" for number in range(12)])
    core.delete_collection_namespaced_secret(namespace, field_selector="metadata.name!=page-03")
    eventually("one is left", lambda: len(core.list_namespaced_secret(namespace).items) == 1)


def watching(api, namespace):
    core = client.CoreV1Api(api)
    list_maps, chosen = core.list_namespaced_config_map, {"field_selector": "metadata.name=seen"}
    start = list_maps(namespace, **chosen).metadata.resource_version
    made = core.create_namespaced_config_map(namespace, config_map("seen", step="1"))
    first = watch.Watch()
    for event in first.stream(list_maps, namespace, resource_version=start, timeout_seconds=PATIENCE, **chosen):
        same("an event", (event["type"], event["object"].data), ("ADDED", {"step": "1"}))
        first.stop()
    same("where it stopped", first.resource_version, made.metadata.resource_version)
    # What happens while nobody watches is told to who takes the watch up.
    core.patch_namespaced_config_map("seen", namespace, {"data": {"step": "2"}})
    core.delete_namespaced_config_map("seen", namespace)
    told, second = [], watch.Watch()
    for event in second.stream(list_maps, namespace, resource_version=first.resource_version, timeout_seconds=PATIENCE, **chosen):
        told.append(event["type"])
        if len(told) == 2:
            second.stop()
    same("events after taking it up", told, ["MODIFIED", "DELETED"])
    # Without events it ends when its time is up, and does not fail.
    same("a quiet watch", list(watch.Watch().stream(list_maps, namespace, timeout_seconds=1, field_selector="metadata.name=x")), [])


def expired_watch(api, namespace):
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map(namespace, config_map("busy"))

    def expired():
        stream = watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version="1",
                                      timeout_seconds=1, field_selector="metadata.name=nobody")
        try:
            return list(stream) and False
        except ApiException as error:
            same("status of an old watch", error.status, 410)
            return True

    # The server must not keep history for longer than half a minute.
    def written_and_expired():
        core.patch_namespaced_config_map("busy", namespace, {"data": {"value": str(time.monotonic())}})
        return expired()

    eventually("the first revision has expired", written_and_expired)


def dynamic_client(api, namespace):
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": {"plural": PLURAL, "singular": "gadget", "kind": "Gadget"},
            "versions": [{
                "name": VERSION, "served": True, "storage": True, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "size": {"type": "integer", "minimum": 1}, "colour": {"type": "string", "default": "red"}}},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}}]}}
    dynamic = DynamicClient(api)
    definitions = dynamic.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
    definitions.create(body=definition)

    def established():
        conditions = definitions.get(name=f"{PLURAL}.{GROUP}").status.conditions or []
        return any(c.type == "Established" and c.status == "True" for c in conditions)

    eventually("the definition is established", established)
    dynamic.resources.invalidate_cache()
    gadgets = dynamic.resources.get(api_version=f"{GROUP}/{VERSION}", kind="Gadget")

    def gadget(spec):
        return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Gadget", "metadata": {"name": "one"}, "spec": spec}

    seen, ready = [], threading.Event()
    revision = gadgets.get(namespace=namespace).metadata.resourceVersion

    def follow():
        for event in gadgets.watch(namespace=namespace, resource_version=revision, timeout=PATIENCE):
            seen.append((event["type"], event["object"].spec.size))
            if event["type"] == "DELETED":
                ready.set()
                return

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    same("a default", gadgets.create(namespace=namespace, body=gadget({"size": 1})).spec.colour, "red")
    try:
        gadgets.patch(namespace=namespace, name="one", body={"spec": {"size": 0}}, content_type="application/merge-patch+json")
        raise AssertionError("a size of 0 was not refused")
    except UnprocessibleEntityError as error:
        same("the field is named", "spec.size" in error.summary(), True)
    try:
        gadgets.server_side_apply(namespace=namespace, name="one", body=gadget({"size": 2}), field_manager="applier")
        raise AssertionError("taking a field was not refused")
    except ConflictError:
        pass
    applied = gadgets.server_side_apply(
        namespace=namespace, name="one", body=gadget({"size": 2}), field_manager="applier", force_conflicts=True)
    same("an apply", (applied.spec.size, applied.metadata.generation), (2, 2))
    told = gadgets.status.patch(namespace=namespace, name="one", body={"status": {"phase": "Ready"}}, content_type="application/merge-patch+json")
    same("a status", (told.status.phase, told.metadata.generation), ("Ready", 2))
    gadgets.delete(namespace=namespace, name="one")
    same("the watch saw the end", ready.wait(PATIENCE), True)
    same("the watch", seen, [("ADDED", 1), ("MODIFIED", 2), ("MODIFIED", 2), ("DELETED", 2)])
    custom = client.CustomObjectsApi(api)
    same("the other way to read them", custom.list_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL)["items"], [])
    definitions.delete(name=f"{PLURAL}.{GROUP}")
    try:
        eventually("the kind is gone", lambda: gadgets.get(namespace=namespace) is None)
    except NotFoundError:
        pass


def tokens(api, namespace):
    core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    core.create_namespaced_service_account(namespace, client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="robot")))
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("robot", namespace, request).status.token
    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert = api.configuration.host, api.configuration.ssl_ca_cert
    settings.api_key["authorization"] = f"Bearer {token}"
    robot = client.CoreV1Api(client.ApiClient(settings))
    refused(403, robot.list_namespaced_config_map, namespace)
    rbac.create_namespaced_role_binding(namespace, client.V1RoleBinding(
        metadata=client.V1ObjectMeta(name="robot"),
        role_ref=client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name="view"),
        subjects=[client.RbacV1Subject(kind="ServiceAccount", namespace=namespace, name="robot")]))

    def may():
        try:
            return robot.list_namespaced_config_map(namespace)
        except ApiException:
            return None

    eventually("the role counts", may)
    refused(403, robot.list_namespaced_secret, namespace)


CHECKS = [typed_objects, patches, pages, watching, expired_watch, dynamic_client, tokens]


def main():
    config.load_kube_config()
    api, failed = client.ApiClient(), 0
    core = client.CoreV1Api(api)
    for check in CHECKS:
        started = time.monotonic()
        made = core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(generate_name="python-")))
        try:
            check(api, made.metadata.name)
            print(f"ok {check.__name__} ({time.monotonic() - started:.2f} s)")
        except Exception:  # whatever it was, the other checks run too
            failed += 1
            print(f"FAILED {check.__name__}: {traceback.format_exc()}")
        finally:
            core.delete_namespace(made.metadata.name)
    sys.exit(1 if failed else 0)


main()

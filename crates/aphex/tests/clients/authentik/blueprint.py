"""The blueprint of platform/auth/authentik against Authentik's own published types, of the version that the manifests run.

A blueprint's attributes go through the same serializers as requests of Authentik's API, whose types authentik_client has. Its
expressions are run as Authentik runs them: as the body of a function. Ends with an error that names the entry.
"""

import sys
import textwrap
from importlib.metadata import version
from types import SimpleNamespace
from uuid import uuid4

import yaml
from authentik_client import models

TYPES = {
    "authentik_core.application": models.ApplicationRequest,
    "authentik_core.group": models.GroupRequest,
    "authentik_core.user": models.UserRequest,
    "authentik_providers_oauth2.oauth2provider": models.OAuth2ProviderRequest,
    "authentik_providers_oauth2.scopemapping": models.ScopeMappingRequest,
}
# The serializer knows the password in blueprints alone (authentik/core/api/users.py).
ONLY_IN_BLUEPRINTS = {"authentik_core.user": {"password"}}
# What comes with Authentik.
FOUND = {"authentik_flows.flow", "authentik_providers_oauth2.scopemapping", "authentik_crypto.certificatekeypair", "authentik_core.group"}


class KeyOf(str):
    """The entry of that id."""


class Env(str):
    """An environment variable of the worker."""


class Loader(yaml.SafeLoader):
    """YAML with the tags of blueprints that are used here."""


def find(loader, node):
    model, condition = loader.construct_sequence(node, deep=True)
    assert model in FOUND and len(condition) == 2, (model, condition)
    return str(uuid4())


Loader.add_constructor("!KeyOf", lambda loader, node: KeyOf(loader.construct_scalar(node)))
Loader.add_constructor("!Env", lambda loader, node: Env(loader.construct_scalar(node)))
Loader.add_constructor("!Find", find)


def resolved(value, known, environment):
    """A value as the serializer is given it."""
    if isinstance(value, KeyOf):
        model = known[value]
        return 1 if model == "authentik_providers_oauth2.oauth2provider" else str(uuid4())
    if isinstance(value, Env):
        assert value in environment, f"the worker has no variable {value}"
        return "value-of-the-variable@example.com"
    if isinstance(value, list):
        return [resolved(item, known, environment) for item in value]
    if isinstance(value, dict):
        return {name: resolved(item, known, environment) for name, item in value.items()}
    return value


def check(entry, known, environment):
    model = entry["model"]
    if model == "authentik_blueprints.metaapplyblueprint":
        assert entry["attrs"]["identifiers"]["name"] and entry["attrs"]["required"] is True
        return
    fields = resolved({**entry["identifiers"], **entry["attrs"]}, known, environment)
    kind = TYPES[model]
    names = {field.alias or name for name, field in kind.model_fields.items()}
    unknown = fields.keys() - names - ONLY_IN_BLUEPRINTS.get(model, set())
    assert not unknown, f"{kind.__name__} has no {unknown}"
    kind.model_validate(fields)
    if "id" in entry:
        known[entry["id"]] = model


def run(expression, user):
    source = "def mapping(request):\n" + textwrap.indent(expression, "    ")
    names = {}
    exec(compile(source, "expression", "exec"), names)
    return names["mapping"](SimpleNamespace(user=user))


def expressions(entries):
    """What the mappings make of somebody who is in more groups than are to be told."""
    names = ["engineering", "system:masters", "platform-admins", "system:nodes"]
    user = SimpleNamespace(
        email="ann@acme.com",
        name="Ann",
        username="ann",
        all_groups=lambda: [SimpleNamespace(name=name) for name in names],
    )
    claims = {}
    for entry in entries:
        if entry["model"] == "authentik_providers_oauth2.scopemapping":
            claims |= run(entry["attrs"]["expression"], user)
    assert claims == {
        "email": "ann@acme.com",
        "email_verified": True,
        "name": "Ann",
        "preferred_username": "ann",
        "groups": ["engineering", "platform-admins"],
    }, claims


def documents(path):
    with open(path, encoding="utf-8") as file:
        return list(yaml.safe_load_all(file))


def main(folder):
    config, worker = documents(f"{folder}/config.yaml")[0], documents(f"{folder}/worker.yaml")[0]
    container = worker["spec"]["template"]["spec"]["containers"][0]
    environment = {variable["name"] for variable in container["env"]} | config["data"].keys()
    text = documents(f"{folder}/blueprint.yaml")[0]["data"]["aphex.yaml"]
    blueprint = yaml.load(text, Loader)
    assert blueprint["version"] == 1 and blueprint["metadata"]["name"]
    known, kinds = {}, {}
    for entry in blueprint["entries"]:
        assert entry.get("state", "present") in ("present", "created"), entry["state"]
        assert entry.keys() <= {"model", "id", "state", "identifiers", "attrs"}, entry.keys()
        try:
            check(entry, known, environment)
        except Exception as error:
            sys.exit(f"{entry['model']} {entry.get('identifiers')}: {error}")
        kinds[entry["model"]] = kinds.get(entry["model"], 0) + 1
    print("ok every entry is as Authentik's types have it:", kinds)
    expressions(blueprint["entries"])
    print("ok mappings tell name, verified address and groups, and no group of Kubernetes' own")
    image = container["image"]
    assert image.endswith(":" + version("authentik-client")), f"{image} is another version than the types"
    print("ok the types are of the version that runs:", image)


main(sys.argv[1])

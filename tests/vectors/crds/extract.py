#!/usr/bin/env python3
"""Makes the schemas of this folder out of CustomResourceDefinitions: extract.py < CRDS.yaml

One file for each served version of each kind that the manifests of this repository use. Prose is left out. A field that the schema
does not name is refused, which is what `kubectl apply --validate=strict` does on a cluster.
"""

import json
import pathlib
import sys

import yaml

KINDS = {"HTTPRoute", "ReferenceGrant", "SecurityPolicy", "ClientTrafficPolicy", "AuthorizationPolicy"}
# What means the same in JSON Schema. Rules in CEL (x-kubernetes-validations) are left to the cluster.
KEPT = {
    "type", "enum", "pattern", "format", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties",
    "maxProperties", "required", "nullable", "x-kubernetes-preserve-unknown-fields",
}


def schema(node, is_structure=True):
    made = {key: node[key] for key in sorted(KEPT & node.keys())}
    if made.pop("nullable", False) and "type" in made:
        made["type"] = [made["type"], "null"]
    if node.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    open_ended = made.pop("x-kubernetes-preserve-unknown-fields", False)
    for key in ("items", "not"):
        if key in node:
            made[key] = schema(node[key], is_structure and key != "not")
    for key in ("oneOf", "anyOf", "allOf"):
        if key in node:
            made[key] = [schema(part, False) for part in node[key]]
    if "properties" in node:
        made["properties"] = {name: schema(part, is_structure) for name, part in sorted(node["properties"].items())}
        if is_structure and not open_ended:
            made["additionalProperties"] = False
    if "additionalProperties" in node:
        made["additionalProperties"] = schema(node["additionalProperties"], is_structure)
    return made


def main():
    folder = pathlib.Path(__file__).parent
    for crd in yaml.safe_load_all(sys.stdin):
        if not crd or crd.get("kind") != "CustomResourceDefinition" or crd["spec"]["names"]["kind"] not in KINDS:
            continue
        kind, group = crd["spec"]["names"]["kind"], crd["spec"]["group"]
        for version in crd["spec"]["versions"]:
            if version["served"]:
                made = schema(version["schema"]["openAPIV3Schema"])
                # Every object of the API has them.
                made.setdefault("properties", {}).update({"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}})
                made["additionalProperties"] = False
                file = folder / f"{group}_{version['name']}_{kind}.json"
                file.write_text(json.dumps(made, separators=(",", ":"), sort_keys=True) + "\n")
                print(file.name)


main()

#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, made from the test vectors.

fuzz/seeds.py CORPUS
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
VECTORS = ROOT / "tests" / "vectors"


def paths():
    cases = json.loads((VECTORS / "attacks" / "cases.json").read_text())
    for case in cases["paths"]:
        if "target" in case:
            yield case["id"], case["target"].encode("utf-8", "surrogateescape")
    for host in ("localhost:8080", "[::1]:443", "App.Example.COM", "a.example.", "user@host", "a,b"):
        yield "host-" + "".join(c if c.isalnum() else "-" for c in host), host.encode()


def tokens():
    claims = {
        "iss": "https://idp.example.com/", "aud": "https://api.example.com", "sub": "u-1",
        "iat": 1_799_999_900, "exp": 1_800_003_600, "scope": "access:ea access:devel",
        "permissions": ["post:x"], "realm": {"groups": ["audit"]}, "email": "a@example.com", "email_verified": True,
    }
    headers = [
        {"alg": "RS256", "kid": "rs", "typ": "at+jwt"},
        {"alg": "ES256", "kid": "ec", "typ": "JWT"},
        {"alg": "EdDSA", "kid": "ed"},
        {"alg": "none"},
        {"alg": "HS256", "kid": "rs"},
        {"alg": "RS256", "kid": "rs", "crit": ["exp"], "b64": False},
    ]
    for number, header in enumerate(headers):
        signature = b"\x01" * (256 if header["alg"] == "RS256" else 64)
        yield f"plain-{number}", b"\n".join([json.dumps(header).encode(), json.dumps(claims).encode(), signature])
    yield "unsigned", b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1LTEifQ."
    yield "five-parts", b"a.b.c.d.e"


def configs():
    for file in sorted([*VECTORS.glob("config/**/*.yaml"), *ROOT.glob("examples/*/tiergate.yaml")]):
        yield file.relative_to(ROOT).as_posix().replace("/", "-"), file.read_bytes()


def field(number, payload):
    """One length-delimited field of a protobuf message."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def check_requests():
    def message(path, headers, method="GET", route=None):
        pairs = b"".join(field(3, field(1, name) + field(2, value)) for name, value in headers)
        request = field(1, b"r-1") + field(2, method.encode()) + pairs
        request += field(4, path) + field(5, b"gate.example.com")
        # AttributeContext: 4 is the request, in which 2 is the HTTP part; 10 are the context extensions.
        attributes = field(4, field(2, request))
        if route:
            attributes += field(10, field(1, b"tiergate.tier") + field(2, route))
        return field(1, attributes)

    token = b"Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.AAAA"
    yield "public", message(b"/public/x?q=1", [(b":path", b"/public/x?q=1"), (b"accept", b"text/html")])
    yield "devel", message(b"/apps/devel/x", [(b"authorization", token)])
    yield "encoded", message(b"/apps/%70ublic/%2f%252e", [(b"x_auth_user", b"root"), (b"cookie", b"a=1; b=2")])
    yield "socket", message(b"/ws/x?access_token=a.b.c", [
        (b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"sec-websocket-protocol", b"chat, bearer.a.b.c")])
    yield "preflight", message(b"/apps/ea/x", [
        (b"origin", b"https://app.example.com"), (b"access-control-request-method", b"GET")], method="OPTIONS")
    yield "raised", message(b"/public/x", [], route=b"devel")
    yield "jwks", message(b"/_auth/jwks.json", [])
    for name, target in paths():
        yield name, message(target, [])
    for file in sorted(VECTORS.glob("check_requests/*.bin")):
        yield f"envoy-{file.stem}", file.read_bytes()


def walks():
    """All of the above, and what only a reader of bytes tells apart."""
    yield from check_requests()
    http = field(2, b"GET") + field(4, b"/a") + field(5, b"h")
    around = lambda more: field(1, field(4, field(2, http + more)))
    raw = lambda name, value: field(1, field(1, name) + field(3, value))
    yield "raw", around(field(13, raw(b"x-b", b"\xff") + raw(b"x-b", b"2") + raw(b":path", b"/a")))
    yield "twice", around(http + field(3, field(1, b"a") + field(2, b"1") + field(1, b"b")))
    yield "same-key", around(field(3, field(1, b"a")) + field(3, field(1, b"a")))
    yield "numbers", around(b"\x48" + b"\xff" * 9 + b"\x01" + b"\x71" + bytes(8) + b"\x7d" + bytes(4))
    socket = field(1, field(1, b"\x08\x00" + field(2, b"127.0.0.1") + b"\x18\x50"))
    value = field(3, b"x") + field(6, field(1, b"\x11" + bytes(8))) + field(5, field(1, field(1, b"k") + field(2, b"")))
    struct = field(1, field(1, b"k") + field(2, value))
    metadata = field(1, field(1, b"ns") + field(2, struct)) + field(2, field(1, b"t") + field(2, field(1, b"u")))
    peer = socket + field(2, b"s") + field(3, field(1, b"l") + field(2, b"v")) + field(5, b"PEM")
    attributes = field(1, peer) + field(2, peer) + field(11, metadata) + field(13, metadata) + field(12, field(1, b"sni"))
    yield "around", field(1, attributes + field(4, field(1, b"\x08\x01\x10\x02") + field(2, http)))


def hooks():
    """Each recorded message of a hook."""
    shapes = json.loads((VECTORS / "hooks" / "shapes.json").read_text())
    for number, shape in enumerate(shapes):
        for step, sent in enumerate(shape["steps"]):
            yield f"{number}-{step}", json.dumps(sent["message"]).encode()


def scim():
    filters = json.loads((VECTORS / "scim" / "filters.json").read_text())["cases"]
    patches = json.loads((VECTORS / "scim" / "patches.json").read_text())["cases"]
    for number, case in enumerate(patches):
        body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": case["operations"]}
        text = filters[number % len(filters)]["filter"].replace("\n", " ")
        yield f"patch-{number}", text.encode() + b"\n" + json.dumps(body).encode()
    for number, case in enumerate(filters):
        yield f"filter-{number}", case["filter"].encode()


def main():
    corpus = pathlib.Path(sys.argv[1])
    targets = {
        "path": paths, "token": tokens, "config": configs, "check_request": check_requests, "walk": walks,
        "hook": hooks, "scim": scim,
    }
    for target, seeds in targets.items():
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds():
            (folder / f"seed-{name}").write_bytes(content)


main()

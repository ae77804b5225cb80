"""Google's own description of Compute Engine, as routes and as strict JSON Schema."""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import googleapiclient.discovery_cache
import jsonschema

DOCUMENT = Path(googleapiclient.discovery_cache.__file__).parent / "documents" / "compute.v1.json"
PREFIX = "/compute/v1/"
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"
FORMATS = {  # how the discovery document's formats look on the wire
    ("string", "int64"): {"type": "string", "pattern": r"^-?\d{1,19}$"},
    ("string", "uint64"): {"type": "string", "pattern": r"^\d{1,20}$"},
    ("string", "byte"): {"type": "string", "pattern": r"^[A-Za-z0-9+/_-]*={0,2}$"},
    ("string", "google-datetime"): {"type": "string", "pattern": TIME},
    ("integer", "uint32"): {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    ("integer", "int32"): {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
}
TIMESTAMPS = re.compile(r"[tT]imestamp$|^(insert|start|end)Time$")


@dataclass(frozen=True)
class Method:
    """One call of the API."""

    name: str  # "instances.insert"
    verb: str
    path: re.Pattern[str]
    parameters: dict[str, dict]
    request: str  # the name of a schema; "" where the call has no body
    response: str


@functools.cache
def document() -> dict:
    return json.loads(DOCUMENT.read_text(encoding="utf-8"))


@functools.cache
def methods() -> tuple[Method, ...]:
    """Every call in Google's document."""
    calls = [
        (f"{collection}.{name}", call)
        for collection, resource in document()["resources"].items()
        for name, call in resource.get("methods", {}).items()
    ]
    calls.sort(
        key=lambda named: named[1]["path"].count("{")
    )  # so that a word wins over a parameter
    return tuple(
        Method(
            name=name,
            verb=call["httpMethod"],
            path=_path_pattern(call["path"]),
            parameters=call.get("parameters", {}),
            request=call.get("request", {}).get("$ref", ""),
            response=call.get("response", {}).get("$ref", ""),
        )
        for name, call in calls
    )


def find(verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
    """The call of a request line, and the parameters in its path."""
    for method in methods():
        if method.verb == verb and (match := method.path.fullmatch(path)):
            return method, match.groupdict()
    return None


def request_problems(
    method: Method, path: dict[str, str], query: dict[str, list[str]], body: object
) -> list[str]:
    """What is wrong with a request, in Google's words; [] = valid."""
    problems = [
        _invalid(key, text, spec["pattern"])
        for key, text in path.items()
        if (spec := method.parameters[key]).get("pattern")
        and not re.fullmatch(spec["pattern"], text)
    ]
    for key, texts in query.items():
        problems += _query_problems(method, key, texts)
    if not method.request:
        return problems + (["Unexpected request body."] if body else [])
    problems += _body_problems(method.request, body, "resource")
    return problems + _missing(method, body)


def response_problems(method: Method, body: object) -> list[str]:
    """What is wrong with an answer; [] = valid."""
    return _body_problems(method.response, body, "response") if method.response else []


def _path_pattern(path: str) -> re.Pattern[str]:
    return re.compile(PREFIX + re.sub(r"\{\+?(\w+)\}", r"(?P<\1>[^/]+)", path))


def _query_problems(method: Method, key: str, texts: list[str]) -> list[str]:
    if key in document()["parameters"]:
        return []
    spec = method.parameters.get(key)
    if spec is None or spec["location"] != "query":
        return [
            f'Invalid JSON payload received. Unknown name "{key}": Cannot bind query parameter.'
        ]
    if len(texts) > 1 and not spec.get("repeated"):
        return [f"Invalid value at '{key}': not repeated."]
    values = [_from_text(text, spec["type"]) for text in texts]
    schema = {key: value for key, value in _convert(spec).items() if key != "required"}
    kind = f"TYPE_{(spec.get('format') or spec['type']).upper()}"
    return [
        f"Invalid value at '{key}' ({kind}), \"{text}\""
        for text, value in zip(texts, values, strict=True)
        if list(jsonschema.Draft202012Validator(schema).iter_errors(value))
    ]


def _from_text(text: str, kind: str) -> object:
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind == "integer":
        return int(text) if re.fullmatch(r"-?\d+", text) else text
    return text


def _missing(method: Method, body: object) -> list[str]:
    properties = document()["schemas"][method.request]["properties"]
    call = f"compute.{method.name}"
    return [
        f"Invalid value for field 'resource.{key}': ''. The field is required."
        for key, spec in properties.items()
        if call in spec.get("annotations", {}).get("required", ())
        and not (isinstance(body, dict) and body.get(key))
    ]


def _body_problems(name: str, body: object, root: str) -> list[str]:
    return [_say(error, root) for error in _validator(name).iter_errors(body)]


def _say(error: jsonschema.ValidationError, root: str) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    place = root + "".join(steps)
    if error.validator == "additionalProperties":
        names = ", ".join(sorted(set(error.instance) - set(error.schema["properties"])))
        said = f"Unknown name \"{names}\" at '{place}': Cannot find field."
        return f"Invalid JSON payload received. {said}"
    if error.validator == "pattern":
        return _invalid(place, error.instance, error.validator_value)
    if error.validator == "enum":
        allowed = ", ".join(error.validator_value)
        return f"Invalid value for field '{place}': '{error.instance}'. Must be one of [{allowed}]."
    return f"Invalid value at '{place}': {error.message}"


def _invalid(place: str, text: object, pattern: str) -> str:
    bare = pattern.removeprefix("^(?:").removesuffix(")$")
    return f"Invalid value for field '{place}': '{text}'. Must be a match of regex '{bare}'"


@functools.cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _definitions()})


@functools.cache
def _definitions() -> dict[str, dict]:
    return {name: _convert(spec) for name, spec in document()["schemas"].items()}


def _convert(spec: dict, name: str = "") -> dict:
    """The document's dialect as strict JSON Schema: fields that it does not name are invalid."""
    if "$ref" in spec:
        return {"$ref": f"#/$defs/{spec['$ref']}"}
    kind = spec.get("type", "any")
    if kind == "any" or spec.get("format") == "google.protobuf.Any":
        return {}
    if kind == "object":
        return _convert_object(spec)
    if kind == "array":
        return {"type": "array", "items": _convert(spec["items"])}
    schema = dict(FORMATS.get((kind, spec.get("format")), {"type": kind}))
    if "enum" in spec:
        schema["enum"] = spec["enum"]
    if "pattern" in spec:
        schema["pattern"] = f"^(?:{spec['pattern']})$"
    if kind == "string" and TIMESTAMPS.search(name):
        schema["pattern"] = TIME
    return schema


def _convert_object(spec: dict) -> dict:
    properties = {name: _convert(child, name) for name, child in spec.get("properties", {}).items()}
    others = spec.get("additionalProperties")
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": _convert(others) if others is not None else False,
    }

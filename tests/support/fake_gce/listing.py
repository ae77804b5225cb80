"""Answers of list calls: filtered, in pages, over one zone or all."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from fake_gce import errors
from fake_gce.behaviour import Behaviour
from fake_gce.call import Call
from fake_gce.operations import ROOT

TERM = re.compile(
    r"\(?\s*(?P<field>[\w.-]+)\s*(?P<operator>=|!=|:|eq\b|ne\b)\s*(?P<text>\"[^\"]*\"|[^\s()]+)\s*\)?"
)

NO_RESULTS = ("NO_RESULTS_ON_PAGE", "There are no results for scope '{}' on this page.")
# Documented: the code ("A given scope cannot be reached") and the field `unreachables`. Older
# clients could ask with returnPartialSuccess for a partial list or an error; today's document has
# no such parameter, so Catalogue.partial_lists decides. Assumed: the message, the form of a zone in
# `unreachables`, the same on every page, and 503 for the error.
UNREACHABLE = ("UNREACHABLE", "The scope '{}' cannot be reached.")


def page(kind: str, items: list[dict], call: Call, behaviour: Behaviour) -> dict:
    """One page of a list."""
    chosen, token = _slice(items, call.query, behaviour)
    answer = {"kind": kind, "id": kind.rpartition("#")[2], "selfLink": ROOT + kind}
    answer |= {"items": chosen} if chosen else {}
    return answer | ({"nextPageToken": token} if token else {})


def aggregated(
    what: str,
    items: list[dict],
    scopes: list[str],
    silent: set[str],
    call: Call,
    behaviour: Behaviour,
) -> dict:
    """One page of a list over all zones or regions; a scope with nothing on this page says so, and
    so does one that is `silent`: it does not answer."""
    seen = [item for item in items if _scope(item) not in silent]
    chosen, token = _slice(seen, call.query, behaviour)
    found = {}
    for scope in scopes:
        here = [item for item in chosen if _scope(item) == scope]
        empty = _warning(scope, *(UNREACHABLE if scope in silent else NO_RESULTS))
        found[scope] = {f"{what}s": here} if here else empty
    kind = f"compute#{what}AggregatedList"
    answer = {"kind": kind, "id": what, "selfLink": ROOT + kind, "items": found}
    answer |= {"unreachables": sorted(silent)} if silent else {}
    return answer | ({"nextPageToken": token} if token else {})


def _slice(
    items: list[dict], query: dict[str, str], behaviour: Behaviour
) -> tuple[list[dict], str]:
    """The items of one page, and the token of the next: the last item's place in the order, so that
    items which are added or deleted between two pages hide no other."""
    after = _place(query.get("pageToken", ""))
    size = max(1, min(behaviour.page_size, int(query.get("maxResults", "500"))))
    found = sorted(_filtered(items, query.get("filter", "")), key=behaviour.key)
    rest = [item for item in found if behaviour.key(item) > after]
    if len(rest) <= size:
        return rest, ""
    return rest[:size], urlsafe_b64encode(behaviour.key(rest[size - 1]).encode()).decode()


def _place(token: str) -> str:
    try:
        return urlsafe_b64decode(token).decode()
    except ValueError:
        raise errors.invalid("pageToken", token, "The token is not valid.") from None


def _filtered(items: list[dict], text: str) -> list[dict]:
    """Supported filters: terms `field=text`, `field!=text`, `field:text`, `field:*`, joined by a
    space or AND. Raises ApiError for any other."""
    if not text.strip():
        return items
    rest = re.sub(r"\bAND\b", " ", text)
    terms = list(TERM.finditer(rest))
    if not terms or TERM.sub("", rest).strip():
        raise errors.invalid("filter", text, "Invalid list filter expression.")
    return [item for item in items if all(_holds(item, term) for term in terms)]


def _holds(item: dict, term: re.Match[str]) -> bool:
    found: object = item
    for step in (
        term["field"].split(".", 1) if "labels" in term["field"] else term["field"].split(".")
    ):
        found = found.get(step) if isinstance(found, dict) else None
    wanted = term["text"].strip('"')
    if term["operator"] == ":":
        return found is not None if wanted == "*" else wanted in str(found or "")
    if term["operator"] in ("eq", "ne"):
        equal = found is not None and re.fullmatch(wanted, str(found)) is not None
    else:
        equal = str(found) == wanted
    return equal == (term["operator"] in ("=", "eq"))


def _scope(item: dict) -> str:
    """zones/NAME or regions/NAME."""
    return "/".join((item.get("zone") or item["region"]).split("/")[-2:])


def _warning(scope: str, code: str, message: str) -> dict:
    said = {"code": code, "message": message.format(scope)}
    return {"warning": said | {"data": [{"key": "scope", "value": scope}]}}

"""Raw requests to the pack's routes: bodies that no client of ours would send."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from tools.comfy_server import Server


def post(comfy: Server, path: str, body: bytes) -> tuple[int, dict]:
    """Status and JSON of the answer, a refusal's too."""
    request = urllib.request.Request(comfy.url + path, body, {"Content-Type": "application/json"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())

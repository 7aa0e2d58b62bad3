#!/usr/bin/env python3
"""Judges files with a running `candor serve`; needs nothing but Python 3.

    CANDOR_URL=http://127.0.0.1:8720 CANDOR_KEY=candor_... examples/clients/client.py FILE...
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ.get("CANDOR_URL", "http://127.0.0.1:8720")
KEY = os.environ.get("CANDOR_KEY")


def scan(path):
    """The verdict on a file. Waits and asks again while the service is busy."""
    query = urllib.parse.urlencode({"name": os.path.basename(path)})
    headers = {"Content-Type": "application/octet-stream"}
    if KEY:
        headers["Authorization"] = f"Bearer {KEY}"
    with open(path, "rb") as file:
        body = file.read()
    while True:
        request = urllib.request.Request(f"{URL}/v1/scan?{query}", body, headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code in (429, 503):
                time.sleep(float(error.headers.get("Retry-After", 2)))
                continue
            problem = json.load(error)
            raise RuntimeError(f"{path}: {problem['title']}: {problem.get('detail', '')}") from None


if __name__ == "__main__":
    for name in sys.argv[1:]:
        verdict = scan(name)
        reason = verdict["reasons"][0]["text"] if verdict["reasons"] else ""
        print(f"{verdict['label']:<13} {name}: {reason}")

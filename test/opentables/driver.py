"""Runs Python code that arrives on standard input, one JSON text a line, and answers each with one JSON line: what the code left in `result`, or the error."""

import json
import os
import sys
import traceback

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever else is printed goes to standard error

names = {}
for line in sys.stdin:
    names.pop("result", None)
    try:
        exec(json.loads(line), names)
        answer = {"result": names.get("result")}
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer, default=str), file=answers, flush=True)

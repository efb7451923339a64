"""Calls operations with boto3 and prints what it made of the answers; input and output are those of test/js/conformance.mjs."""

import datetime
import json
import sys

import boto3
import botocore.config
import botocore.exceptions

UTC = datetime.timezone.utc
plan = json.load(sys.stdin)


def decode(v):
    if isinstance(v, list):
        return [decode(item) for item in v]
    if isinstance(v, dict):
        if "$date" in v:
            return datetime.datetime.fromtimestamp(v["$date"] / 1000, UTC)
        return {name: decode(item) for name, item in v.items()}
    return v


def encode(v):
    if isinstance(v, datetime.datetime):
        return {"$date": round(v.timestamp() * 1000)}
    if isinstance(v, list):
        return [encode(item) for item in v]
    if isinstance(v, dict):
        return {name: encode(item) for name, item in v.items() if name != "ResponseMetadata"}
    return v


def client(service):
    return boto3.client(
        service,
        endpoint_url=plan["endpoint"],
        region_name=plan["region"],
        aws_access_key_id=plan["accessKey"],
        aws_secret_access_key=plan["secretKey"],
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


clients = {}
exception = None


def add_header(params, **_):
    if exception:
        params["headers"][plan["header"]] = exception


def run(call):
    global exception
    service = call["service"]
    if service not in clients:
        clients[service] = client(service)
        clients[service].meta.events.register("before-call", add_header)
    c = clients[service]
    method = {operation: name for name, operation in c.meta.method_to_api_mapping.items()}[call["operation"]]
    exception = call.get("exception")
    try:
        return {"output": encode(getattr(c, method)(**decode(call.get("input") or {})))}
    except botocore.exceptions.ClientError as e:
        name = e.response["Error"]["Code"]
        modelled = getattr(c.exceptions, name, None) if name in dir(c.exceptions) else None
        meta = e.response["ResponseMetadata"]
        return {
            "error": {
                "name": name,
                "message": e.response["Error"]["Message"],
                "status": meta["HTTPStatusCode"],
                "requestId": meta.get("RequestId", ""),
                "typed": modelled is not None and isinstance(e, modelled),
            }
        }


json.dump([run(call) for call in plan["calls"]], sys.stdout)

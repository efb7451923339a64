"""Sends random requests, sound and broken ones, and checks that each is answered as the service's model says: by success or by one of the exceptions of its
operation. Requests are made from the model's shapes, and name what earlier requests have made. A fault of the server ends the run.

Arguments: seed, number of requests. Prints what the answers were.
"""

import collections
import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request

import boto3
import botocore.session

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
REGION = os.environ["AWS_DEFAULT_REGION"]
THREADS = 4
ANYWHERE = {"InvalidInputException", "SerializationException", "ThrottlingException"}  # an InvalidInputException is in every model but that of some lists

seed, requests = int(sys.argv[1]), int(sys.argv[2])
services = [botocore.session.get_session().get_service_model(name) for name in ("personalize", "personalize-runtime", "personalize-events")]

FIELDS = {
    "Interactions": [("USER_ID", "string"), ("ITEM_ID", "string"), ("TIMESTAMP", "long"), ("EVENT_TYPE", "string"), ("EVENT_VALUE", ["float", "null"])],
    "Items": [("ITEM_ID", "string"), ("PRICE", ["double", "null"])],
    "Users": [("USER_ID", "string"), ("AGE", ["int", "null"])],
    "Actions": [("ACTION_ID", "string"), ("VALUE", ["long", "null"])],
}
ROWS = {
    "Interactions": [f"u{i % 30},i{i * i % 23},{1600000000 + i},{('click', 'buy')[i % 2]},{i % 5}" for i in range(600)],
    "Items": [f"i{i},{i}.5" for i in range(23)],
    "Users": [f"u{i},{20 + i}" for i in range(30)],
    "Actions": ["a1,1"],
}
EXPRESSIONS = ['EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")', "INCLUDE ItemID WHERE Items.PRICE > $P", "EXCLUDE ItemID WHERE Users.AGE IN", "|"]
RECIPES = ["aws-popularity-count", "aws-user-personalization", "aws-user-personalization-v2", "aws-sims", "aws-hrnn", "aws-ecomm-popular-items-by-views"]
BROKEN = [None, "", 0, -1, 1e9, 2**40, True, [], {}, "x" * 300, "é\u0000", "../../x", {"a": [None]}, [[]], '{"', "$LATEST"]
WORDS = ["u1", "i1", "a1", "click", "5", "0.3", "SAMPLECOUNT()", "SUM(Items.PRICE)", "hidden_dimension", "explorationWeight", "PRICE", "aws:x"]

s3 = boto3.client("s3")
s3.create_bucket(Bucket="random")
for kind, rows in ROWS.items():
    text = ",".join(name for name, _ in FIELDS[kind]) + "\n" + "\n".join(rows)
    s3.put_object(Bucket="random", Key=f"in/{kind}.csv", Body=text)
s3.put_object(Bucket="random", Key="forget/users.csv", Body="USER_ID\nu1\nu2\n")
LOCATIONS = [f"s3://random/in/{kind}.csv" for kind in ROWS] + ["s3://random/forget/", "s3://random/out", "s3://random/none/", "s3://no-such-bucket/x.csv", "http://x/y"]

made = collections.defaultdict(list)  # by the lower-case name of the member that they came in: ARNs and tracking IDs
lock = threading.Lock()


def remember(answer):
    """Keeps what an answer names: its own ARNs and IDs, not those inside of lists."""
    for name, value in answer.items():
        if isinstance(value, str) and name.lower().endswith(("arn", "trackingid")):
            with lock:
                made[name.lower()].append(value)


# --- Something of each kind to begin with ---


def make(kind, **parameters):
    """Creates a resource and waits until it can be used."""
    snake = "".join("_" + c.lower() if c.isupper() else c for c in kind).lstrip("_")
    answer = getattr(personalize, f"create_{snake}")(**parameters)
    remember(answer)
    member = kind[0].lower() + kind[1:]
    arn = answer[member + "Arn"]
    while kind != "Schema":
        described = getattr(personalize, f"describe_{snake}")(**{member + "Arn": arn})[member]
        if described["status"] == "ACTIVE":
            break
        assert "FAILED" not in described["status"], described
        time.sleep(0.05)
    return arn


personalize = boto3.client("personalize")
group = make("DatasetGroup", name="group")
role = "arn:aws:iam::000000000000:role/random"
for kind, fields in FIELDS.items():
    schema = json.dumps({"type": "record", "name": kind, "fields": [{"name": n, "type": t} for n, t in fields]})
    dataset = make("Dataset", name=kind, datasetType=kind, datasetGroupArn=group, schemaArn=make("Schema", name=kind, schema=schema))
    make("DatasetImportJob", jobName=kind, datasetArn=dataset, roleArn=role, dataSource={"dataLocation": f"s3://random/in/{kind}.csv"})
make("EventTracker", name="tracker", datasetGroupArn=group)
for recipe in ("aws-popularity-count", "aws-user-personalization-v2"):
    solution = make("Solution", name=recipe, datasetGroupArn=group, recipeArn="arn:aws:personalize:::recipe/" + recipe)
    make("Campaign", name=recipe, solutionVersionArn=make("SolutionVersion", solutionArn=solution))
make("Filter", name="filter", datasetGroupArn=group, filterExpression=EXPRESSIONS[0])


# --- Random requests ---


def call(service, operation, body):
    head = {"Content-Type": "application/json", "Authorization": f"AWS4-HMAC-SHA256 Credential=any/20260101/{REGION}/personalize/aws4_request, SignedHeaders=host, Signature=0"}
    path = operation.http["requestUri"]
    if service.metadata["protocol"] == "json":
        head["X-Amz-Target"] = f"{service.metadata['targetPrefix']}.{operation.name}"
    request = urllib.request.Request(ENDPOINT + path, json.dumps(body).encode(), head, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read() or b"{}")
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


def string(r, shape, name):
    name = name.lower()
    if shape.enum:
        return r.choice(shape.enum)
    if name == "rolearn":
        return role
    if name == "kmskeyarn":
        return "arn:aws:kms:us-east-1:000000000000:key/random"
    if name == "recipearn":
        return "arn:aws:personalize:::recipe/" + r.choice(RECIPES)
    if name.endswith(("arn", "trackingid")):
        with lock:
            mine, others = made[name], [v for values in made.values() for v in values]
        if mine and r.random() < 0.9:
            return r.choice(mine[:3] + mine[-6:]) + r.choice(["", "", "", "", "", "", "/$LATEST" if name == "solutionversionarn" else ""])
        return r.choice(others + ["arn:aws:personalize:us-east-1:000000000000:campaign/none"])
    if name in ("name", "jobname"):
        return "n" + "".join(r.choices("abcd", k=r.choice([1, 2, 5])))
    if name == "schema":
        kind = r.choice(list(FIELDS))
        return json.dumps({"type": "record", "name": kind, "fields": [{"name": n, "type": t} for n, t in FIELDS[kind]]})
    if name in ("datasettype", "key"):
        return r.choice([*FIELDS, "ITEMS", "users"])
    if name == "filterexpression":
        return r.choice(EXPRESSIONS)
    if name in ("datalocation", "path"):
        return r.choice(LOCATIONS)
    if name == "properties":
        return r.choice(["{}", '{"price":1,"age":5}', '{"userId":"x"}', "[]"])
    if name == "schedulingexpression":
        return r.choice(["rate(3 days)", "rate(99 days)"])
    return r.choice(WORDS)


def value(r, shape, name):
    if r.random() < 0.02:
        return r.choice(BROKEN)
    match shape.type_name:
        case "structure":
            wanted = lambda member: r.random() < (0.98 if member in shape.required_members else 0.25)
            return {n: value(r, m, n) for n, m in shape.members.items() if wanted(n)}
        case "list":
            return [value(r, shape.member, name) for _ in range(r.choice([0, 1, 1, 2, 3]))]
        case "map":
            return {string(r, shape.key, "key"): value(r, shape.value, "value") for _ in range(r.choice([0, 1, 1, 2]))}
        case "integer" | "long":
            return r.choice([0, 1, 2, 5, 25, 50, 100, 500])
        case "float" | "double":
            return r.choice([0, 0.5, 1, -1, 3.7])
        case "boolean":
            return r.random() < 0.3
        case "timestamp":
            return r.choice([0, 1600000000, 1.5, "2020-01-01T00:00:00Z"])
        case _:
            return string(r, shape, name)


answers, wrong = collections.Counter(), []


def worker(number):
    r = random.Random(f"{seed}-{number}")
    for _ in range(requests // THREADS):
        service = r.choices(services, [10, 2, 2])[0]
        operation = service.operation_model(r.choice(service.operation_names))
        if operation.name.startswith("Delete") and r.random() < 0.8:
            continue  # or little would ever be made
        body = value(r, operation.input_shape, operation.name) if operation.input_shape else {}
        status, answer = call(service, operation, body)
        code = answer.get("__type") if status != 200 else "success"
        with lock:
            answers[code] += 1
            if status != 200 and code not in {e.name for e in operation.error_shapes} | ANYWHERE:
                wrong.append((operation.name, body, status, answer))
        if code == "success":
            remember(answer)


threads = [threading.Thread(target=worker, args=(n,)) for n in range(THREADS)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(dict(answers))
print("made", {name: len(values) for name, values in made.items()})
for w in wrong[:10]:
    print("not in the model:", *w)
sys.exit(1 if wrong else 0)

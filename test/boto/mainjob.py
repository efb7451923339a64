"""The main job as the sample notebooks of Amazon Personalize do it: their calls, in their order, with their except clauses and polling loops.

Nothing here knows what it talks to. The test sets AWS_ENDPOINT_URL, a region and credentials, and gives a directory with interactions.csv and items.csv.
"""

import datetime
import json
import sys
import time
import uuid

import boto3
import botocore.exceptions

data_dir = sys.argv[1]

session = boto3.session.Session()
region = session.region_name
s3 = session.client("s3")
personalize = session.client("personalize")
personalize_runtime = session.client("personalize-runtime")
personalize_events = session.client("personalize-events")
account_id = session.client("sts").get_caller_identity().get("Account")


def wait(describe, member, done=("ACTIVE", "COMPLETED"), **arn):
    """Polls as the notebooks do. A resource that fails is printed with its reason."""
    deadline = time.time() + 3 * 60
    while time.time() < deadline:
        response = describe(**arn)[member]
        if response["status"] in done:
            return response
        if "FAILED" in response["status"]:
            raise RuntimeError(f"{arn}: {response['status']}: {response['failureReason']}")
        time.sleep(0.1)
    raise TimeoutError(arn)


def wait_until_gone(describe, **arn):
    while True:
        try:
            describe(**arn)
        except personalize.exceptions.ResourceNotFoundException:
            return
        time.sleep(0.1)


def expect(exception, call, **parameters):
    """The call answers exactly this exception, with a message."""
    try:
        call(**parameters)
    except exception as e:
        assert e.response["message"], e
        return e.response["Error"]["Message"]
    raise AssertionError(f"{call.__name__} succeeded, not {exception}")


# --- Bucket, policy, files ---

bucket = f"{account_id}-personalize-poc"
if region != "us-east-1":
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
else:
    s3.create_bucket(Bucket=bucket)
policy = {
    "Version": "2012-10-17",
    "Id": "PersonalizeS3BucketAccessPolicy",
    "Statement": [
        {
            "Sid": "PersonalizeS3BucketAccessPolicy",
            "Effect": "Allow",
            "Principal": {"Service": "personalize.amazonaws.com"},
            "Action": ["s3:*Object", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        }
    ],
}
s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
for name in ("interactions.csv", "items.csv"):
    session.resource("s3").Bucket(bucket).Object(name).upload_file(f"{data_dir}/{name}")
role_arn = f"arn:aws:iam::{account_id}:role/PersonalizeRolePOC"


# --- Schemas, dataset group, datasets ---


def create_schema(name, dataset_type, fields):
    schema = {"type": "record", "name": dataset_type, "namespace": "com.amazonaws.personalize.schema", "fields": fields, "version": "1.0"}
    try:
        return personalize.create_schema(name=name, schema=json.dumps(schema))["schemaArn"]
    except personalize.exceptions.ResourceAlreadyExistsException:
        for page in personalize.get_paginator("list_schemas").paginate(PaginationConfig={"PageSize": 1}):
            for s in page["schemas"]:
                if s["name"] == name:
                    return s["schemaArn"]
        raise


interaction_fields = [
    {"name": "USER_ID", "type": "string"},
    {"name": "ITEM_ID", "type": "string"},
    {"name": "EVENT_TYPE", "type": "string"},
    {"name": "EVENT_VALUE", "type": ["float", "null"]},
    {"name": "TIMESTAMP", "type": "long"},
]
item_fields = [
    {"name": "ITEM_ID", "type": "string"},
    {"name": "TITLE", "type": ["null", "string"]},
    {"name": "GENRES", "type": ["null", "string"], "categorical": True},
    {"name": "PRICE", "type": ["float", "null"]},
]
interactions_schema_arn = create_schema("poc-interactions", "Interactions", interaction_fields)
assert create_schema("poc-interactions", "Interactions", interaction_fields) == interactions_schema_arn
items_schema_arn = create_schema("poc-items", "Items", item_fields)
described = personalize.describe_schema(schemaArn=items_schema_arn)["schema"]
assert json.loads(described["schema"])["fields"] == item_fields
assert abs(described["creationDateTime"] - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=5)

response = personalize.create_dataset_group(name="poc", tags=[{"tagKey": "stage", "tagValue": "poc"}])
assert "domain" not in response
dataset_group_arn = response["datasetGroupArn"]
wait(personalize.describe_dataset_group, "datasetGroup", datasetGroupArn=dataset_group_arn)
expect(personalize.exceptions.ResourceAlreadyExistsException, personalize.create_dataset_group, name="poc")

datasets = {}
for dataset_type, schema_arn in (("INTERACTIONS", interactions_schema_arn), ("Items", items_schema_arn)):
    arn = personalize.create_dataset(
        name=f"poc-{dataset_type.lower()}", datasetType=dataset_type, datasetGroupArn=dataset_group_arn, schemaArn=schema_arn
    )["datasetArn"]
    dataset = wait(personalize.describe_dataset, "dataset", datasetArn=arn)
    assert dataset["datasetType"] == dataset_type.upper()
    datasets[dataset_type.upper()] = arn
interactions_arn, items_arn = datasets["INTERACTIONS"], datasets["ITEMS"]


# --- Import ---

import_jobs = [
    personalize.create_dataset_import_job(
        jobName=f"poc-import-{name}", datasetArn=arn, dataSource={"dataLocation": f"s3://{bucket}/{name}.csv"}, roleArn=role_arn
    )["datasetImportJobArn"]
    for name, arn in (("interactions", interactions_arn), ("items", items_arn))
]
for arn in import_jobs:
    job = wait(personalize.describe_dataset_import_job, "datasetImportJob", datasetImportJobArn=arn)
    assert job["importMode"] == "FULL" and "failureReason" not in job


# --- Event tracker ---

response = personalize.create_event_tracker(name="poc-tracker", datasetGroupArn=dataset_group_arn)
tracking_id, event_tracker_arn = response["trackingId"], response["eventTrackerArn"]
tracker = wait(personalize.describe_event_tracker, "eventTracker", eventTrackerArn=event_tracker_arn)
assert tracker["trackingId"] == tracking_id and tracker["accountId"] == account_id


# --- Solutions and their versions ---

recipes = [recipe["recipeArn"] for page in personalize.get_paginator("list_recipes").paginate() for recipe in page["recipes"]]
assert recipes == sorted(recipes)
solution_version_arns = {}
for recipe in ("aws-user-personalization", "aws-popularity-count"):
    recipe_arn = f"arn:aws:personalize:::recipe/{recipe}"
    assert recipe_arn in recipes
    solution_arn = personalize.create_solution(name=f"poc-{recipe}", datasetGroupArn=dataset_group_arn, recipeArn=recipe_arn)["solutionArn"]
    solution = wait(personalize.describe_solution, "solution", solutionArn=solution_arn)
    assert solution["performHPO"] is False and solution["performAutoML"] is False and solution["performAutoTraining"] is True
    solution_version_arns[recipe] = personalize.create_solution_version(solutionArn=solution_arn)["solutionVersionArn"]

in_progress = list(solution_version_arns.values())
deadline = time.time() + 3 * 60
while in_progress and time.time() < deadline:
    for arn in list(in_progress):
        version = personalize.describe_solution_version(solutionVersionArn=arn)["solutionVersion"]
        assert version["status"] != "CREATE FAILED", version["failureReason"]
        if version["status"] == "ACTIVE":
            assert version["trainingMode"] == "FULL" and version["trainingType"] == "MANUAL" and version["trainingHours"] > 0
            in_progress.remove(arn)
    time.sleep(0.1)
assert not in_progress

for recipe, arn in solution_version_arns.items():
    metrics = personalize.get_solution_metrics(solutionVersionArn=arn)["metrics"]
    assert set(metrics) == {"coverage", "mean_reciprocal_rank_at_25"} | {
        f"{m}_at_{k}" for m in ("normalized_discounted_cumulative_gain", "precision") for k in (5, 10, 25)
    }, metrics
    print(recipe, metrics)


# --- Campaigns ---

campaign_arns = {}
for recipe, arn in solution_version_arns.items():
    config = {"itemExplorationConfig": {"explorationWeight": "0"}, "enableMetadataWithRecommendations": True} if "user" in recipe else {}
    campaign_arns[recipe] = personalize.create_campaign(
        name=f"poc-campaign-{recipe}", solutionVersionArn=arn, minProvisionedTPS=1, campaignConfig=config
    )["campaignArn"]
for arn in campaign_arns.values():
    wait(personalize.describe_campaign, "campaign", campaignArn=arn)
campaign_arn, popular_arn = campaign_arns["aws-user-personalization"], campaign_arns["aws-popularity-count"]


# --- Recommendations ---


def recommend(user, n=10, **more):
    response = personalize_runtime.get_recommendations(campaignArn=campaign_arn, userId=user, numResults=n, **more)
    assert response["recommendationId"].startswith("RID-") and len(response["recommendationId"]) == 40
    return response["itemList"]


known = open(f"{data_dir}/interactions.csv").readlines()[1].split(",")[0]
items = recommend(known)
assert len(items) == 10 and all(0 < item["score"] <= 1 for item in items)
assert [item["score"] for item in items] == sorted((item["score"] for item in items), reverse=True)
assert len(personalize_runtime.get_recommendations(campaignArn=campaign_arn, userId=known, itemId="ignored")["itemList"]) == 25
for item in recommend(known, 3, metadataColumns={"ITEMS": ["TITLE", "GENRES"]}, context={"DEVICE": "phone"}):
    assert set(item["metadata"]) == {"title", "genres"}
popular = personalize_runtime.get_recommendations(campaignArn=popular_arn, userId=known, numResults=3)["itemList"]
assert len(popular) == 3 and all("score" not in item for item in popular)
expect(personalize_runtime.exceptions.InvalidInputException, personalize_runtime.get_recommendations, campaignArn=campaign_arn)
expect(personalize_runtime.exceptions.ResourceNotFoundException, personalize_runtime.get_recommendations, campaignArn=campaign_arn + "x", userId=known)


# --- Events ---

visitor, session_id = "canary-visitor-b070", str(uuid.uuid4())
before = recommend(visitor)
personalize_events.put_events(
    trackingId=tracking_id,
    userId=visitor,
    sessionId=session_id,
    eventList=[{"sentAt": datetime.datetime.now(), "eventType": "view", "itemId": items[-1]["itemId"], "eventValue": 4.5}],
)
personalize_events.put_events(
    trackingId=tracking_id,
    userId=visitor,
    sessionId=session_id,
    eventList=[{"sentAt": int(time.time()), "eventType": "view", "properties": json.dumps({"itemId": items[-2]["itemId"]})}],
)
assert recommend(visitor) != before
personalize_events.put_items(datasetArn=items_arn, items=[{"itemId": "put-1", "properties": json.dumps({"title": "New, here", "genres": "a|b"})}])
expect(
    personalize_events.exceptions.InvalidInputException,
    personalize_events.put_events,
    trackingId=str(uuid.uuid4()),
    sessionId=session_id,
    eventList=[{"sentAt": 1, "eventType": "view", "itemId": "x"}],
)
expect(
    personalize_events.exceptions.ResourceNotFoundException,
    personalize_events.put_items,
    datasetArn=items_arn.replace("/poc/", "/other/"),
    items=[{"itemId": "x"}],
)


# --- A filter and a batch job ---

filter_arn = personalize.create_filter(
    name="poc-filter", datasetGroupArn=dataset_group_arn, filterExpression='EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("view") | INCLUDE ItemID WHERE Items.GENRES IN ($GENRES)'
)["filterArn"]
wait(personalize.describe_filter, "filter", filterArn=filter_arn)
viewed = {items[-1]["itemId"], items[-2]["itemId"]}
filtered = recommend(visitor, 40, filterArn=filter_arn, filterValues={"GENRES": '"all"'})
assert filtered and not viewed & {item["itemId"] for item in filtered}, filtered
expect(personalize_runtime.exceptions.InvalidInputException, personalize_runtime.get_recommendations, campaignArn=campaign_arn, userId=known, filterArn=filter_arn)
s3.put_object(Bucket=bucket, Key="batch/in/users.json", Body=json.dumps({"userId": known, "filterValues": {"GENRES": '"all"'}}) + "\n")
batch_arn = personalize.create_batch_inference_job(
    jobName="poc-batch",
    solutionVersionArn=solution_version_arns["aws-user-personalization"],
    filterArn=filter_arn,
    numResults=10,
    roleArn=role_arn,
    jobInput={"s3DataSource": {"path": f"s3://{bucket}/batch/in/users.json"}},
    jobOutput={"s3DataDestination": {"path": f"s3://{bucket}/batch/out/"}},
    batchInferenceJobConfig={"itemExplorationConfig": {"explorationWeight": "0"}},
)["batchInferenceJobArn"]
wait(personalize.describe_batch_inference_job, "batchInferenceJob", batchInferenceJobArn=batch_arn)
line = json.loads(s3.get_object(Bucket=bucket, Key="batch/out/users.json.out")["Body"].read())
assert line["error"] is None and line["output"]["recommendedItems"] == [
    item["itemId"] for item in recommend(known, filterArn=filter_arn, filterValues={"GENRES": '"all"'})
], line


# --- Updates, tags, lists ---

personalize.update_campaign(campaignArn=campaign_arn, minProvisionedTPS=2)
while personalize.describe_campaign(campaignArn=campaign_arn)["campaign"]["latestCampaignUpdate"]["status"] != "ACTIVE":
    time.sleep(0.1)
assert personalize.describe_campaign(campaignArn=campaign_arn)["campaign"]["minProvisionedTPS"] == 2

personalize.tag_resource(resourceArn=campaign_arn, tags=[{"tagKey": "a", "tagValue": "1"}, {"tagKey": "b", "tagValue": ""}])
personalize.untag_resource(resourceArn=campaign_arn, tagKeys=["a"])
assert personalize.list_tags_for_resource(resourceArn=campaign_arn)["tags"] == [{"tagKey": "b", "tagValue": ""}]
assert personalize.list_tags_for_resource(resourceArn=dataset_group_arn)["tags"] == [{"tagKey": "stage", "tagValue": "poc"}]

for operation, member, want in (
    ("list_dataset_groups", "datasetGroups", 1),
    ("list_datasets", "datasets", 2),
    ("list_dataset_import_jobs", "datasetImportJobs", 2),
    ("list_dataset_export_jobs", "datasetExportJobs", 0),
    ("list_event_trackers", "eventTrackers", 1),
    ("list_filters", "Filters", 1),
    ("list_solutions", "solutions", 2),
    ("list_solution_versions", "solutionVersions", 2),
    ("list_campaigns", "campaigns", 2),
    ("list_recommenders", "recommenders", 0),
    ("list_metric_attributions", "metricAttributions", 0),
    ("list_batch_inference_jobs", "batchInferenceJobs", 1),
    ("list_batch_segment_jobs", "batchSegmentJobs", 0),
    ("list_schemas", "schemas", 2),
):
    pages = list(personalize.get_paginator(operation).paginate(PaginationConfig={"PageSize": 1}))
    found = [summary for page in pages for summary in page[member]]
    assert len(found) == want and len(pages) == max(1, want), (operation, found)
    assert found == sorted(found, key=lambda summary: summary["creationDateTime"], reverse=True), (operation, found)


# --- Export and deletion ---


def export(name):
    arn = personalize.create_dataset_export_job(
        jobName=name,
        datasetArn=interactions_arn,
        ingestionMode="ALL",
        roleArn=role_arn,
        jobOutput={"s3DataDestination": {"path": f"s3://{bucket}/exports/"}},
    )["datasetExportJobArn"]
    wait(personalize.describe_dataset_export_job, "datasetExportJob", datasetExportJobArn=arn)
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=f"exports/{name}/")["Contents"]]
    return "".join(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys)


exported = export("before")
theirs = sum(line.startswith((known + ",", visitor + ",")) for line in exported.splitlines())
assert theirs > 2, exported[:200]
s3.put_object(Bucket=bucket, Key="forget/users.csv", Body=f"USER_ID\n{known}\n{visitor}\n{visitor}\nnobody\n")
deletion_arn = personalize.create_data_deletion_job(
    jobName="poc-forget", datasetGroupArn=dataset_group_arn, dataSource={"dataLocation": f"s3://{bucket}/forget/"}, roleArn=role_arn
)["dataDeletionJobArn"]
job = wait(personalize.describe_data_deletion_job, "dataDeletionJob", dataDeletionJobArn=deletion_arn)
assert job["numDeleted"] == theirs, (job, theirs)
summaries = personalize.list_data_deletion_jobs(datasetGroupArn=dataset_group_arn)["dataDeletionJobs"]
assert [s["dataDeletionJobArn"] for s in summaries] == [deletion_arn] and "numDeleted" not in summaries[0]
assert sorted(export("after").splitlines()) == sorted(
    line for line in exported.splitlines() if not line.startswith((known + ",", visitor + ","))
)
stranger = recommend("never-seen")
assert recommend(known) == stranger and recommend(visitor) == stranger


# --- Tear-down, in the documented order ---

in_use = personalize.exceptions.ResourceInUseException
expect(in_use, personalize.delete_dataset_group, datasetGroupArn=dataset_group_arn)
expect(in_use, personalize.delete_dataset, datasetArn=interactions_arn)
expect(in_use, personalize.delete_schema, schemaArn=interactions_schema_arn)
expect(in_use, personalize.delete_solution, solutionArn=solution_version_arns["aws-popularity-count"].rsplit("/", 1)[0])
for arn in campaign_arns.values():
    personalize.delete_campaign(campaignArn=arn)
for arn in campaign_arns.values():
    wait_until_gone(personalize.describe_campaign, campaignArn=arn)
solution_arns = [arn.rsplit("/", 1)[0] for arn in solution_version_arns.values()]
for arn in solution_arns:
    personalize.delete_solution(solutionArn=arn)
for arn in solution_arns:
    wait_until_gone(personalize.describe_solution, solutionArn=arn)
expect(in_use, personalize.delete_dataset, datasetArn=items_arn)
personalize.delete_filter(filterArn=filter_arn)
wait_until_gone(personalize.describe_filter, filterArn=filter_arn)
personalize.delete_event_tracker(eventTrackerArn=event_tracker_arn)
wait_until_gone(personalize.describe_event_tracker, eventTrackerArn=event_tracker_arn)
for arn in datasets.values():
    personalize.delete_dataset(datasetArn=arn)
for arn in datasets.values():
    wait_until_gone(personalize.describe_dataset, datasetArn=arn)
personalize.delete_dataset_group(datasetGroupArn=dataset_group_arn)
wait_until_gone(personalize.describe_dataset_group, datasetGroupArn=dataset_group_arn)
for arn in (interactions_schema_arn, items_schema_arn):
    personalize.delete_schema(schemaArn=arn)
expect(personalize.exceptions.ResourceNotFoundException, personalize.describe_data_deletion_job, dataDeletionJobArn=deletion_arn)
session.resource("s3").Bucket(bucket).objects.all().delete()
s3.delete_bucket(Bucket=bucket)

# The next run of the notebook starts from nothing.
assert personalize.list_schemas()["schemas"] == []
try:
    s3.head_bucket(Bucket=bucket)
    raise AssertionError("the bucket is still there")
except botocore.exceptions.ClientError as e:
    assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 404, e
print("done")

package mainjob

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// These tests hold palate to the reference pages of the operations it began with: CreateDataDeletionJob, DataDeletionJob, DescribeDataDeletionJob,
// DescribeDatasetImportJob and DescribeDatasetExportJob.

// members asserts which members a description has.
func members(t *testing.T, d server.M, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(d))); diff != "" {
		t.Errorf("members:\n%s", diff)
	}
}

// times asserts that the timestamps are epoch seconds of the last minutes, in order.
func times(t *testing.T, d server.M) {
	t.Helper()
	created, updated := d["creationDateTime"].(float64), d["lastUpdatedDateTime"].(float64)
	now := float64(time.Now().Unix())
	if created < now-300 || updated < created || updated > now+1 {
		t.Errorf("creationDateTime %f, lastUpdatedDateTime %f, now %f", created, updated, now)
	}
}

func TestPagesOfTheDataDeletionJob(t *testing.T) {
	h := shop.Open(t, server.Start(t, "--hold", "120ms"))
	d := shop.Generate(60, 40, 1200, 9)
	h.Load(h.Interactions, d.Interactions)
	h.Upload(h.Objects, "forget/one.csv", "USER_ID\n"+d.Users[0]+"\n")
	request := func(name string) server.M {
		return server.M{"jobName": name, "datasetGroupArn": h.Group, "dataSource": server.M{"dataLocation": "s3://shop/forget/one.csv"}, "roleArn": shop.Role,
			"tags": []server.M{{"tagKey": "reason", "tagValue": "asked"}}}
	}

	created := h.Must("CreateDataDeletionJob", request("forget-one"))
	members(t, created, "dataDeletionJobArn")
	arn := created["dataDeletionJobArn"].(string)
	if want := "arn:aws:personalize:us-east-1:000000000000:data-deletion-job/forget-one"; arn != want {
		t.Errorf("ARN is %s, want %s", arn, want)
	}

	t.Run("success", func(t *testing.T) {
		seen, job := h.Watch("dataDeletionJob", arn)
		if diff := cmp.Diff([]string{"PENDING", "IN_PROGRESS", "COMPLETED"}, seen); diff != "" {
			t.Errorf("statuses:\n%s", diff)
		}
		members(t, job, "jobName", "dataDeletionJobArn", "datasetGroupArn", "dataSource", "roleArn", "status", "numDeleted", "creationDateTime", "lastUpdatedDateTime")
		times(t, job)
		want := float64(len(d.Interactions) - len(shop.Without(d.Interactions, d.Users[0])))
		if job["jobName"] != "forget-one" || job["datasetGroupArn"] != h.Group || job["roleArn"] != shop.Role || job["numDeleted"] != want {
			t.Errorf("job is %v, want numDeleted %v", job, want)
		}
		if diff := cmp.Diff(server.M{"dataLocation": "s3://shop/forget/one.csv"}, job["dataSource"]); diff != "" {
			t.Errorf("dataSource:\n%s", diff)
		}
		tags := h.Must("ListTagsForResource", server.M{"resourceArn": arn})["tags"]
		if diff := cmp.Diff([]any{server.M{"tagKey": "reason", "tagValue": "asked"}}, tags); diff != "" {
			t.Errorf("tags:\n%s", diff)
		}
	})

	t.Run("list shows the newest first and no count", func(t *testing.T) {
		second := h.StartDeletion(d.Users[1])
		h.Wait("dataDeletionJob", second)
		list := h.Must("ListDataDeletionJobs", server.M{"datasetGroupArn": h.Group})["dataDeletionJobs"].([]any)
		if len(list) != 2 || list[0].(server.M)["dataDeletionJobArn"] != second {
			t.Fatalf("list is %v", list)
		}
		members(t, list[0].(server.M), "dataDeletionJobArn", "datasetGroupArn", "jobName", "status", "creationDateTime", "lastUpdatedDateTime")
	})

	t.Run("failures", func(t *testing.T) {
		lists := map[string]struct{ key, text, reason string }{
			"wrong header":   {"forget/header.csv", "user\nx\n", "Data deletion input must have a single USER_ID column."},
			"extra column":   {"forget/extra.csv", "USER_ID,ITEM_ID\nx,y\n", "Data deletion input must have a single USER_ID column."},
			"missing object": {"", "", "The specified Amazon S3 location does not contain any CSV files."},
			"too long an id": {"forget/long.csv", "USER_ID\n" + strings.Repeat("x", 257) + "\n", "256"},
			"nobody listed":  {"forget/nobody.csv", "USER_ID\n", "does not list any user"},
		}
		n := 0
		for name, c := range lists {
			n++
			key := "forget/missing.csv"
			if c.key != "" {
				key = c.key
				h.Upload(h.Objects, key, c.text)
			}
			in := request(fmt.Sprintf("fail-%d", n))
			in["dataSource"] = server.M{"dataLocation": "s3://shop/" + key}
			_, job := h.Watch("dataDeletionJob", h.Must("CreateDataDeletionJob", in)["dataDeletionJobArn"].(string))
			reason, _ := job["failureReason"].(string)
			if job["status"] != "FAILED" || !strings.Contains(reason, c.reason) {
				t.Errorf("%s: ended %v with %q", name, job["status"], reason)
			}
			if strings.Contains(reason, "xxxx") {
				t.Errorf("%s: the reason holds an id", name)
			}
			members(t, job, "jobName", "dataDeletionJobArn", "datasetGroupArn", "dataSource", "roleArn", "status", "failureReason", "creationDateTime", "lastUpdatedDateTime")
		}
		in := request("no-bucket")
		in["dataSource"] = server.M{"dataLocation": "s3://no-such-bucket/users.csv"}
		_, job := h.Watch("dataDeletionJob", h.Must("CreateDataDeletionJob", in)["dataDeletionJobArn"].(string))
		if reason := job["failureReason"].(string); !strings.HasPrefix(reason, "Insufficient privileges for accessing data in Amazon S3.") {
			t.Errorf("missing bucket: %q", reason)
		}
	})

	t.Run("a folder is read with its sub-folders, CSV only", func(t *testing.T) {
		h.Upload(h.Objects, "many/a.csv", "USER_ID\n"+d.Users[2]+"\n"+d.Users[3]+"\n")
		h.Upload(h.Objects, "many/deep/er/B.CSV", "USER_ID\r\n\""+d.Users[4]+"\"\r\n\r\n"+d.Users[2]+"\r\n")
		h.Upload(h.Objects, "many/readme.txt", "this is no list")
		in := request("folder")
		in["dataSource"] = server.M{"dataLocation": "s3://shop/many/"}
		_, job := h.Watch("dataDeletionJob", h.Must("CreateDataDeletionJob", in)["dataDeletionJobArn"].(string))
		want := float64(len(d.Interactions) - len(shop.Without(d.Interactions, d.Users[2:5]...)))
		if job["numDeleted"] != want {
			t.Errorf("ended %v (%v), numDeleted %v, want %v", job["status"], job["failureReason"], job["numDeleted"], want)
		}
	})

	t.Run("errors", func(t *testing.T) {
		bad := request("x")
		delete(bad, "roleArn")
		bad["jobName"] = "no spaces allowed"
		if m := h.Refused("InvalidInputException", "CreateDataDeletionJob", bad); !strings.HasPrefix(m, "2 validation errors detected: ") {
			t.Errorf("message is %q", m)
		}
		bad = request(strings.Repeat("n", 64))
		h.Refused("InvalidInputException", "CreateDataDeletionJob", bad)
		bad = request("y")
		bad["datasetGroupArn"] = h.Interactions
		h.Refused("ResourceNotFoundException", "CreateDataDeletionJob", bad)
		bad["datasetGroupArn"] = "arn:aws:personalize:us-east-1:000000000000:dataset-group/none"
		if m := h.Refused("ResourceNotFoundException", "CreateDataDeletionJob", bad); m != "Resource Arn arn:aws:personalize:us-east-1:000000000000:dataset-group/none does not exist." {
			t.Errorf("message is %q", m)
		}
		h.Refused("ResourceAlreadyExistsException", "CreateDataDeletionJob", request("forget-one"))
		h.Refused("ResourceNotFoundException", "DescribeDataDeletionJob", server.M{"dataDeletionJobArn": arn + "x"})
		tooMany := request("tagged")
		var tags []server.M
		for i := range 51 {
			tags = append(tags, server.M{"tagKey": fmt.Sprint("k", i), "tagValue": "v"})
		}
		tooMany["tags"] = tags
		h.Refused("TooManyTagsException", "CreateDataDeletionJob", tooMany)
		newGroup := h.Must("CreateDatasetGroup", server.M{"name": "fresh"})["datasetGroupArn"]
		early := request("early")
		early["datasetGroupArn"] = newGroup
		h.Refused("ResourceInUseException", "CreateDataDeletionJob", early)
		h.Refused("InvalidNextTokenException", "ListDataDeletionJobs", server.M{"nextToken": "forged"})
	})
}

func TestAGroupHasFivePendingDeletionJobs(t *testing.T) {
	h := shop.New(t, server.Start(t, "--hold", "1s"), "shop", "")
	for range 6 { // one of them runs
		h.StartDeletion("nobody")
		if len(pendingDeletions(h)) == 5 {
			break
		}
	}
	h.Upload(h.Objects, "forget/more.csv", "USER_ID\nnobody\n")
	m := h.Refused("LimitExceededException", "CreateDataDeletionJob", server.M{"jobName": "one-too-many", "datasetGroupArn": h.Group, "roleArn": shop.Role,
		"dataSource": server.M{"dataLocation": "s3://shop/forget/more.csv"}})
	if m != "More than 5 resources with PENDING or IN_PROGRESS status." && m != "More than 5 resources with PENDING status." {
		t.Errorf("message is %q", m)
	}
}

func pendingDeletions(h *shop.Shop) (pending []string) {
	for _, j := range h.Must("ListDataDeletionJobs", server.M{"datasetGroupArn": h.Group})["dataDeletionJobs"].([]any) {
		if j.(server.M)["status"] == "PENDING" {
			pending = append(pending, j.(server.M)["jobName"].(string))
		}
	}
	return pending
}

func TestPagesOfTheDatasetImportJob(t *testing.T) {
	h := shop.Open(t, server.Start(t, "--hold", "120ms"))
	arn := h.StartImport(h.Interactions, shop.Generate(60, 40, 1200, 10).Interactions, "FULL")
	seen, job := h.Watch("datasetImportJob", arn)
	if diff := cmp.Diff([]string{"CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"}, seen); diff != "" {
		t.Errorf("statuses:\n%s", diff)
	}
	members(t, job, "jobName", "datasetImportJobArn", "datasetArn", "dataSource", "roleArn", "status", "creationDateTime", "lastUpdatedDateTime", "importMode",
		"publishAttributionMetricsToS3")
	times(t, job)
	if job["importMode"] != "FULL" || job["datasetArn"] != h.Interactions || job["datasetImportJobArn"] != arn {
		t.Errorf("job is %v", job)
	}
}

func TestPagesOfTheDatasetExportJob(t *testing.T) {
	h := shop.Open(t, server.Start(t, "--hold", "120ms"))
	h.Load(h.Interactions, shop.Generate(60, 40, 1200, 11).Interactions)
	arn := h.Must("CreateDatasetExportJob", server.M{"jobName": "out", "datasetArn": h.Interactions, "roleArn": shop.Role,
		"jobOutput": server.M{"s3DataDestination": server.M{"path": "s3://shop/out"}}})["datasetExportJobArn"].(string)
	seen, job := h.Watch("datasetExportJob", arn)
	if diff := cmp.Diff([]string{"CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"}, seen); diff != "" {
		t.Errorf("statuses:\n%s", diff)
	}
	members(t, job, "jobName", "datasetExportJobArn", "datasetArn", "ingestionMode", "roleArn", "status", "jobOutput", "creationDateTime", "lastUpdatedDateTime")
	times(t, job)
	if job["ingestionMode"] != "PUT" {
		t.Errorf("ingestionMode defaults to %v", job["ingestionMode"])
	}
	if texts := h.Download(h.Objects, "out/out/"); len(texts) != 1 || texts[0] != "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n" {
		t.Errorf("an export of no rows wrote %q", texts)
	}
	_, failed := h.Watch("datasetExportJob", h.Must("CreateDatasetExportJob", server.M{"jobName": "nowhere", "datasetArn": h.Interactions, "roleArn": shop.Role,
		"jobOutput": server.M{"s3DataDestination": server.M{"path": "s3://no-such-bucket/out/"}}})["datasetExportJobArn"].(string))
	if reason, _ := failed["failureReason"].(string); failed["status"] != "CREATE FAILED" || !strings.HasPrefix(reason, "Insufficient privileges for accessing data in Amazon S3.") {
		t.Errorf("ended %v: %q", failed["status"], reason)
	}
}

func TestBadInputFailsTheImportWholeAndSaysWhere(t *testing.T) {
	h := shop.Open(t, server.Start(t))
	before := shop.Generate(60, 40, 1200, 12).Interactions
	h.Load(h.Interactions, before)
	const header = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n"
	const good = "u1,i1,1700000000,view,1\n"
	cases := []struct{ name, text, reason string }{
		{"missing columns", "USER_ID,ITEM_ID\nu1,i1\n", "Input CSV is missing the following columns:[TIMESTAMP, EVENT_TYPE, EVENT_VALUE]."},
		{"wrong type", header + good + "u1,i1,yesterday,view,1\n", "line 3, column TIMESTAMP"},
		{"empty id", header + good + good + ",i1,1700000000,view,1\n", "line 4, column USER_ID"},
		{"over-long value", header + "u1,i1,1700000000," + strings.Repeat("v", 1001) + ",1\n", "Length cannot be more than 1000 characters for EVENT_TYPE."},
		{"broken quote", header + good + "\"u1,i1,1700000000,view,1\n", "line 3"},
		{"not UTF-8", header + "u1,caf\xe9,1700000000,view,1\n", "line 2, column ITEM_ID"},
		{"too few fields", header + "u1,i1\n", "line 2"},
		{"empty object", "", "in/empty-object.csv"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			key := "in/" + strings.ReplaceAll(c.name, " ", "-") + ".csv"
			h.Upload(h.Objects, key, c.text)
			failImport(h, t, "s3://shop/"+key, c.reason)
		})
	}
	failImport(h, t, "s3://no-such-bucket/x.csv", "Insufficient privileges for accessing data in Amazon S3.")
	failImport(h, t, "s3://shop/no/such/folder/", "The specified Amazon S3 location does not contain any CSV files.")
	failImport(h, t, "s3://shop/in", "The specified Amazon S3 location does not contain any CSV files.")
	if diff := cmp.Diff(shop.Lines(before), shop.Lines(h.Export(h.Interactions, "ALL"))); diff != "" {
		t.Errorf("a failed import changed the dataset:\n%s", diff)
	}
}

func failImport(h *shop.Shop, t *testing.T, location, want string) {
	t.Helper()
	arn := h.Must("CreateDatasetImportJob", server.M{"jobName": h.Name("bad"), "datasetArn": h.Interactions, "roleArn": shop.Role,
		"dataSource": server.M{"dataLocation": location}})["datasetImportJobArn"].(string)
	job := h.Wait("datasetImportJob", arn)
	reason, _ := job["failureReason"].(string)
	if job["status"] != "CREATE FAILED" || !strings.Contains(reason, want) {
		t.Errorf("%s ended %v: %q, want %q", location, job["status"], reason, want)
	}
}

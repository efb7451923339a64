package mainjob

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
)

// These tests hold palate to the reference pages of the operations it began with: CreateDataDeletionJob, DataDeletionJob, DescribeDataDeletionJob,
// DescribeDatasetImportJob and DescribeDatasetExportJob.

// watch polls a resource and returns each status it saw, in order, with the last description.
func (h *shop) watch(noun, arn string) (seen []string, last M) {
	h.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		d, err := h.Describe(noun, arn)
		if err != nil {
			h.t.Fatal(err)
		}
		status := d["status"].(string)
		if len(seen) == 0 || seen[len(seen)-1] != status {
			seen = append(seen, status)
		}
		if status == "ACTIVE" || status == "COMPLETED" || strings.HasSuffix(status, "FAILED") {
			return seen, d
		}
	}
	h.t.Fatalf("%s never ended: %v", arn, seen)
	return nil, nil
}

// members asserts which members a description has.
func members(t *testing.T, d M, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(d))); diff != "" {
		t.Errorf("members:\n%s", diff)
	}
}

// times asserts that the timestamps are epoch seconds of the last minutes, in order.
func times(t *testing.T, d M) {
	t.Helper()
	created, updated := d["creationDateTime"].(float64), d["lastUpdatedDateTime"].(float64)
	now := float64(time.Now().Unix())
	if created < now-300 || updated < created || updated > now+1 {
		t.Errorf("creationDateTime %f, lastUpdatedDateTime %f, now %f", created, updated, now)
	}
}

// refused asserts that a call answers an exception, and returns its message.
func (h *shop) refused(code, operation string, in any) string {
	h.t.Helper()
	_, err := h.Call(operation, in)
	var e *server.APIError
	if !errors.As(err, &e) || e.Code != code {
		h.t.Fatalf("%s answered %v, want %s", operation, err, code)
	}
	return e.Message
}

func TestPagesOfTheDataDeletionJob(t *testing.T) {
	h := openShop(t, server.Start(t, "--hold", "120ms"))
	d := generate(60, 40, 1200, 9)
	h.load(h.interactions, d.interactions)
	h.Upload(h.bucket, "forget/one.csv", "USER_ID\n"+d.users[0]+"\n")
	request := func(name string) M {
		return M{"jobName": name, "datasetGroupArn": h.group, "dataSource": M{"dataLocation": "s3://shop/forget/one.csv"}, "roleArn": role,
			"tags": []M{{"tagKey": "reason", "tagValue": "asked"}}}
	}

	created := h.Must("CreateDataDeletionJob", request("forget-one"))
	members(t, created, "dataDeletionJobArn")
	arn := created["dataDeletionJobArn"].(string)
	if want := "arn:aws:personalize:us-east-1:000000000000:data-deletion-job/forget-one"; arn != want {
		t.Errorf("ARN is %s, want %s", arn, want)
	}

	t.Run("success", func(t *testing.T) {
		seen, job := h.watch("dataDeletionJob", arn)
		if diff := cmp.Diff([]string{"PENDING", "IN_PROGRESS", "COMPLETED"}, seen); diff != "" {
			t.Errorf("statuses:\n%s", diff)
		}
		members(t, job, "jobName", "dataDeletionJobArn", "datasetGroupArn", "dataSource", "roleArn", "status", "numDeleted", "creationDateTime", "lastUpdatedDateTime")
		times(t, job)
		want := float64(len(d.interactions) - len(without(d.interactions, d.users[0])))
		if job["jobName"] != "forget-one" || job["datasetGroupArn"] != h.group || job["roleArn"] != role || job["numDeleted"] != want {
			t.Errorf("job is %v, want numDeleted %v", job, want)
		}
		if diff := cmp.Diff(M{"dataLocation": "s3://shop/forget/one.csv"}, job["dataSource"]); diff != "" {
			t.Errorf("dataSource:\n%s", diff)
		}
		tags := h.Must("ListTagsForResource", M{"resourceArn": arn})["tags"]
		if diff := cmp.Diff([]any{M{"tagKey": "reason", "tagValue": "asked"}}, tags); diff != "" {
			t.Errorf("tags:\n%s", diff)
		}
	})

	t.Run("list shows the newest first and no count", func(t *testing.T) {
		second := h.startDeletion(d.users[1])
		h.Wait("dataDeletionJob", second)
		list := h.Must("ListDataDeletionJobs", M{"datasetGroupArn": h.group})["dataDeletionJobs"].([]any)
		if len(list) != 2 || list[0].(M)["dataDeletionJobArn"] != second {
			t.Fatalf("list is %v", list)
		}
		members(t, list[0].(M), "dataDeletionJobArn", "datasetGroupArn", "jobName", "status", "creationDateTime", "lastUpdatedDateTime")
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
				h.Upload(h.bucket, key, c.text)
			}
			in := request(fmt.Sprintf("fail-%d", n))
			in["dataSource"] = M{"dataLocation": "s3://shop/" + key}
			_, job := h.watch("dataDeletionJob", h.Must("CreateDataDeletionJob", in)["dataDeletionJobArn"].(string))
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
		in["dataSource"] = M{"dataLocation": "s3://no-such-bucket/users.csv"}
		_, job := h.watch("dataDeletionJob", h.Must("CreateDataDeletionJob", in)["dataDeletionJobArn"].(string))
		if reason := job["failureReason"].(string); !strings.HasPrefix(reason, "Insufficient privileges for accessing data in Amazon S3.") {
			t.Errorf("missing bucket: %q", reason)
		}
	})

	t.Run("a folder is read with its sub-folders, CSV only", func(t *testing.T) {
		h.Upload(h.bucket, "many/a.csv", "USER_ID\n"+d.users[2]+"\n"+d.users[3]+"\n")
		h.Upload(h.bucket, "many/deep/er/B.CSV", "USER_ID\r\n\""+d.users[4]+"\"\r\n\r\n"+d.users[2]+"\r\n")
		h.Upload(h.bucket, "many/readme.txt", "this is no list")
		in := request("folder")
		in["dataSource"] = M{"dataLocation": "s3://shop/many/"}
		_, job := h.watch("dataDeletionJob", h.Must("CreateDataDeletionJob", in)["dataDeletionJobArn"].(string))
		want := float64(len(d.interactions) - len(without(d.interactions, d.users[2:5]...)))
		if job["numDeleted"] != want {
			t.Errorf("ended %v (%v), numDeleted %v, want %v", job["status"], job["failureReason"], job["numDeleted"], want)
		}
	})

	t.Run("errors", func(t *testing.T) {
		bad := request("x")
		delete(bad, "roleArn")
		bad["jobName"] = "no spaces allowed"
		if m := h.refused("InvalidInputException", "CreateDataDeletionJob", bad); !strings.HasPrefix(m, "2 validation errors detected: ") {
			t.Errorf("message is %q", m)
		}
		bad = request(strings.Repeat("n", 64))
		h.refused("InvalidInputException", "CreateDataDeletionJob", bad)
		bad = request("y")
		bad["datasetGroupArn"] = h.interactions
		h.refused("ResourceNotFoundException", "CreateDataDeletionJob", bad)
		bad["datasetGroupArn"] = "arn:aws:personalize:us-east-1:000000000000:dataset-group/none"
		if m := h.refused("ResourceNotFoundException", "CreateDataDeletionJob", bad); m != "Resource Arn arn:aws:personalize:us-east-1:000000000000:dataset-group/none does not exist." {
			t.Errorf("message is %q", m)
		}
		h.refused("ResourceAlreadyExistsException", "CreateDataDeletionJob", request("forget-one"))
		h.refused("ResourceNotFoundException", "DescribeDataDeletionJob", M{"dataDeletionJobArn": arn + "x"})
		tooMany := request("tagged")
		var tags []M
		for i := range 51 {
			tags = append(tags, M{"tagKey": fmt.Sprint("k", i), "tagValue": "v"})
		}
		tooMany["tags"] = tags
		h.refused("TooManyTagsException", "CreateDataDeletionJob", tooMany)
		newGroup := h.Must("CreateDatasetGroup", M{"name": "fresh"})["datasetGroupArn"]
		early := request("early")
		early["datasetGroupArn"] = newGroup
		h.refused("ResourceInUseException", "CreateDataDeletionJob", early)
		h.refused("InvalidNextTokenException", "ListDataDeletionJobs", M{"nextToken": "forged"})
	})
}

func TestAGroupHasFivePendingDeletionJobs(t *testing.T) {
	s := server.Start(t, "--hold", "1s")
	h := &shop{Server: s, t: t, bucket: s.Bucket("shop")}
	h.group = s.Make("CreateDatasetGroup", "datasetGroup", M{"name": "shop"})
	for range 6 { // one of them runs
		h.startDeletion("nobody")
		if len(h.pendingDeletions()) == 5 {
			break
		}
	}
	h.Upload(h.bucket, "forget/more.csv", "USER_ID\nnobody\n")
	m := h.refused("LimitExceededException", "CreateDataDeletionJob", M{"jobName": "one-too-many", "datasetGroupArn": h.group, "roleArn": role,
		"dataSource": M{"dataLocation": "s3://shop/forget/more.csv"}})
	if m != "More than 5 resources with PENDING or IN_PROGRESS status." && m != "More than 5 resources with PENDING status." {
		t.Errorf("message is %q", m)
	}
}

func (h *shop) pendingDeletions() (pending []string) {
	for _, j := range h.Must("ListDataDeletionJobs", M{"datasetGroupArn": h.group})["dataDeletionJobs"].([]any) {
		if j.(M)["status"] == "PENDING" {
			pending = append(pending, j.(M)["jobName"].(string))
		}
	}
	return pending
}

func TestPagesOfTheDatasetImportJob(t *testing.T) {
	h := openShop(t, server.Start(t, "--hold", "120ms"))
	arn := h.startImport(h.interactions, generate(60, 40, 1200, 10).interactions, "FULL")
	seen, job := h.watch("datasetImportJob", arn)
	if diff := cmp.Diff([]string{"CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"}, seen); diff != "" {
		t.Errorf("statuses:\n%s", diff)
	}
	members(t, job, "jobName", "datasetImportJobArn", "datasetArn", "dataSource", "roleArn", "status", "creationDateTime", "lastUpdatedDateTime", "importMode",
		"publishAttributionMetricsToS3")
	times(t, job)
	if job["importMode"] != "FULL" || job["datasetArn"] != h.interactions || job["datasetImportJobArn"] != arn {
		t.Errorf("job is %v", job)
	}
}

func TestPagesOfTheDatasetExportJob(t *testing.T) {
	h := openShop(t, server.Start(t, "--hold", "120ms"))
	h.load(h.interactions, generate(60, 40, 1200, 11).interactions)
	arn := h.Must("CreateDatasetExportJob", M{"jobName": "out", "datasetArn": h.interactions, "roleArn": role,
		"jobOutput": M{"s3DataDestination": M{"path": "s3://shop/out"}}})["datasetExportJobArn"].(string)
	seen, job := h.watch("datasetExportJob", arn)
	if diff := cmp.Diff([]string{"CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"}, seen); diff != "" {
		t.Errorf("statuses:\n%s", diff)
	}
	members(t, job, "jobName", "datasetExportJobArn", "datasetArn", "ingestionMode", "roleArn", "status", "jobOutput", "creationDateTime", "lastUpdatedDateTime")
	times(t, job)
	if job["ingestionMode"] != "PUT" {
		t.Errorf("ingestionMode defaults to %v", job["ingestionMode"])
	}
	if texts := h.Download(h.bucket, "out/out/"); len(texts) != 1 || texts[0] != "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n" {
		t.Errorf("an export of no rows wrote %q", texts)
	}
	_, failed := h.watch("datasetExportJob", h.Must("CreateDatasetExportJob", M{"jobName": "nowhere", "datasetArn": h.interactions, "roleArn": role,
		"jobOutput": M{"s3DataDestination": M{"path": "s3://no-such-bucket/out/"}}})["datasetExportJobArn"].(string))
	if reason, _ := failed["failureReason"].(string); failed["status"] != "CREATE FAILED" || !strings.HasPrefix(reason, "Insufficient privileges for accessing data in Amazon S3.") {
		t.Errorf("ended %v: %q", failed["status"], reason)
	}
}

func TestBadInputFailsTheImportWholeAndSaysWhere(t *testing.T) {
	h := openShop(t, server.Start(t))
	before := generate(60, 40, 1200, 12).interactions
	h.load(h.interactions, before)
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
			h.Upload(h.bucket, key, c.text)
			h.failImport(t, "s3://shop/"+key, c.reason)
		})
	}
	h.failImport(t, "s3://no-such-bucket/x.csv", "Insufficient privileges for accessing data in Amazon S3.")
	h.failImport(t, "s3://shop/no/such/folder/", "The specified Amazon S3 location does not contain any CSV files.")
	h.failImport(t, "s3://shop/in", "The specified Amazon S3 location does not contain any CSV files.")
	if diff := cmp.Diff(lines(before), lines(h.export(h.interactions, "ALL"))); diff != "" {
		t.Errorf("a failed import changed the dataset:\n%s", diff)
	}
}

func (h *shop) failImport(t *testing.T, location, want string) {
	t.Helper()
	arn := h.Must("CreateDatasetImportJob", M{"jobName": h.name("bad"), "datasetArn": h.interactions, "roleArn": role,
		"dataSource": M{"dataLocation": location}})["datasetImportJobArn"].(string)
	job := h.Wait("datasetImportJob", arn)
	reason, _ := job["failureReason"].(string)
	if job["status"] != "CREATE FAILED" || !strings.Contains(reason, want) {
		t.Errorf("%s ended %v: %q, want %q", location, job["status"], reason, want)
	}
}

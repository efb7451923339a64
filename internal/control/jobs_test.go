package control_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

func importBody(name, d, more string) string {
	return `{"jobName":"` + name + `","datasetArn":"~dataset/g/` + d + `","dataSource":{"dataLocation":"s3://bucket/data.csv"},` + role + more + `}`
}

func TestImportJobEchoesWhatItWasGivenAndTheDefaults(t *testing.T) {
	s := open(t, quota.AWS())
	s.ok("CreateDatasetImportJob", importBody("i", "ITEMS", ``))
	s.describes("DescribeDatasetImportJob", `{"datasetImportJobArn":"~dataset-import-job/i"}`, "datasetImportJob", `{"jobName":"i",
		"datasetImportJobArn":"~dataset-import-job/i","datasetArn":"~dataset/g/ITEMS","dataSource":{"dataLocation":"s3://bucket/data.csv"},`+role+`,
		"status":"CREATE PENDING","importMode":"FULL","publishAttributionMetricsToS3":false}`)
	r := s.row(inRegion + "dataset-import-job/i")
	if diff := cmp.Diff(meta.Job{Kind: job.Import, Lane: inRegion + "dataset/g/ITEMS", Checkpoint: []byte("null"), Progress: []byte("null")}, r.Job); diff != "" {
		t.Error(diff)
	}
	if p, err := meta.Private[meta.ImportPrivate](r); err != nil || len(p.ID) < 16 {
		t.Errorf("private part %+v, %v", p, err)
	}
	summary := s.ok("ListDatasetImportJobs", `{"datasetArn":"~dataset/g/ITEMS"}`)["datasetImportJobs"].([]any)[0].(map[string]any)
	if summary["importMode"] != "FULL" || summary["jobName"] != "i" || summary["datasetArn"] != nil {
		t.Errorf("listed as %v", summary)
	}
}

func TestCreateDatasetImportJobRules(t *testing.T) {
	s := open(t, quota.AWS())
	at := func(location string) string {
		return `{"jobName":"x","datasetArn":"~dataset/g/ITEMS","dataSource":{"dataLocation":` + quoted(location) + `},` + role + `}`
	}
	for _, bad := range []string{"s3://bucket", "s3://", "s3://B/x", "s3://b/x.csv", "https://bucket.s3.amazonaws.com/x.csv", "bucket/x.csv", "s3:///x.csv", "s3://a_b/x.csv"} {
		s.exchanges(exchange{"CreateDatasetImportJob", at(bad), api.InvalidInput, ""})
	}
	s.exchanges(
		exchange{"CreateDatasetImportJob", at("s3://bucket"), api.InvalidInput, "Invalid Data location."},
		exchange{"CreateDatasetImportJob", `{"jobName":"x","datasetArn":"~dataset/g/ITEMS","dataSource":{},` + role + `}`, api.InvalidInput, "Invalid Data location."},
		exchange{"CreateDatasetImportJob", `{"jobName":"x","datasetArn":"~dataset/g/ITEMS","dataSource":{"dataLocation":"s3://bucket/a"}}`, api.InvalidInput, "roleArn"},
		exchange{"CreateDatasetImportJob", importBody("x", "USERS", ``), api.ResourceNotFound, "~dataset/g/USERS"},
		exchange{"CreateDatasetImportJob", importBody("x", "ITEMS", `,"importMode":"INCREMENTAL"`), api.InvalidInput, "INCREMENTAL"},
		exchange{"CreateDatasetImportJob", importBody("x", "ITEMS", `,"importMode":"PARTIAL"`), api.InvalidInput, "importMode"},
		exchange{"CreateDatasetImportJob", importBody("x", "INTERACTIONS", `,"publishAttributionMetricsToS3":true`), api.InvalidInput, "needs a metric attribution"},
		exchange{"CreateDatasetImportJob", importBody("x", "ITEMS", `,"publishAttributionMetricsToS3":true`), api.InvalidInput, "INTERACTIONS"},
		exchange{op: "CreateDatasetImportJob", body: at("s3://bucket/folder/")},
		exchange{"CreateDatasetImportJob", at("s3://bucket/folder/"), api.ResourceAlreadyExists, "~dataset-import-job/x"},
		exchange{"CreateDatasetImportJob", importBody("y", "ITEMS", ``), api.ResourceInUse, "~dataset-import-job/x"},
		exchange{op: "CreateDatasetImportJob", body: importBody("y", "INTERACTIONS", ``)}, // another dataset
		exchange{"ListDatasetImportJobs", `{"datasetArn":"~dataset/g/USERS"}`, api.InvalidInput, ""},
	)
	s.set(inRegion+"dataset-import-job/x", meta.CreateFailed)
	s.exchanges(exchange{"CreateDatasetImportJob", importBody("z", "ITEMS", `,"importMode":"INCREMENTAL"`), api.InvalidInput, "INCREMENTAL"}) // a failed import is none
	s.ok("CreateDatasetImportJob", importBody("z", "ITEMS", ``))
	s.settle()
	s.exchanges(exchange{op: "CreateDatasetImportJob", body: importBody("w", "ITEMS", `,"importMode":"INCREMENTAL"`)})
}

func TestIncrementalImportDoesNotBuildOnTheDataOfAnEarlierDataset(t *testing.T) {
	s := open(t, quota.AWS())
	s.ok("CreateDatasetImportJob", importBody("i", "ITEMS", ``))
	s.settle()
	s.ok("DeleteDataset", `{"datasetArn":"~dataset/g/ITEMS"}`)
	s.settle()
	s.ok("CreateDataset", create("again", "Items", "g", "g-Items"))
	s.settle()
	s.exchanges(
		exchange{"CreateDatasetImportJob", importBody("j", "ITEMS", `,"importMode":"INCREMENTAL"`), api.InvalidInput, "INCREMENTAL"},
		exchange{"CreateDatasetImportJob", importBody("i", "ITEMS", ``), api.ResourceAlreadyExists, ""}, // records of jobs live as long as the group
	)
}

func TestQuotaOfImportJobsCountsTheRegion(t *testing.T) {
	s := newStudio(t, quota.Limits{ImportJobs: 2})
	for _, g := range []string{"g", "h", "i"} {
		s.group(g, "")
		s.dataset(g, "Interactions", "", watched)
	}
	body := func(g string) string {
		return `{"jobName":"` + g + `","datasetArn":"~dataset/` + g + `/INTERACTIONS","dataSource":{"dataLocation":"s3://bucket/x"},` + role + `}`
	}
	s.exchanges(
		exchange{op: "CreateDatasetImportJob", body: body("g")},
		exchange{op: "CreateDatasetImportJob", body: body("h")},
		exchange{"CreateDatasetImportJob", body("i"), api.LimitExceeded, "More than 2 resources with PENDING or IN_PROGRESS status."},
	)
	s.set(inRegion+"dataset-import-job/g", meta.CreateInProgress)
	s.exchanges(exchange{"CreateDatasetImportJob", body("i"), api.LimitExceeded, ""})
	s.set(inRegion+"dataset-import-job/g", meta.Active)
	s.exchanges(exchange{op: "CreateDatasetImportJob", body: body("i")})
}

func TestExportJob(t *testing.T) {
	s := open(t, quota.AWS())
	body := func(name, d, path, more string) string {
		return `{"jobName":"` + name + `","datasetArn":"~dataset/g/` + d + `",` + role + `,"jobOutput":{"s3DataDestination":{"path":"` + path + `"` + more + `}}}`
	}
	s.ok("CreateDatasetExportJob", body("e", "ITEMS", "s3://bucket/out", `,`+keyARN))
	s.describes("DescribeDatasetExportJob", `{"datasetExportJobArn":"~dataset-export-job/e"}`, "datasetExportJob", `{"jobName":"e",
		"datasetExportJobArn":"~dataset-export-job/e","datasetArn":"~dataset/g/ITEMS","ingestionMode":"PUT",`+role+`,"status":"CREATE PENDING",
		"jobOutput":{"s3DataDestination":{"path":"s3://bucket/out",`+keyARN+`}}}`)
	s.exchanges(
		exchange{"CreateDatasetExportJob", body("e", "ITEMS", "s3://bucket/out/", ``), api.ResourceAlreadyExists, ""},
		exchange{"CreateDatasetExportJob", body("f", "USERS", "s3://bucket/out/", ``), api.ResourceNotFound, ""},
		exchange{"CreateDatasetExportJob", body("f", "ITEMS", "http://bucket/out/", ``), api.InvalidInput, "Invalid S3 output path"},
		exchange{"CreateDatasetExportJob", `{"jobName":"f","datasetArn":"~dataset/g/ITEMS",` + role + `,"jobOutput":{}}`, api.InvalidInput, "s3DataDestination"},
		exchange{op: "CreateDatasetExportJob", body: body("f", "ITEMS", "s3://bucket", ``)}, // several at once
	)
	if diff := cmp.Diff([]string{"f", "e"}, s.listed("ListDatasetExportJobs", `{"datasetArn":"~dataset/g/ITEMS"}`, "datasetExportJobs", "jobName")); diff != "" {
		t.Error(diff)
	}
	s.settle()
	s.ok("DeleteDataset", `{"datasetArn":"~dataset/g/ITEMS"}`)
	s.exchanges(exchange{"CreateDatasetExportJob", body("g", "ITEMS", "s3://bucket/out/", ``), api.ResourceInUse, "DELETE PENDING"})
}

func deletionBody(name, location string) string {
	return `{"jobName":"` + name + `","datasetGroupArn":"~dataset-group/g","dataSource":{"dataLocation":"` + location + `"},` + role + `}`
}

func TestDataDeletionJobFieldByField(t *testing.T) {
	s := open(t, quota.AWS())
	const d = `{"dataDeletionJobArn":"~data-deletion-job/d"}`
	got := s.ok("CreateDataDeletionJob", deletionBody("d", "s3://bucket/users.csv"))
	if diff := cmp.Diff(map[string]any{"dataDeletionJobArn": inRegion + "data-deletion-job/d"}, got); diff != "" {
		t.Error(diff)
	}
	shape := `"jobName":"d","dataDeletionJobArn":"~data-deletion-job/d","datasetGroupArn":"~dataset-group/g","dataSource":{"dataLocation":"s3://bucket/users.csv"},` + role
	s.describes("DescribeDataDeletionJob", d, "dataDeletionJob", `{`+shape+`,"status":"PENDING"}`)
	r := s.row(inRegion + "data-deletion-job/d")
	if r.Job.Kind != job.Erase || r.Job.Lane != inRegion+"dataset-group/g" {
		t.Errorf("job %+v", r.Job)
	}
	s.set(r.ARN, meta.InProgress)
	s.describes("DescribeDataDeletionJob", d, "dataDeletionJob", `{`+shape+`,"status":"IN_PROGRESS"}`)
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error { // what package work does
		r, err := tx.Get(r.ARN)
		if err != nil {
			return err
		}
		doc, err := meta.Doc[api.DataDeletionJob](r)
		if err != nil {
			return err
		}
		doc.NumDeleted = new(0)
		r.Status = meta.Completed
		if err := r.SetDoc(doc); err != nil {
			return err
		}
		return tx.Put(r)
	}))
	s.describes("DescribeDataDeletionJob", d, "dataDeletionJob", `{`+shape+`,"status":"COMPLETED","numDeleted":0}`)
	summary := s.ok("ListDataDeletionJobs", `{"datasetGroupArn":"~dataset-group/g"}`)["dataDeletionJobs"].([]any)[0].(map[string]any)
	delete(summary, "creationDateTime")
	delete(summary, "lastUpdatedDateTime")
	want := map[string]any{"jobName": "d", "dataDeletionJobArn": r.ARN, "datasetGroupArn": inRegion + "dataset-group/g", "status": "COMPLETED"}
	if diff := cmp.Diff(want, summary); diff != "" {
		t.Error("summary:", diff)
	}
}

func TestCreateDataDeletionJobRules(t *testing.T) {
	s := open(t, quota.Local())
	s.ok("CreateDatasetGroup", `{"name":"pending"}`)
	s.exchanges(
		exchange{"CreateDataDeletionJob", deletionBody("d", "s3://bucket/users.txt"), api.InvalidInput, "Invalid Data location."},
		exchange{"CreateDataDeletionJob", deletionBody("d", "s3://bucket"), api.InvalidInput, "Invalid Data location."},
		exchange{"CreateDataDeletionJob", `{"jobName":"d","datasetGroupArn":"~dataset-group/g","dataSource":{"dataLocation":"s3://bucket/a.csv"}}`, api.InvalidInput, "roleArn"},
		exchange{"CreateDataDeletionJob", `{"jobName":"d","datasetGroupArn":"~dataset-group/x","dataSource":{"dataLocation":"s3://bucket/a.csv"},` + role + `}`, api.ResourceNotFound, ""},
		exchange{"CreateDataDeletionJob", `{"jobName":"d","datasetGroupArn":"~dataset/g/ITEMS","dataSource":{"dataLocation":"s3://bucket/a.csv"},` + role + `}`, api.ResourceNotFound, ""},
		exchange{"CreateDataDeletionJob", `{"jobName":"d","datasetGroupArn":"~dataset-group/pending","dataSource":{"dataLocation":"s3://bucket/a.csv"},` + role + `}`, api.ResourceInUse, ""},
	)
	for i, location := range []string{"s3://bucket/a.csv", "s3://bucket/A.CSV", "s3://bucket/folder/", "s3://bucket/", "s3://bucket/a/b c é.csv"} {
		s.ok("CreateDataDeletionJob", deletionBody(fmt.Sprint("d", i), location))
	}
	s.exchanges(
		exchange{"CreateDataDeletionJob", deletionBody("d5", "s3://bucket/a.csv"), api.LimitExceeded, "More than 5 resources with PENDING or IN_PROGRESS status."},
		exchange{"CreateDataDeletionJob", deletionBody("d4", "s3://bucket/a.csv"), api.ResourceAlreadyExists, ""},
	)
	if diff := cmp.Diff([]string{"d4", "d3", "d2", "d1", "d0"}, s.listed("ListDataDeletionJobs", `{}`, "dataDeletionJobs", "jobName")); diff != "" {
		t.Error(diff)
	}
	s.set(inRegion+"data-deletion-job/d0", meta.InProgress) // it leaves its place: only PENDING ones count
	s.exchanges(
		exchange{op: "CreateDataDeletionJob", body: deletionBody("d5", "s3://bucket/a.csv")},
		exchange{"CreateDataDeletionJob", deletionBody("d6", "s3://bucket/a.csv"), api.LimitExceeded, ""},
		exchange{"ListDataDeletionJobs", `{"datasetGroupArn":"~dataset-group/none"}`, api.InvalidInput, ""},
	)
}

package control_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

const (
	keyARN = `"kmsKeyArn":"arn:aws:kms:eu-west-1:123456789012:key/k"`
	role   = `"roleArn":"` + someRole + `"`
)

func TestDatasetGroupFromCreationToRemoval(t *testing.T) {
	s := newStudio(t, quota.AWS())
	const g = `{"datasetGroupArn":"~dataset-group/g"}`
	if diff := cmp.Diff(map[string]any{"datasetGroupArn": inRegion + "dataset-group/g"}, s.ok("CreateDatasetGroup", `{"name":"g"}`)); diff != "" {
		t.Error(diff)
	}
	s.exchanges(
		exchange{"CreateDatasetGroup", `{"name":"g"}`, api.ResourceAlreadyExists, "Another resource with Arn ~dataset-group/g already exists."},
		exchange{"DeleteDatasetGroup", g, api.ResourceInUse, "CREATE PENDING"},
	)
	s.describes("DescribeDatasetGroup", g, "datasetGroup", `{"name":"g","datasetGroupArn":"~dataset-group/g","status":"CREATE PENDING"}`)
	s.settle()
	s.describes("DescribeDatasetGroup", g, "datasetGroup", `{"name":"g","datasetGroupArn":"~dataset-group/g","status":"ACTIVE"}`)

	s.exchanges(exchange{op: "DeleteDatasetGroup", body: g}, exchange{"DeleteDatasetGroup", g, api.ResourceInUse, "DELETE PENDING"})
	s.describes("DescribeDatasetGroup", g, "datasetGroup", `{"name":"g","datasetGroupArn":"~dataset-group/g","status":"DELETE PENDING"}`)
	if j := s.row(inRegion + "dataset-group/g").Job; j.Kind != job.Remove {
		t.Errorf("the deletion asks for job %q", j.Kind)
	}
	s.exchanges(exchange{"CreateDatasetGroup", `{"name":"g"}`, api.ResourceAlreadyExists, ""})
	s.settle()
	s.exchanges(
		exchange{"DescribeDatasetGroup", g, api.ResourceNotFound, "Resource Arn ~dataset-group/g does not exist."},
		exchange{"DeleteDatasetGroup", g, api.ResourceNotFound, ""},
		exchange{op: "CreateDatasetGroup", body: `{"name":"g"}`},
	)
}

func TestDatasetGroupEchoesDomainKeyAndRole(t *testing.T) {
	s := newStudio(t, quota.AWS())
	got := s.ok("CreateDatasetGroup", `{"name":"shop","domain":"ECOMMERCE",`+keyARN+`,`+role+`}`)
	if diff := cmp.Diff(map[string]any{"datasetGroupArn": inRegion + "dataset-group/shop", "domain": "ECOMMERCE"}, got); diff != "" {
		t.Error(diff)
	}
	s.describes("DescribeDatasetGroup", `{"datasetGroupArn":"~dataset-group/shop"}`, "datasetGroup",
		`{"name":"shop","datasetGroupArn":"~dataset-group/shop","status":"CREATE PENDING","domain":"ECOMMERCE",`+keyARN+`,`+role+`}`)
	s.exchanges(
		exchange{"CreateDatasetGroup", `{"name":"a",` + keyARN + `}`, api.InvalidInput, "together"},
		exchange{"CreateDatasetGroup", `{"name":"a",` + role + `}`, api.InvalidInput, "together"},
		exchange{"CreateDatasetGroup", `{"name":"a","domain":"GAMES"}`, api.InvalidInput, "domain"},
		exchange{"CreateDatasetGroup", `{"name":"-a"}`, api.InvalidInput, "name"},
	)
}

func TestAFailedResourceShowsItsReasonAndCanBeDeleted(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.ok("CreateDatasetGroup", `{"name":"g"}`)
	arn := inRegion + "dataset-group/g"
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(arn)
		if err != nil {
			return err
		}
		r.Status, r.Failure, r.Job = meta.CreateFailed, "The key cannot be used.", meta.Job{}
		return tx.Put(r)
	}))
	s.describes("DescribeDatasetGroup", `{"datasetGroupArn":"~dataset-group/g"}`, "datasetGroup",
		`{"name":"g","datasetGroupArn":"~dataset-group/g","status":"CREATE FAILED","failureReason":"The key cannot be used."}`)
	s.exchanges(
		exchange{"CreateEventTracker", `{"name":"t","datasetGroupArn":"~dataset-group/g"}`, api.InvalidInput, "CREATE FAILED"},
		exchange{op: "DeleteDatasetGroup", body: `{"datasetGroupArn":"~dataset-group/g"}`},
	)
}

func TestResourcesOfAnotherCallerDoNotExist(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "")
	for _, ctx := range []struct{ region, account string }{{"us-east-1", "123456789012"}, {"eu-west-1", "210987654321"}} {
		other := as(t, ctx.region, ctx.account)
		if _, fault := s.call(other, "DescribeDatasetGroup", `{"datasetGroupArn":"~dataset-group/g"}`); fault == nil || fault.Code != api.ResourceNotFound {
			t.Errorf("%v describes it: %v", ctx, fault)
		}
		if _, fault := s.call(other, "DeleteDatasetGroup", `{"datasetGroupArn":"~dataset-group/g"}`); fault == nil || fault.Code != api.ResourceNotFound {
			t.Errorf("%v deletes it: %v", ctx, fault)
		}
		if answer, fault := s.call(other, "ListDatasetGroups", `{}`); fault != nil || len(answer["datasetGroups"].([]any)) != 0 {
			t.Errorf("%v lists it: %v, %v", ctx, answer, fault)
		}
		if _, fault := s.call(other, "CreateDatasetGroup", `{"name":"g"}`); fault != nil {
			t.Errorf("%v cannot have a group of that name: %v", ctx, fault)
		}
	}
}

func TestAGroupWithChildrenStays(t *testing.T) {
	for kind, create := range map[string]func(s *studio){
		meta.Dataset: func(s *studio) { s.dataset("g", "Interactions", "", watched) },
		meta.EventTracker: func(s *studio) {
			s.ok("CreateEventTracker", `{"name":"t","datasetGroupArn":"~dataset-group/g"}`)
			s.settle()
		},
		meta.Filter: func(s *studio) {
			s.add(&meta.Resource{ARN: "arn:f", Kind: meta.Filter, Status: meta.CreateFailed})
		},
		meta.Solution: func(s *studio) { s.add(&meta.Resource{ARN: "arn:s", Kind: meta.Solution, Status: meta.Active}) },
		meta.Campaign: func(s *studio) {
			s.add(&meta.Resource{ARN: "arn:c", Kind: meta.Campaign, Status: meta.DeleteInProgress})
		},
		meta.Recommender: func(s *studio) {
			s.add(&meta.Resource{ARN: "arn:r", Kind: meta.Recommender, Status: meta.Inactive})
		},
		meta.MetricAttribution: func(s *studio) {
			s.add(&meta.Resource{ARN: "arn:m", Kind: meta.MetricAttribution, Status: meta.Active})
		},
		"running " + meta.DeletionJob: func(s *studio) { s.add(&meta.Resource{ARN: "arn:d", Kind: meta.DeletionJob, Status: meta.InProgress}) },
	} {
		t.Run(kind, func(t *testing.T) {
			s := newStudio(t, quota.AWS())
			s.group("g", "")
			create(s)
			s.exchanges(exchange{"DeleteDatasetGroup", `{"datasetGroupArn":"~dataset-group/g"}`, api.ResourceInUse, ""})
		})
	}
	t.Run("finished jobs do not hold it", func(t *testing.T) {
		s := newStudio(t, quota.AWS())
		s.group("g", "")
		s.add(&meta.Resource{ARN: "arn:d", Kind: meta.DeletionJob, Status: meta.Failed})
		s.add(&meta.Resource{ARN: "arn:i", Kind: meta.ImportJob, Status: meta.Active})
		s.exchanges(exchange{op: "DeleteDatasetGroup", body: `{"datasetGroupArn":"~dataset-group/g"}`})
	})
}

// add inserts a resource of group g as it stands.
func (s *studio) add(r *meta.Resource) {
	s.t.Helper()
	r.Group, r.Parent, r.Scope, r.Doc = inRegion+"dataset-group/g", inRegion+"dataset-group/g", "eu-west-1:123456789012", []byte(`{}`)
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error { return tx.Insert(r) }))
}

func TestQuotaOfGroupsCountsThoseThatAreNotLeaving(t *testing.T) {
	s := newStudio(t, quota.Limits{DatasetGroups: 2})
	s.exchanges(
		exchange{op: "CreateDatasetGroup", body: `{"name":"a"}`},
		exchange{op: "CreateDatasetGroup", body: `{"name":"b"}`},
		exchange{"CreateDatasetGroup", `{"name":"c"}`, api.LimitExceeded, "More than 2 resources in ACTIVE state. Please delete some and try again."},
		exchange{"CreateDatasetGroup", `{"name":"b"}`, api.ResourceAlreadyExists, ""}, // a taken name before the quota
	)
	s.settle()
	s.exchanges(exchange{op: "DeleteDatasetGroup", body: `{"datasetGroupArn":"~dataset-group/a"}`}, exchange{op: "CreateDatasetGroup", body: `{"name":"c"}`})
	if _, fault := s.call(as(t, "us-east-1", "123456789012"), "CreateDatasetGroup", `{"name":"d"}`); fault != nil {
		t.Error("the quota of one region binds another:", fault)
	}
}

func TestConcurrentCreationsKeepNamesAndQuotas(t *testing.T) {
	s := newStudio(t, quota.Limits{DatasetGroups: 3})
	var wg sync.WaitGroup
	results := make(chan string, 40)
	for i := range 40 {
		wg.Go(func() {
			_, err := s.CreateDatasetGroup(s.ctx, &api.CreateDatasetGroupRequest{Name: fmt.Sprint("g", i%5)})
			if fault, ok := err.(*api.Error); ok {
				results <- string(fault.Code)
			} else if err != nil {
				results <- err.Error()
			} else {
				results <- "created"
			}
		})
	}
	wg.Wait()
	close(results)
	count := map[string]int{}
	for r := range results {
		count[r]++
	}
	if count["created"] != 3 || count["created"]+count[string(api.ResourceAlreadyExists)]+count[string(api.LimitExceeded)] != 40 {
		t.Errorf("40 calls for 5 names and 3 places gave %v", count)
	}
}

package control_test

import (
	"regexp"
	"testing"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/quota"
)

func TestEventTrackerHasARandomARNAndAnIDAtOnce(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "")
	s.group("h", "")
	got := s.ok("CreateEventTracker", `{"name":"t","datasetGroupArn":"~dataset-group/g"}`)
	arn, id := got["eventTrackerArn"].(string), got["trackingId"].(string)
	if !regexp.MustCompile(`^` + inRegion + `event-tracker/[0-9a-f]{8}$`).MatchString(arn) {
		t.Errorf("ARN %q", arn)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("tracking ID %q", id)
	}
	s.describes("DescribeEventTracker", `{"eventTrackerArn":"`+arn+`"}`, "eventTracker", `{"name":"t","eventTrackerArn":"`+arn+`","accountId":"123456789012",
		"trackingId":"`+id+`","datasetGroupArn":"~dataset-group/g","status":"CREATE PENDING"}`)
	summary := s.ok("ListEventTrackers", `{"datasetGroupArn":"~dataset-group/g"}`)["eventTrackers"].([]any)[0].(map[string]any)
	if summary["name"] != "t" || summary["trackingId"] != nil {
		t.Errorf("listed as %v", summary)
	}
	s.exchanges(
		exchange{"CreateEventTracker", `{"name":"t","datasetGroupArn":"~dataset-group/g"}`, api.ResourceAlreadyExists, arn},
		exchange{"CreateEventTracker", `{"name":"u","datasetGroupArn":"~dataset-group/g"}`, api.ResourceAlreadyExists, arn}, // one in a group
		exchange{"CreateEventTracker", `{"name":"t","datasetGroupArn":"~dataset-group/h"}`, api.ResourceAlreadyExists, arn}, // the name in the region
		exchange{"CreateEventTracker", `{"name":"t","datasetGroupArn":"~dataset-group/none"}`, api.ResourceNotFound, ""},
		exchange{op: "CreateEventTracker", body: `{"name":"u","datasetGroupArn":"~dataset-group/h"}`},
		exchange{"DeleteEventTracker", `{"eventTrackerArn":"` + arn + `"}`, api.ResourceInUse, ""},
	)
	s.settle()
	s.exchanges(exchange{op: "DeleteEventTracker", body: `{"eventTrackerArn":"` + arn + `"}`})
	s.settle()
	s.exchanges(
		exchange{"DescribeEventTracker", `{"eventTrackerArn":"` + arn + `"}`, api.ResourceNotFound, ""},
		exchange{op: "CreateEventTracker", body: `{"name":"t","datasetGroupArn":"~dataset-group/g"}`},
	)
}

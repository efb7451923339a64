package control_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/quota"
)

// tags returns n tags from number from on.
func tags(from, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{"tagKey":"k%d","tagValue":"v"}`, from+i)
	}
	return "[" + strings.Join(all, ",") + "]"
}

func TestTagsAreSetAtCreationUpsertedAndRemoved(t *testing.T) {
	s := newStudio(t, quota.AWS())
	const g = `{"resourceArn":"~dataset-group/g"}`
	s.ok("CreateDatasetGroup", `{"name":"g","tags":[{"tagKey":"b","tagValue":"1"},{"tagKey":"B","tagValue":"2"}]}`)
	s.exchanges(
		exchange{op: "TagResource", body: `{"resourceArn":"~dataset-group/g","tags":[{"tagKey":"b","tagValue":"3"},{"tagKey":"a b+-=._:/@é","tagValue":"4"}]}`},
		exchange{op: "UntagResource", body: `{"resourceArn":"~dataset-group/g","tagKeys":["B","absent"]}`},
	)
	want := map[string]any{"tags": []any{
		map[string]any{"tagKey": "a b+-=._:/@é", "tagValue": "4"},
		map[string]any{"tagKey": "b", "tagValue": "3"},
	}}
	if diff := cmp.Diff(want, s.ok("ListTagsForResource", g)); diff != "" {
		t.Error(diff)
	}
	s.settle()
	s.ok("DeleteDatasetGroup", `{"datasetGroupArn":"~dataset-group/g"}`)
	s.exchanges(
		exchange{"TagResource", `{"resourceArn":"~dataset-group/g","tags":` + tags(0, 1) + `}`, api.ResourceInUse, ""},
		exchange{"UntagResource", `{"resourceArn":"~dataset-group/g","tagKeys":["b"]}`, api.ResourceInUse, ""},
	)
	s.settle()
	s.ok("CreateDatasetGroup", `{"name":"g"}`)
	if got := s.ok("ListTagsForResource", g); len(got["tags"].([]any)) != 0 {
		t.Error("a new resource has the tags of the old one:", got)
	}
}

func TestAnEmptyTagValueComesBack(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.ok("CreateDatasetGroup", `{"name":"g","tags":[{"tagKey":"k","tagValue":""}]}`)
	want := map[string]any{"tags": []any{map[string]any{"tagKey": "k", "tagValue": ""}}}
	if diff := cmp.Diff(want, s.ok("ListTagsForResource", `{"resourceArn":"~dataset-group/g"}`)); diff != "" {
		t.Error(diff)
	}
}

func TestTagRules(t *testing.T) {
	s := open(t, quota.AWS())
	tag := func(arn, tags string) string { return `{"resourceArn":"` + arn + `","tags":` + tags + `}` }
	s.exchanges(
		exchange{"CreateDatasetGroup", `{"name":"x","tags":` + tags(0, 51) + `}`, api.TooManyTags, "50"},
		exchange{op: "CreateDatasetGroup", body: `{"name":"x","tags":` + tags(0, 50) + `}`},
		exchange{op: "TagResource", body: tag("~dataset-group/x", tags(10, 40))}, // all known
		exchange{"TagResource", tag("~dataset-group/x", tags(49, 2)), api.TooManyTags, ""},
		exchange{"TagResource", tag("~dataset-group/g", `[{"tagKey":"AWS:x","tagValue":""}]`), api.InvalidInput, "aws:"},
		exchange{"TagResource", tag("~dataset-group/g", `[{"tagKey":"a","tagValue":""},{"tagKey":"a","tagValue":"b"}]`), api.InvalidInput, "more than once"},
		exchange{"TagResource", tag("~dataset-group/g", `[{"tagKey":"a#","tagValue":""}]`), api.InvalidInput, "tagKey"},
		exchange{"TagResource", tag("~dataset-group/none", tags(0, 1)), api.ResourceNotFound, "~dataset-group/none"},
		exchange{"TagResource", tag("~schema/g-Items", tags(0, 1)), api.InvalidInput, "schema"},
		exchange{"TagResource", tag("~metric-attribution/m", tags(0, 1)), api.InvalidInput, ""},
		exchange{"TagResource", tag(ofRecipe+"aws-popularity-count", tags(0, 1)), api.InvalidInput, "recipe"},
		exchange{"ListTagsForResource", `{"resourceArn":"~schema/g-Items"}`, api.InvalidInput, ""},
		exchange{"TagResource", tag("~fancy-thing/m", tags(0, 1)), api.ResourceNotFound, ""},
		exchange{"TagResource", tag("nonsense", tags(0, 1)), api.InvalidInput, ""},
		exchange{op: "TagResource", body: tag("~dataset/g/ITEMS", tags(0, 1))},
		exchange{"UntagResource", `{"resourceArn":"~dataset-group/g","tagKeys":[` + strings.TrimSuffix(strings.Repeat(`"k",`, 51), ",") + `]}`, api.TooManyTagKeys, "50"},
		exchange{op: "UntagResource", body: `{"resourceArn":"~dataset-group/g","tagKeys":[]}`},
	)
}

func TestSolutionVersionsHaveTagsOfTheirOwn(t *testing.T) {
	s := open(t, quota.AWS())
	version := s.trained(s.solution("films", "aws-popularity-count"))
	s.exchanges(exchange{op: "TagResource", body: `{"resourceArn":"` + version + `","tags":` + tags(0, 1) + `}`})
	if got := s.ok("ListTagsForResource", `{"resourceArn":"`+version+`"}`); len(got["tags"].([]any)) != 1 {
		t.Error(got)
	}
	if got := s.ok("ListTagsForResource", `{"resourceArn":"~solution/films"}`); len(got["tags"].([]any)) != 0 {
		t.Error(got)
	}
}

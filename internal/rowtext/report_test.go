package rowtext

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/schema/schematest"
)

// text is an Object in memory.
type text struct{ name, body string }

func (o text) Name() string { return o.name }
func (o text) Size() int64  { return int64(len(o.body)) }
func (o text) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(o.body)), nil
}

func TestReportFindsEveryFaultOfEveryFileAndNoValue(t *testing.T) {
	const header = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n"
	a := header + "canary-1,i1,5,view,\n" + "canary-2,i1,canary-3,view,\n" + "canary-4,,5,view,\n" + "canary-5\n" + "\n" + "canary-6,i1,5,view,1.5\n" + `"canary-7,i1,5,view,` + "\n"
	b := header + "canary-8,i1,x,view,\n" + "canary-9,i1,5,view,canary-10"
	report := Report(t.Context(), schematest.Parse(t, schematest.Interactions, ""), []Object{text{"a.csv", a}, text{"b.csv", b}})
	var first []string
	for _, f := range report.First {
		first = append(first, fmt.Sprintf("%s:%d:%s", f.File, f.Line, f.Column))
	}
	if diff := gocmp.Diff([]string{"a.csv:3:TIMESTAMP", "a.csv:4:ITEM_ID", "a.csv:5:", "a.csv:8:USER_ID", "b.csv:2:TIMESTAMP", "b.csv:3:EVENT_VALUE"}, first); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if report.Rows != 8 || report.Failed != 6 || !report.Complete {
		t.Errorf("%+v", report)
	}
	if top := report.Reasons[0]; top.Column != "TIMESTAMP" || top.Rows != 2 {
		t.Errorf("the most frequent reason: %+v", top)
	}
	if strings.Contains(fmt.Sprintf("%+v", report), "canary") {
		t.Errorf("the report holds a value: %+v", report)
	}
}

func TestReportIsBoundedInSize(t *testing.T) {
	var body strings.Builder
	body.WriteString("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n")
	for range 5000 {
		body.WriteString("u,i,late,view,\n")
	}
	report := Report(t.Context(), schematest.Parse(t, schematest.Interactions, ""), []Object{text{"a.csv", body.String()}})
	if len(report.First) != reportedFaults || report.Failed != 5000 || len(report.Reasons) != 1 {
		t.Errorf("%d faults, %d listed, %d reasons", report.Failed, len(report.First), len(report.Reasons))
	}
}

func TestReportOfAnUnreadableObjectIsNotComplete(t *testing.T) {
	report := Report(t.Context(), schematest.Parse(t, schematest.Interactions, ""), []Object{text{"a.csv", ""}})
	if report.Complete || report.Rows != 0 {
		t.Errorf("%+v", report)
	}
}

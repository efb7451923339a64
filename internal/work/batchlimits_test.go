package work

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/quota"
)

func TestTheInputOfABatchHasTheLimitsOfTheQuota(t *testing.T) {
	store, err := blob.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"in/a": "12345", "in/b": "12345", "in/c": "1"} {
		if err := store.Create(t.Context(), name, strings.NewReader(text), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		limits quota.Limits
		want   string
	}{
		{quota.Limits{}, ""},
		{quota.Limits{BatchFiles: 3, BatchBytes: 11}, ""},
		{quota.Limits{BatchFiles: 2}, "The specified Amazon S3 location contains more than 2 files."},
		{quota.Limits{BatchBytes: 10}, "The input files have more than 10 bytes together."},
	} {
		w := &worker{Options: Options{Limits: c.limits, Bucket: func(context.Context, string) (blob.Store, error) { return store, nil }}}
		inputs, err := w.batchInputs(t.Context(), "s3://shop/in/", "s3://shop/out/")
		if c.want == "" && (err != nil || len(inputs) != 3) || c.want != "" && (!job.Failed(err) || err.Error() != c.want) {
			t.Errorf("%+v: %d inputs, %v; want %q", c.limits, len(inputs), err, c.want)
		}
	}
}

// echo answers each line with itself.
type echo struct{}

func (echo) line(line []byte, _ int) ([]byte, bool) { return append(line, '\n'), true }
func (echo) atOnce() int                            { return 2 }

func TestTheLinesOfAnObjectHaveTheLimitOfTheQuota(t *testing.T) {
	for most := range 7 {
		run, state := batchRun{most: most}, batchState{}
		err := run.answer(t.Context(), echo{}, strings.NewReader("1\n2\n\n3\n4\n5\n"), io.Discard, &state, func() {})
		if most == 0 || most >= 5 {
			if err != nil || state.Lines != 5 {
				t.Errorf("at most %d lines: %v, %+v", most, err, state)
			}
		} else if want := fmt.Sprintf("An input object has more than %d lines.", most); !job.Failed(err) || err.Error() != want {
			t.Errorf("at most %d lines: %v, want %q", most, err, want)
		}
	}
}

// TestTheServicesLimitsOfBatchesAreThoseOfItsQuotas holds the table of the service against the numbers that it publishes.
func TestTheServicesLimitsOfBatchesAreThoseOfItsQuotas(t *testing.T) {
	l := quota.AWS()
	if l.BatchFiles != 1000 || l.BatchBytes != 1<<30 || l.BatchLines != 50_000_000 || l.ThemeLines != 100 || l.SegmentItems != 500 || l.SegmentAttributes != 10 {
		t.Errorf("%+v", l)
	}
}

package work

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/job"
)

func TestALocationIsAFolderOrOneObject(t *testing.T) {
	ctx := context.Background()
	bucket := &blob.Mem{}
	for _, key := range []string{"in/b.csv", "in/a.CSV", "in/notes.txt", "in/csv", "in/deep/c.csv", "in.csv", "in.csv.old", "list.txt"} {
		if err := bucket.Create(ctx, key, strings.NewReader("USER_ID\n"), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w := &worker{Options: Options{Bucket: func(_ context.Context, name string) (blob.Store, error) {
		if name != "films" {
			return nil, blob.ErrNoBucket
		}
		return bucket, nil
	}}}
	for _, c := range []struct {
		location string
		deep     bool
		want     []string // nil: the job fails
	}{
		{"s3://films/in/", false, []string{"in/a.CSV", "in/b.csv"}},
		{"s3://films/in/", true, []string{"in/a.CSV", "in/b.csv", "in/deep/c.csv"}},
		{"s3://films", false, []string{"in.csv"}},
		{"s3://films/", true, []string{"in.csv", "in/a.CSV", "in/b.csv", "in/deep/c.csv"}},
		{"s3://films/in.csv", false, []string{"in.csv"}},
		{"s3://films/list.txt", false, []string{"list.txt"}}, // one object may have any name
		{"s3://films/in", true, nil},                         // no slash: an object, and there is none
		{"s3://films/empty/", true, nil},
		{"films/in/", true, nil},
		{"s3://elsewhere/in/", true, nil},
	} {
		var got []string
		objects, err := w.listCSV(ctx, c.location, c.deep)
		for _, o := range objects {
			got = append(got, o.Name())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s, deep %v: %s", c.location, c.deep, diff)
		}
		if failed := job.Failed(customerFault(err)); failed != (c.want == nil) {
			t.Errorf("%s, deep %v: %v", c.location, c.deep, err)
		}
	}
}

func TestAnUnreadableListFailsTheJobUnlessItWasInterrupted(t *testing.T) {
	lost := errors.New("the connection is lost")
	if err := unreadable(context.Background(), lost); !job.Failed(err) || !errors.Is(err, lost) {
		t.Errorf("got %v: want a failure that keeps its cause for the log", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := unreadable(ctx, lost); job.Failed(err) {
		t.Errorf("got the failure %v of a job that a shutdown interrupted", err)
	}
}

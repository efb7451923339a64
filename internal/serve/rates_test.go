package serve_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/serve"
)

func TestCallsASecondAreBoundedForEachDataset(t *testing.T) {
	w := newWorld(t)
	w.dataset(schema.Items, "Items", itemFields, "")
	w.dataset(schema.Users, "Users", `{"name":"USER_ID","type":"string"},{"name":"AGE","type":["int","null"]}`, "")
	w.dataset(schema.Interactions, "Interactions", interactionFields, "")
	w.tracker()
	now := time.Unix(1_700_000_000, 0)
	s := serve.New(serve.Options{Meta: w.db, Engine: w.engine, ModelDir: w.models, Log: slog.New(slog.DiscardHandler),
		Limits: quota.Limits{EventCalls: 20, RecordCalls: 10}, Clock: func() time.Time { return now }})
	defer s.Close()
	calls := map[string]func() error{
		"PutItems": func() error {
			_, err := s.PutItems(w.ctx, &api.PutItemsRequest{DatasetARN: datasetARN(schema.Items), Items: []api.Item{{ItemID: "f1"}}})
			return err
		},
		"PutUsers": func() error {
			_, err := s.PutUsers(w.ctx, &api.PutUsersRequest{DatasetARN: datasetARN(schema.Users), Users: []api.User{{UserID: "ann"}}})
			return err
		},
		"PutEvents": func() error {
			_, err := s.PutEvents(w.ctx, &api.PutEventsRequest{TrackingID: trackingID, SessionID: "s1", EventList: []api.Event{{EventType: "Watch", ItemID: "f1", SentAt: seconds(1)}}})
			return err
		},
	}
	for _, step := range []struct {
		passes time.Duration
		admits map[string]int
	}{
		{0, map[string]int{"PutItems": 10, "PutUsers": 10, "PutEvents": 20}},
		{0, map[string]int{"PutItems": 0, "PutUsers": 0, "PutEvents": 0}},
		{100 * time.Millisecond, map[string]int{"PutItems": 1, "PutUsers": 1, "PutEvents": 2}},
		{time.Hour, map[string]int{"PutItems": 10, "PutUsers": 10, "PutEvents": 20}},
	} {
		now = now.Add(step.passes)
		for name, call := range calls {
			for n := range step.admits[name] {
				if err := call(); err != nil {
					t.Errorf("%s %d after %v: %v", name, n, step.passes, err)
				}
			}
			if err := call(); code(err) != api.Throttling {
				t.Errorf("%s once more after %v: %v", name, step.passes, err)
			}
		}
	}
}

package serve_test

import (
	"fmt"
	"testing"

	"github.com/palate-dev/palate/internal/api"
)

func BenchmarkGetRecommendations(b *testing.B) {
	w := newWorld(b)
	c := w.campaign(w.version(w.films(), personalization), certain())
	requests := make([]*api.GetRecommendationsRequest, 48)
	for u := range requests {
		requests[u] = &api.GetRecommendationsRequest{CampaignARN: c, UserID: fmt.Sprintf("u%02d", u)}
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if _, err := w.GetRecommendations(w.ctx, requests[n%len(requests)]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkPutEvents(b *testing.B) {
	w := newWorld(b)
	w.films()
	events := make([]api.Event, 10)
	for i := range events {
		events[i] = api.Event{EventType: "Watch", ItemID: fmt.Sprintf("f%02d", i), SentAt: seconds(1_700_000_000), Properties: `{"eventValue":1}`}
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			_, err := w.PutEvents(w.ctx, &api.PutEventsRequest{TrackingID: trackingID, UserID: fmt.Sprintf("u%02d", n%48), SessionID: "s1", EventList: events})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

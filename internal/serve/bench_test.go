package serve_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
)

func BenchmarkGetRecommendations(b *testing.B) {
	for _, items := range []int{36, 3000} {
		b.Run(fmt.Sprintf("items=%d", items), func(b *testing.B) {
			w := newWorld(b)
			films := w.films()
			if items > 36 {
				w.crowd(films, items)
			}
			c := w.campaign(w.version(films, personalization), certain())
			requests := make([]*api.GetRecommendationsRequest, 48)
			for u := range requests {
				requests[u] = &api.GetRecommendationsRequest{CampaignARN: c, UserID: fmt.Sprintf("u%02d", u)}
				w.watch(requests[u].UserID, "s1", "f07", "Watch", 1_700_200_000)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					if _, err := w.GetRecommendations(w.ctx, requests[n%len(requests)]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkGetPersonalizedRanking(b *testing.B) {
	w := newWorld(b)
	films := w.films()
	w.crowd(films, 3000)
	in := &api.GetPersonalizedRankingRequest{CampaignARN: w.campaign(w.version(films, "aws-personalized-ranking-v2"), nil), UserID: "u01"}
	for _, n := range rand.New(rand.NewPCG(1, 2)).Perm(3000)[:500] {
		in.InputList = append(in.InputList, fmt.Sprintf("g%05d", n))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.GetPersonalizedRanking(w.ctx, in); err != nil {
			b.Fatal(err)
		}
	}
}

// crowd adds as many users as items, each of whom watched 16 films that lie close to each other.
func (w *world) crowd(t dataset.Table, items int) {
	w.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var rows []dataset.Row
	for u := range items {
		home := random.IntN(items)
		for k := range 16 {
			item := (home + int(random.NormFloat64()*20) + items) % items
			rows = append(rows, watched(fmt.Sprintf("v%05d", u), fmt.Sprintf("g%05d", item), "Watch", int64(1_700_000_000+1000*k)))
		}
	}
	for chunk := range slices.Chunk(rows, 5000) {
		if err := w.engine.Put(w.ctx, t, chunk); err != nil {
			w.t.Fatal(err)
		}
	}
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

package api_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
)

// BenchmarkRanking is the price of the API layer for the longest of the runtime's requests: parse, check and decode a list of 500 items.
func BenchmarkRanking(b *testing.B) {
	o := operation(b, "GetPersonalizedRanking", func(context.Context, string, any, any) error { return nil })
	in := api.GetPersonalizedRankingRequest{CampaignARN: "arn:aws:personalize:us-east-1:000000000000:campaign/items", UserID: "user-00000001"}
	for i := range 500 {
		in.InputList = append(in.InputList, fmt.Sprintf("item-%07d", 7919*i))
	}
	body, err := api.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Call(b.Context(), body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCall is the price of the API layer: parse, check and decode a full request, and write a response of 25 items.
func BenchmarkCall(b *testing.B) {
	items := make([]api.PredictedItem, 25)
	for i := range items {
		items[i] = api.PredictedItem{ItemID: "item", Score: new(0.25)}
	}
	o := operation(b, "GetRecommendations", func(_ context.Context, _ string, _, out any) error {
		out.(*api.GetRecommendationsResponse).ItemList = items
		return nil
	})
	body, err := api.Marshal(apitest.Request(o.Name))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		out, err := o.Call(b.Context(), body)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := api.Marshal(out); err != nil {
			b.Fatal(err)
		}
	}
}

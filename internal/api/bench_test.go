package api_test

import (
	"context"
	"testing"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
)

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

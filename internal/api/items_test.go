package api

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
)

func TestItemsAreWrittenAsPlainly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "item-1", "a b", `"`, `\`, "<&>", "é", "\n", "\x7f", "~", "RID-1", "\u2028"}
	text := func() string {
		if random.IntN(3) > 0 {
			return "item-7"
		}
		return texts[random.IntN(len(texts))]
	}
	quick := 0
	for range 20_000 {
		var items []PredictedItem
		if random.IntN(20) > 0 {
			items = make([]PredictedItem, random.IntN(4))
		}
		for i := range items {
			p := &items[i]
			p.ItemID = text()
			switch random.IntN(4) {
			case 0:
				p.Score = new(math.Float64frombits(random.Uint64()))
			case 1:
				p.Score = new(math.Round(random.Float64()*1e7) / 1e7 * math.Pow(10, float64(random.IntN(40)-20)))
			case 2:
				p.Score = new(float64(random.IntN(2)))
			}
			if random.IntN(4) == 0 {
				p.PromotionName = text()
			}
			if random.IntN(4) == 0 {
				p.Reason = make([]string, random.IntN(3))
				for k := range p.Reason {
					p.Reason[k] = text()
				}
			}
			if random.IntN(20) == 0 {
				p.Metadata = map[string]string{"title": text()}
			}
		}
		for _, v := range []any{&GetRecommendationsResponse{items, text()}, &GetPersonalizedRankingResponse{items, text()}} {
			got, ok := marshalItems(v)
			if !ok {
				continue
			}
			quick++
			want, err := marshalPlain(v)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s, want %s %v", got, want, err)
			}
		}
	}
	if quick < 5000 {
		t.Errorf("only %d were written quickly", quick)
	}
}

func TestScoresAreWrittenAsOtherNumbersAre(t *testing.T) {
	check := func(f float64) {
		want, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendFloat(nil, f); string(got) != string(want) {
			t.Fatalf("%v is written as %s, want %s", f, got, want)
		}
	}
	for n := int64(0); n < 10_000_200; n += 1 + n/7000 {
		f := math.Round(float64(n)) / 1e7
		check(f)
		check(-f)
		check(math.Nextafter(f, 2))
		check(math.Nextafter(f, -2))
	}
	check(1e300)
	check(-1e300)
}

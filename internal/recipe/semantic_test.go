package recipe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
)

// shelf are items with names, descriptions and days of creation.
func shelf(t *testing.T, rows ...[3]string) *Attributes {
	b := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "NAME:string?/itemName", "ABOUT:string?/textual", "CREATION_TIMESTAMP:long?"), every)
	for n, row := range rows {
		b.Add([]schema.Value{str(row[0]), str(row[1]), str(row[2]), whole(int64(86400 * n))})
	}
	return b.Attributes()
}

var library = [][3]string{
	{"gulliver", "Gulliver's Travels", "A ship's surgeon is shipwrecked among tiny people and then among giants."},
	{"crusoe", "Robinson Crusoe", "A shipwrecked sailor lives for years on a lonely island."},
	{"treasure", "Treasure Island", "A boy and a crew of pirates sail to an island to find a buried treasure."},
	{"emma", "Emma", "A young lady of a small town makes matches for her friends and misjudges love."},
	{"pride", "Pride and Prejudice", "Five sisters of a small town, their matches, and the pride that misjudges love."},
	{"island", "The Mysterious Island", "Five sailors and a boy are stranded on an island with a secret."},
	{"blank", "", ""},
}

func TestItemsAreSimilarByNameAndDescription(t *testing.T) {
	cfg := Config{Recipe: semanticSimilarity}
	m, manifest := trainOn(t, Data{Events: &dataset.Events{Offsets: []int64{0}}, Items: shelf(t, library...)}, cfg)
	for item, like := range map[string]string{"emma": "pride", "pride": "emma", "treasure": "island", "crusoe": "gulliver"} {
		if got := ids(m.Recommend(Query{Item: item, N: 1}, nil)); !slices.Equal(got, []string{like}) {
			t.Errorf("like %s is %v, want %s", item, got, like)
		}
	}
	for _, item := range []string{"unknown", "blank"} {
		if got := m.Recommend(Query{Item: item, N: 5}, nil); len(got) != 0 {
			t.Errorf("like %s, without any events, are %v", item, got)
		}
	}
	for _, name := range []string{"item_popularity", "item_freshness", "item_similarity", "coverage"} {
		if v, ok := manifest.Metrics[name]; !ok || v < 0 || v > 1 || v == 0 && name != "item_popularity" {
			t.Errorf("%s is %v", name, v)
		}
	}
	if len(manifest.Metrics) != 4 {
		t.Errorf("metrics %v", manifest.Metrics)
	}
}

func TestPopularityAndFreshnessMayCount(t *testing.T) {
	var events []testEvent
	for u := range 30 {
		events = append(events, testEvent{fmt.Sprintf("u%02d", u), "old", "", 1, 0})
		if u < 10 {
			events = append(events, testEvent{fmt.Sprintf("u%02d", u), "new", "", 2, 0})
		}
	}
	d := Data{Events: makeEvents(events), Items: shelf(t, [3]string{"old", "red shoe", "a running shoe of leather"}, [3]string{"twin", "red shoes", "running shoes of leather, light"},
		[3]string{"query", "red shoes", "running shoes of leather, light"}, [3]string{"new", "red shoes", "a running boot of leather, light"})}
	m, manifest := trainOn(t, d, Config{Recipe: semanticSimilarity})
	for by, want := range map[Influence]string{{}: "twin", {Popularity: 1}: "old", {Freshness: 1}: "new"} {
		if got := ids(m.Recommend(Query{Item: "query", N: 3, Influence: by}, nil)); len(got) != 3 || got[0] != want {
			t.Errorf("%+v: %v, want %s first", by, got, want)
		}
	}
	if got := ids(m.Recommend(Query{Item: "unknown", N: 5}, nil)); !slices.Equal(got, []string{"old", "new"}) {
		t.Errorf("like an unknown item are %v, want the popular ones", got)
	}
	// (30 + 10)/30 over four items; days 0 to 3 of 3.
	if diff := gocmp.Diff([]float64{0.3333, 0.5}, []float64{manifest.Metrics["item_popularity"], manifest.Metrics["item_freshness"]}); diff != "" {
		t.Error(diff)
	}
}

func TestItemsWithoutTextsCannotBeCompared(t *testing.T) {
	for name, items := range map[string]*Attributes{"no items": nil, "no rows": shelf(t), "no text": shelf(t, [3]string{"a", "", ""})} {
		_, err := Train(context.Background(), Data{Events: &dataset.Events{Offsets: []int64{0}}, Items: items}, Config{Recipe: semanticSimilarity}, quota.Limits{}, t.TempDir()+"/m", nil)
		if e := (*DataError)(nil); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTermsOfTexts(t *testing.T) {
	var got []string
	nameTerms("Île d'Or", func(s string) { got = append(got, s) })
	if diff := gocmp.Diff([]string{"île", "# île", "#île ", "d'or", "# d'o", "#d'or", "#'or "}, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	describingTerms("Étoile stars running", func(s string) { got = append(got, s) })
	if diff := gocmp.Diff([]string{"étoile", "étoil*", "stars", "running", "runni*"}, got); diff != "" {
		t.Error(diff)
	}
}

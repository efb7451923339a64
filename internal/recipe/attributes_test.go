package recipe

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/schema/schematest"
	"github.com/palate-dev/palate/internal/userset"
)

func str(s string) schema.Value  { return schema.Value{Valid: true, Str: s} }
func num(f float64) schema.Value { return schema.Value{Valid: true, Float: f} }
func whole(n int64) schema.Value { return schema.Value{Valid: true, Int: n} }
func every(schema.Field) bool    { return true }
func none() (null schema.Value)  { return null }
func parse(t testing.TB, name string, fields ...string) *schema.Schema {
	t.Helper()
	s, err := schema.Parse(schematest.Avro(name, fields...), "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAttributesAreCodedByRank(t *testing.T) {
	s := parse(t, "Items", "GENRES:string?/categorical", "ITEM_ID:string", "PRICE:float?", "CREATION_TIMESTAMP:long", "SKU:string?", "PLOT:string?/textual", "HIT:boolean?")
	b := NewAttributesBuilder(s, func(f schema.Field) bool { return f.Name != "PRICE" })
	b.Add([]schema.Value{str("war|art|war||"), str("b"), num(1), whole(7), str("x"), str("two"), whole(1)})
	b.Add([]schema.Value{none(), str("c"), num(2), whole(8), str("x"), none(), whole(1)})
	b.Add([]schema.Value{str("art"), str("a"), none(), whole(9), str("x"), str("one")}) // an old record: without the newest column
	got := b.Attributes()
	want := &Attributes{IDs: []string{"a", "b", "c"}, Columns: []Column{ // two in three have a plot: too few
		{Name: "CREATION_TIMESTAMP", Kind: Number, Number: []float64{9, 7, 8}},
		{Name: "GENRES", Kind: Levels, Level: []string{"art", "war"}, Start: []int64{0, 1, 3, 3}, Cell: []int32{0, 0, 1}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// profiles are the rows of a Users dataset.
func profiles(t *testing.T, rows ...[2]string) *Attributes {
	b := NewAttributesBuilder(parse(t, "Users", "USER_ID:string", "LAND:string?/categorical", "AGE:int?"), every)
	for n, row := range rows {
		b.Add([]schema.Value{str(row[0]), str(row[1]), whole(int64(n))})
	}
	return b.Attributes()
}

func TestAttributesAndContextOfTheErasedAreForgotten(t *testing.T) {
	events := walks(5, 50, 20, 8)
	ev := makeEvents(slices.Clone(events))
	ev.Context = []dataset.EventColumn{{Name: "DEVICE", Levels: []string{"fridge", "phone", "tv"}}}
	for at := range ev.Item {
		code := int32(at%3) + 1
		if code == 3 {
			code = -1
		}
		if ev.Offsets[3] <= int64(at) && int64(at) < ev.Offsets[4] { // nobody else has such a fridge
			code = 0
		}
		ev.Context[0].Code = append(ev.Context[0].Code, code)
	}
	gone := []string{ev.Users[3], "watcher"} // one with events, one with attributes only, alone in their countries
	rows := [][2]string{{ev.Users[0], "fr|de"}, {ev.Users[1], "de"}, {"lurker", "be"}}
	items := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "NAME:string?/itemName", "PLOT:string?/textual", "PRICE:float?"), every)
	for _, id := range append([]string{"unseen"}, ev.Items...) {
		items.Add([]schema.Value{str(id), str("name of " + id), str("<b>" + id), none()})
	}
	all := Data{Events: ev, Items: items.Attributes(), Users: profiles(t, append(rows, [2]string{gone[0], "at"}, [2]string{gone[1], "ch"})...)}
	rest, touched := Data{Events: ev, Items: all.Items, Users: profiles(t, rows...)}.Without(userset.New(gone))
	if !touched {
		t.Fatal("a user with events leaves the data untouched")
	}
	for _, cfg := range everyTrainer {
		dir := filepath.Join(t.TempDir(), "all")
		if _, err := Train(context.Background(), all, cfg, quota.Limits{}, dir, nil); err != nil {
			t.Fatal(err)
		}
		m := open(t, dir)
		if !m.HoldsUser(gone[0]) || !m.HoldsUser(gone[1]) || m.HoldsUser("nobody") {
			t.Errorf("%s: HoldsUser does not know who is in the data", cfg.Recipe)
		}
		if diff := cmp.Diff(all, m.trainedOn(), cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: the model was trained on other data (-want +got)\n%s", cfg.Recipe, diff)
		}
		want, err := Train(context.Background(), rest, cfg, quota.Limits{}, filepath.Join(t.TempDir(), "rest"), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, touched, err := Retrain(context.Background(), dir, userset.New(gone), filepath.Join(t.TempDir(), "left"), nil)
		if err != nil || !touched {
			t.Fatalf("Retrain: touched %v, %v", touched, err)
		}
		if got.Hash != want.Hash {
			t.Errorf("%s: the model after the erasure is not the one that never saw the users", cfg.Recipe)
		}
		if _, touched, err := Retrain(context.Background(), dir, userset.New([]string{"lurker"}), filepath.Join(t.TempDir(), "x"), nil); err != nil || !touched {
			t.Errorf("%s: a user without events stays in the model: %v", cfg.Recipe, err)
		}
	}
}

func TestDamagedAttributesAreRefused(t *testing.T) {
	for name, c := range map[string]Column{
		"a level that is not there": {Kind: Levels, Level: []string{"a"}, Start: []int64{0, 1}, Cell: []int32{1}},
		"a negative level":          {Kind: Levels, Level: []string{"a"}, Start: []int64{0, 1}, Cell: []int32{-1}},
		"rows that go back":         {Kind: Levels, Level: []string{"a"}, Start: []int64{1, 0}, Cell: nil},
		"too many numbers":          {Kind: Number, Number: []float64{1, math.NaN()}},
		"no text":                   {Kind: Text},
		"no such kind":              {Kind: 9, Text: []string{""}},
	} {
		dir := filepath.Join(t.TempDir(), "m")
		d := Data{Events: makeEvents(walks(5, 50, 20, 8)), Users: &Attributes{IDs: []string{"u"}, Columns: []Column{c}}}
		if _, err := Train(context.Background(), d, everyTrainer[0], quota.Limits{}, dir, nil); err != nil {
			t.Fatal(err)
		}
		if m, err := Open(dir); err == nil {
			t.Errorf("%s: opened", name)
			m.Close()
		}
	}
}

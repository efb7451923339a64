package recipe

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

// genreRows are all rows of the Items dataset of genreFans, as an update reads them.
func genreRows() (rows [][]schema.Value) {
	for g := range genres {
		for i := range perGenre {
			rows = append(rows, []schema.Value{str(genreItem(g, i)), str(fmt.Sprintf("g%d|other", g)), whole(int64(1980 + i))})
		}
	}
	return append(rows, []schema.Value{str("unheard of"), {}, {}})
}

// beforeTheCold is genreFans before the items without events were there.
func beforeTheCold(t *testing.T) Data {
	t.Helper()
	d := genreFans(t)
	var kept []int32
	for r, id := range d.Items.IDs {
		if _, ok := slices.BinarySearch(d.Events.Items, id); ok {
			kept = append(kept, int32(r))
		}
	}
	d.Items = d.Items.pick(kept)
	return d
}

// admit lets a model read rows as its newcomers.
func admit(t *testing.T, m *Model, rows [][]schema.Value) *Newcomers {
	t.Helper()
	table := dataset.Table{Schema: parse(t, "Items", "ITEM_ID:string", "GENRES:string?/categorical", "YEAR:int?")}
	effective := func(_ context.Context, _ dataset.Table, yield func(dataset.Row) error) error {
		for _, r := range rows {
			if err := yield(dataset.Row{Values: r}); err != nil {
				return err
			}
		}
		return nil
	}
	n, err := m.Newcomers(t.Context(), effective, table)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var sameNewcomers = cmp.Options{cmp.AllowUnexported(Newcomers{}, rows{}), cmpopts.EquateNaNs()}

func neighbours(m *Model, item string) map[string]float32 {
	e := m.ranker.cold
	i, _ := slices.BinarySearch(m.items, item)
	return named(m, &e.near, e.place[i])
}

func named(m *Model, r *rows, at int32) map[string]float32 {
	found := map[string]float32{}
	near, weight := r.of(at)
	for k, i := range near {
		found[m.items[i]] = weight[k]
	}
	return found
}

func TestNewcomersAreEstimatedAsItemsWithoutEventsAreAtATraining(t *testing.T) {
	trained := open(t, trainData(t, genreFans(t), Config{Recipe: personalizationV1, Seed: 2}))
	m := open(t, trainData(t, beforeTheCold(t), Config{Recipe: personalizationV1, Seed: 2}))
	rows := genreRows()
	n := admit(t, m, rows)
	cold := coldItems()
	slices.Sort(cold)
	if diff := cmp.Diff(cold, n.ids); diff != "" {
		t.Fatalf("newcomers: %s", diff)
	}
	for at, id := range n.ids {
		// Which columns are useful was measured with quantiles that the items had, or had no part in.
		if diff := cmp.Diff(neighbours(trained, id), named(m, &n.near, int32(at)), cmpopts.EquateApprox(0.01, 1e-6)); diff != "" {
			t.Errorf("neighbours of %s: %s", id, diff)
		}
	}
	slices.Reverse(rows)
	if diff := cmp.Diff(n, admit(t, m, rows), sameNewcomers); diff != "" {
		t.Errorf("the order of the rows counts: %s", diff)
	}

	for u := range 8 {
		genre := u % genres
		q := Query{User: fmt.Sprintf("user-%03d", u), Known: true, N: 20, Newcomers: n}
		ranked := names(m.Rank(q, append([]string{"nowhere", genreItem((genre+1)%genres, 0)}, cold...), nil))
		if ranked[0] != genreItem((genre+1)%genres, 0) || ranked[len(ranked)-1] != "nowhere" {
			t.Errorf("newcomers do not stand between items with events and unknown ones: %v", ranked)
		}
		for _, item := range ranked[1 : 1+coldPerGenre] {
			if !ofGenre(item, genre) {
				t.Errorf("for a fan of genre %d %s is among the first newcomers", genre, item)
			}
		}
		if list := names(m.Recommend(q, nil)); slices.ContainsFunc(list, func(item string) bool { return slices.Contains(cold, item) }) {
			t.Errorf("without exploration a newcomer is in the list %v", list)
		}
	}
	fan := Query{User: "somebody", Known: true, N: 5, Newcomers: n, Live: []dataset.LiveEvent{{Item: genreItem(2, perGenre-1), Time: 1_700_000_000}}}
	for _, item := range names(m.Recommend(fan, nil)) {
		if !ofGenre(item, 2) {
			t.Errorf("who looked at a newcomer of genre 2 gets %s", item)
		}
	}
}

func TestModelsThatKnowNoAttributesAdmitNobody(t *testing.T) {
	d := beforeTheCold(t)
	d.Items.Columns = nil
	for name, d := range map[string]Data{"no columns": d, "no items": {Events: d.Events}} {
		if n := admit(t, open(t, trainData(t, d, Config{Recipe: personalizationV1, Seed: 2})), genreRows()); n != nil {
			t.Errorf("%s: %v", name, n.ids)
		}
	}
	if n := admit(t, open(t, trainData(t, genreFans(t), Config{Recipe: personalizationV1, Seed: 2})), genreRows()); n != nil {
		t.Errorf("items that were there at the training: %v", n.ids)
	}
	if n := admit(t, open(t, trainData(t, beforeTheCold(t), Config{Recipe: sims})), genreRows()); n != nil {
		t.Error("a model of related items")
	}
}

// What is admitted is a function of the model, and the model after an erasure is one that never saw the users: only what belongs to the old one must go.
func TestNewcomersOfAModelWithoutAUserAreThoseOfOneThatNeverHadHim(t *testing.T) {
	d := beforeTheCold(t)
	gone := userset.New([]string{"user-001", "user-002", "user-003"})
	from, to := trainData(t, d, Config{Recipe: personalizationV1, Seed: 2}), filepath.Join(t.TempDir(), "to")
	if _, _, err := Retrain(t.Context(), from, gone, to, nil); err != nil {
		t.Fatal(err)
	}
	without, _ := d.Without(gone)
	never := trainData(t, without, Config{Recipe: personalizationV1, Seed: 2})
	if diff := cmp.Diff(admit(t, open(t, never), genreRows()), admit(t, open(t, to), genreRows()), sameNewcomers); diff != "" {
		t.Error(diff)
	}
}

func TestAnUpdatedModelKeepsItsNewcomers(t *testing.T) {
	from := trainData(t, beforeTheCold(t), Config{Recipe: personalizationV1, Seed: 2, Objective: &Optimization{"YEAR", 1}})
	m := open(t, from)
	n := admit(t, m, genreRows())
	fresh := freshly(t, [][]schema.Value{shown("item-00-0", 1_600_000_000, "")}, [][]schema.Value{{str("new"), none(), none()}})
	to := filepath.Join(t.TempDir(), "updated")
	if _, err := Update(t.Context(), from, fresh, n, to); err != nil {
		t.Fatal(err)
	}
	updated := open(t, to)
	cold := coldItems()
	q := Query{User: "user-002", Known: true, N: 20}
	with := q
	with.Newcomers = n
	if diff := cmp.Diff(m.Rank(with, cold, nil), updated.Rank(q, cold, nil)); diff != "" {
		t.Error(diff)
	}
}

// Each explored place goes to a new item that the user may like, in proportion to the weight, and never without it.
func TestExplorationIsSharedByRelevanceAndWeight(t *testing.T) {
	m := open(t, trainData(t, beforeTheCold(t), Config{Recipe: personalizationV1, Seed: 2}))
	n := admit(t, m, genreRows())
	cold := coldItems()
	var listed [][]schema.Value
	for _, id := range cold {
		listed = append(listed, []schema.Value{str(id), none(), none()})
	}
	log := func(shownItem string, times int) (rows [][]schema.Value) {
		for range times {
			rows = append(rows, shown("item-00-0", 1_000_000_000, shownItem))
		}
		return rows
	}
	const requests, length = 400, 20
	explore := func(weight float64, fresh *Fresh, known *Newcomers) (all, own int, of map[string]int) {
		of = map[string]int{}
		for seed := range uint64(requests) {
			q := Query{User: "user-001", Known: true, N: length, ExplorationWeight: weight, CutOff: 30, RequestSeed: seed + 1, Fresh: fresh, Newcomers: known}
			list := m.Recommend(q, nil)
			if diff := cmp.Diff(list, m.Recommend(q, nil)); diff != "" {
				t.Fatalf("one seed, two answers: %s", diff)
			}
			for place, s := range list {
				if s.Reason != "Exploration" {
					continue
				}
				if place == 0 || len(list) != length {
					t.Fatalf("place %d of %d is explored", place, len(list))
				}
				all++
				of[s.Item]++
				if ofGenre(s.Item, 1) {
					own++
				}
			}
		}
		return all, own, of
	}
	quiet := freshly(t, log("", 1), listed)
	if all, _, _ := explore(0, quiet, n); all != 0 {
		t.Errorf("at weight 0 %d items are explored", all)
	}
	places := requests * (length - 1)
	for _, weight := range []float64{0.3, 1} {
		all, own, of := explore(weight, quiet, n)
		if want := exploreShare * weight * float64(places); float64(all) > 1.1*want || float64(all) < 0.7*want { // less for items that are in the list already
			t.Errorf("at weight %v %d of %d places are explored, not about %v", weight, all, places, want)
		}
		if own*2 < all || len(of) < len(cold)/2 {
			t.Errorf("at weight %v %d of %d explored places are for the user's genre; %d items have some", weight, own, all, len(of))
		}
		if _, own, _ = explore(weight, quiet, nil); own*3 > all {
			t.Errorf("at weight %v %d explored places are for the user's genre although nothing is known of the items", weight, own)
		}
	}
	_, _, before := explore(1, quiet, n)
	often := genreItem(1, perGenre-1)
	if _, _, after := explore(1, freshly(t, log(often, 30), listed), n); after[often]*5 > before[often] {
		t.Errorf("%d times explored, and %d times after 30 impressions", before[often], after[often])
	}
}

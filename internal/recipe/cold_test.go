package recipe

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/schema"
)

const genres, perGenre, coldPerGenre = 4, 20, 3

// genreFans are users who take items of one genre at random, and items of which the last of each genre have no events.
func genreFans(t *testing.T) Data {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 1))
	var events []testEvent
	for u := range 640 {
		for k, i := range rng.Perm(perGenre - coldPerGenre)[:6] {
			events = append(events, testEvent{user: fmt.Sprintf("user-%03d", u), item: genreItem(u%genres, i), time: int64(1_600_000_000 + 100*u + k)})
		}
	}
	b := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "GENRES:string?/categorical", "YEAR:int?"), every)
	for g := range genres {
		for i := range perGenre {
			b.Add([]schema.Value{str(genreItem(g, i)), str(fmt.Sprintf("g%d|other", g)), whole(int64(1980 + i))})
		}
	}
	b.Add([]schema.Value{str("unheard of"), {}, {}})
	return Data{Events: makeEvents(events), Items: b.Attributes()}
}

// genreItem names items so that those of a genre do not stand side by side.
func genreItem(genre, i int) string { return fmt.Sprintf("item-%02d-%d", i, genre) }

func coldItems() (ids []string) {
	for i := perGenre - coldPerGenre; i < perGenre; i++ {
		for g := range genres {
			ids = append(ids, genreItem(g, i))
		}
	}
	return ids
}

func names(list []Scored) (ids []string) {
	for _, s := range list {
		ids = append(ids, s.Item)
	}
	return ids
}

func ofGenre(item string, genre int) bool { return strings.HasSuffix(item, fmt.Sprintf("-%d", genre)) }

func TestItemsWithoutEventsAreKnownByTheirAttributes(t *testing.T) {
	for _, recipe := range []string{personalizationV1, personalizationV2} {
		m, err := Open(trainData(t, genreFans(t), Config{Recipe: recipe, Seed: 2}))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		cold := coldItems()
		for u := range 8 {
			genre := u % genres
			q := Query{User: fmt.Sprintf("user-%03d", u), Known: true, N: 20}
			ranked := m.Rank(q, append([]string{"nowhere", "unheard of", genreItem((genre+1)%genres, 0)}, cold...), nil)
			if ranked[0].Item != genreItem((genre+1)%genres, 0) || !ranked[0].HasScore || ranked[1].HasScore {
				t.Errorf("%s: an item with events is not first, alone with a score: %v", recipe, ranked)
			}
			for place, item := range names(ranked)[1 : 1+coldPerGenre] {
				if !ofGenre(item, genre) {
					t.Errorf("%s: for a fan of genre %d place %d among items without events is for %s", recipe, genre, place, item)
				}
			}
			if last := names(ranked)[len(ranked)-2:]; !slices.Equal(last, []string{"nowhere", "unheard of"}) {
				t.Errorf("%s: items of which nothing is known end the list as %v", recipe, last)
			}

			var new []int
			list := names(m.Recommend(q, nil))
			for place, item := range list {
				if slices.Contains(cold, item) && ofGenre(item, genre) {
					new = append(new, place)
				}
			}
			if len(new) == 0 || new[0] == 0 {
				t.Errorf("%s: of the new items of genre %d are recommended, at places %v: %v", recipe, genre, new, list)
			}
		}
		fan := Query{User: "somebody", Known: true, N: 5, Live: []dataset.LiveEvent{{Item: cold[2], Time: 1_700_000_000}}}
		for _, item := range names(m.Recommend(fan, nil)) {
			if !ofGenre(item, 2) || item == cold[2] {
				t.Errorf("%s: who looked at a new item of genre 2 gets %s", recipe, item)
			}
		}
	}
}

// A ranking estimates what it is asked for and does without the estimates that lists make ahead: these must be the same.
func TestWhatListsEstimateIsWhatRankingsDo(t *testing.T) {
	m, err := Open(trainData(t, genreFans(t), Config{Recipe: personalizationV2, Seed: 2}))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ahead := 0
	for u := range 20 {
		s := m.ask(&Query{User: fmt.Sprintf("user-%03d", u), Known: true})
		want := make([]float32, len(m.items))
		for i := range want {
			want[i] = m.ranker.of(s, int32(i))
		}
		m.ranker.estimate(s)
		for i, r := range want {
			if got := m.ranker.of(s, int32(i)); got != r {
				t.Fatalf("%s has %v in a list and %v in a ranking", m.items[i], got, r)
			}
			ahead += int(s.state[i] & stateEstimated)
		}
		m.ranker.release(s)
	}
	if ahead == 0 {
		t.Error("nothing is estimated ahead")
	}
}

func TestWithoutAttributesItemsWithoutEventsStayUnknown(t *testing.T) {
	d := genreFans(t)
	d.Items.Columns = nil
	m, err := Open(trainData(t, d, Config{Recipe: personalizationV2, Seed: 2}))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	q := Query{User: "user-001", Known: true, N: 500}
	if cold := coldItems(); !slices.Equal(names(m.Rank(q, cold, nil)), cold) {
		t.Error("they do not stay as they stand in a list")
	}
	if list := m.Recommend(q, nil); len(list) != genres*(perGenre-coldPerGenre) {
		t.Errorf("%d items are recommended", len(list))
	}
}

// One event with a fan of another genre does not outweigh what an item is; many would.
func TestFewEventsAreShrunkTowardsTheAttributes(t *testing.T) {
	d := genreFans(t)
	item := genreItem(0, perGenre-1)
	var events []testEvent
	for u, user := range d.Events.Users {
		for at := d.Events.Offsets[u]; at < d.Events.Offsets[u+1]; at++ {
			events = append(events, testEvent{user: user, item: d.Events.Items[d.Events.Item[at]], time: d.Events.Time[at]})
		}
	}
	place := func(fans int) (own, other int) {
		more := slices.Clone(events)
		for u := range fans {
			more = append(more, testEvent{user: fmt.Sprintf("user-%03d", genres*u+1), item: item, time: 1_600_000_500})
		}
		m, err := Open(trainData(t, Data{Events: makeEvents(more), Items: d.Items}, Config{Recipe: personalizationV2, Seed: 2}))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		where := func(user string) int {
			return slices.Index(names(m.Recommend(Query{User: user, Known: true, N: 500}, nil)), item)
		}
		return where("user-156"), where("user-157")
	}
	if own, other := place(1); own >= other {
		t.Errorf("with an event by another's fan: place %d for fans of its genre, %d for others", own, other)
	}
	if own, other := place(30); own <= other {
		t.Errorf("with thirty: place %d for fans of its genre, %d for those who take it", own, other)
	}
}

// What estimates cost a request.
func BenchmarkRecommendWithEstimates(b *testing.B) {
	const items = 3000
	events := walks(1, 3000, items, 16)
	rows := NewAttributesBuilder(parse(b, "Items", "ITEM_ID:string", "GENRES:string?/categorical"), every)
	for i := range items + 2000 {
		rows.Add([]schema.Value{str(fmt.Sprintf("item-%04d", i)), str(fmt.Sprintf("g%d|h%d", i%3000/30, i%7))})
	}
	for _, name := range []string{"without", "with"} {
		d := Data{Events: makeEvents(events)}
		if name == "with" {
			d.Items = rows.Attributes()
		}
		m, err := Open(trainData(b, d, Config{Recipe: personalizationV1, Seed: 1}))
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		b.Run(name, func(b *testing.B) {
			var buf []Scored
			for n := 0; b.Loop(); n++ {
				buf = m.Recommend(Query{User: fmt.Sprintf("user-%04d", n%3000), Known: true, N: 25}, buf)
			}
		})
	}
}

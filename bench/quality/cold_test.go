package main

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// readFilms reads ITEM_ID, GENRES and YEAR of an items.csv or items.csv.gz.
func readFilms(t *testing.T, path string) *recipe.Attributes {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var text io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if text, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := csv.NewReader(text).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	b := recipe.NewAttributesBuilder(&schema.Schema{Type: schema.Items, Fields: []schema.Field{
		{Name: "ITEM_ID", Kind: schema.String}, {Name: "GENRES", Kind: schema.String, Categorical: true}, {Name: "YEAR", Kind: schema.Int},
	}}, func(schema.Field) bool { return true })
	id, genres, year := slices.Index(rows[0], "ITEM_ID"), slices.Index(rows[0], "GENRES"), slices.Index(rows[0], "YEAR")
	for _, row := range rows[1:] {
		made := schema.Value{}
		if n, err := strconv.ParseInt(row[year], 10, 64); err == nil {
			made = schema.Value{Valid: true, Int: n}
		}
		b.Add([]schema.Value{{Valid: true, Str: row[id]}, {Valid: true, Str: row[genres]}, made})
	}
	return b.Attributes()
}

// trainFilms trains user-personalization-v2, with attributes or nil.
func trainFilms(t *testing.T, rows []interaction, items *recipe.Attributes) *recipe.Model {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	cfg := recipe.Config{Recipe: "aws-user-personalization-v2", Seed: 1}
	if _, err := recipe.Train(context.Background(), recipe.Data{Events: events(rows), Items: items}, cfg, quota.Limits{}, dir, nil); err != nil {
		t.Fatal(err)
	}
	m, err := recipe.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// novelties hides all events of one item in ten: what users took of these is to be found among them.
func novelties(rows []interaction) (t task, hidden []string) {
	unseen := func(item string) bool {
		h := fnv.New32a()
		io.WriteString(h, item)
		return h.Sum32()%10 == 0
	}
	t.truth = map[string][]string{}
	for _, e := range rows {
		if !unseen(e.item) {
			t.train = append(t.train, e)
			continue
		}
		hidden = append(hidden, e.item)
		t.truth[e.user] = append(t.truth[e.user], e.item)
	}
	t.known = group(t.train)
	maps.DeleteFunc(t.truth, func(user string, _ []string) bool { return len(t.known[user]) < 2 })
	slices.Sort(hidden)
	return t, slices.Compact(hidden)
}

// rankings answers each user with the same list of items, as the model ranks it for him.
type rankings struct {
	model *recipe.Model
	items []string
}

func (r rankings) lists(_ *task, want []string) (map[string][]string, error) {
	lists := map[string][]string{}
	for _, user := range want {
		for _, s := range r.model.Rank(recipe.Query{User: user, Known: true}, r.items, nil) {
			lists[user] = append(lists[user], s.Item)
		}
	}
	return lists, nil
}

// recommendations are the model's own lists, without what the user has.
type recommendations struct{ model *recipe.Model }

func (r recommendations) lists(t *task, want []string) (map[string][]string, error) {
	lists := map[string][]string{}
	for _, user := range want {
		known := t.known[user]
		q := recipe.Query{User: user, Known: true, N: listLength, Exclude: func(item string) bool { return slices.Contains(known, item) }}
		for _, s := range r.model.Recommend(q, nil) {
			lists[user] = append(lists[user], s.Item)
		}
	}
	return lists, nil
}

func measured(t *testing.T, m method, task *task) result {
	t.Helper()
	r, err := measure(m, task)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The floor lies below what was measured when it was set.
func TestGenresAndYearsFindUnseenFilms(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a model")
	}
	task, hidden := novelties(films(t, 16).all)
	ours := measured(t, rankings{trainFilms(t, task.train, readFilms(t, "../../internal/demo/movietweetings/items.csv.gz")), hidden}, &task)
	asTheyStand := measured(t, fixedOrder(hidden), &task)
	t.Logf("%d unseen films, %d users: %+v, as they stand %+v", len(hidden), len(task.truth), ours, asTheyStand)
	if ours.Recall20 < 4*asTheyStand.Recall20 || ours.NDCG10 < 4*asTheyStand.NDCG10 {
		t.Error("attributes do not find unseen films")
	}
}

// fixedOrder answers everybody with the same list.
type fixedOrder []string

func (f fixedOrder) lists(_ *task, want []string) (map[string][]string, error) {
	lists := map[string][]string{}
	for _, user := range want {
		lists[user] = f
	}
	return lists, nil
}

// TestAttributesOnWholeSets logs what docs/quality.md says about attributes: QUALITY_DATA is a folder with sets that have an items.csv.
func TestAttributesOnWholeSets(t *testing.T) {
	data := os.Getenv("QUALITY_DATA")
	if data == "" {
		t.Skip("QUALITY_DATA is not set")
	}
	for _, name := range []string{"ml-latest-small", "movietweetings-138k"} {
		c, err := load(filepath.Join(data, name))
		if err != nil {
			t.Fatal(err)
		}
		items := readFilms(t, filepath.Join(data, name, "items.csv"))
		unseen, hidden := novelties(c.all)
		last, _ := c.split(c.protocols()[0], 1)
		for what, attributes := range map[string]*recipe.Attributes{"with": items, "without": {IDs: items.IDs}} {
			m := trainFilms(t, unseen.train, attributes)
			t.Logf("%s, %s attributes: %d unseen items ranked for %d users %+v; found in the whole catalogue %+v", name, what, len(hidden), len(unseen.truth),
				measured(t, rankings{m, hidden}, &unseen), measured(t, recommendations{m}, &unseen))
			t.Logf("%s, %s attributes: leave one out %+v", name, what, measured(t, recommendations{trainFilms(t, last.train, attributes)}, &last))
		}
	}
}

package serve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/serve"
)

const (
	region  = "us-east-1"
	account = "000000000000"
)

func arnOf(kind, path string) string {
	return fmt.Sprintf("arn:aws:personalize:%s:%s:%s/%s", region, account, kind, path)
}

// world is a server's inside in a temporary directory: the real database, the real engine, real models, and one dataset group.
type world struct {
	*serve.Service
	t      testing.TB
	ctx    context.Context
	db     *meta.DB
	engine *dataset.Engine
	models string
	log    *syncBuffer
	group  string // ARN
	id     string // the engine's name of the group
	named  int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, models: filepath.Join(dir, "models"), log: &syncBuffer{}, id: "g1", group: arnOf(meta.DatasetGroup, "films")}
	w.ctx = api.WithCaller(context.Background(), api.Caller{Partition: "aws", Region: region, Account: account})
	log := slog.New(slog.NewTextHandler(w.log, nil))

	var err error
	if w.db, err = meta.Open(filepath.Join(dir, "meta.db")); err != nil {
		t.Fatal(err)
	}
	if w.engine, err = dataset.Open(filepath.Join(dir, "store"), w.db.SQL(), log); err != nil {
		t.Fatal(err)
	}
	w.Service = serve.New(serve.Options{Meta: w.db, Engine: w.engine, ModelDir: w.models, Limits: quota.Local(), Log: log})
	t.Cleanup(func() {
		if err := errors.Join(w.Service.Close(), w.engine.Close(), w.db.Close()); err != nil {
			t.Error(err)
		}
	})
	w.insert(meta.DatasetGroup, w.group, "", api.DatasetGroup{Name: "films", DatasetGroupARN: w.group}, meta.GroupPrivate{ID: w.id})
	return w
}

// syncBuffer is a log that goroutines share.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// insert makes an ACTIVE row.
func (w *world) insert(kind, arn, group string, doc, private any) {
	w.t.Helper()
	r := &meta.Resource{ARN: arn, Kind: kind, Scope: region + ":" + account, Group: group, Name: filepath.Base(arn), Status: meta.CreatePending}
	err := errors.Join(r.SetDoc(doc), r.SetPrivate(private))
	if err == nil {
		err = w.db.Update(w.ctx, func(tx *meta.Tx) error { return tx.Insert(r) })
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.status(arn, meta.CreateInProgress, meta.Active)
}

// change edits a row.
func (w *world) change(arn string, f func(r *meta.Resource) error) {
	w.t.Helper()
	err := w.db.Update(w.ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(arn)
		if err != nil {
			return err
		}
		if err := f(r); err != nil {
			return err
		}
		return tx.Put(r)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// status leads a row through statuses.
func (w *world) status(arn string, path ...string) {
	w.t.Helper()
	for _, s := range path {
		w.change(arn, func(r *meta.Resource) error { r.Status = s; return nil })
	}
}

func (w *world) next(prefix string) string {
	w.named++
	return fmt.Sprintf("%s%d", prefix, w.named)
}

// dataset makes a dataset of the type with these fields of its schema, and returns its table.
func (w *world) dataset(kind schema.Type, name, fields, tracking string) dataset.Table {
	w.t.Helper()
	text := `{"type":"record","name":"` + name + `","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[` + fields + `]}`
	schema, err := schema.Parse(text, "")
	if err != nil {
		w.t.Fatal(err)
	}
	t := dataset.Table{Group: w.id, ID: w.next("t"), Schema: schema}
	if err := w.engine.CreateTable(w.ctx, t); err != nil {
		w.t.Fatal(err)
	}
	arn := datasetARN(kind)
	w.insert(meta.Dataset, arn, w.group, api.Dataset{DatasetARN: arn, DatasetType: string(kind), TrackingID: tracking},
		meta.DatasetPrivate{Group: w.id, Table: t.ID, Type: string(kind), Schema: text})
	return t
}

func datasetARN(kind schema.Type) string { return arnOf(meta.Dataset, "films/"+string(kind)) }

const (
	interactionFields = `{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"EVENT_TYPE","type":"string"},` +
		`{"name":"EVENT_VALUE","type":["float","null"]},{"name":"TIMESTAMP","type":"long"}`
	itemFields = `{"name":"ITEM_ID","type":"string"},{"name":"TITLE","type":["string","null"]},{"name":"GENRES","type":["string","null"],"categorical":true},` +
		`{"name":"CATEGORY_L1","type":["string","null"],"categorical":true},{"name":"CREATION_TIMESTAMP","type":["long","null"]},` +
		`{"name":"PRICE","type":["float","null"]},{"name":"IN_STOCK","type":["boolean","null"]}`
)

const trackingID = "11111111-2222-3333-4444-555555555555"

// tracker makes the group's event tracker.
func (w *world) tracker() {
	w.t.Helper()
	arn := arnOf(meta.EventTracker, "d2e7ccdc")
	w.insert(meta.EventTracker, arn, w.group, api.EventTracker{EventTrackerARN: arn, TrackingID: trackingID}, nil)
}

// films makes the datasets of a small film club: 48 users in three circles, each of which watches its own twelve of 36 films, one after the other. Users
// are u00 to u47, films f00 to f35; u00 and its like are in circle 0 with films f00 to f11, which are also the most watched.
func (w *world) films() dataset.Table {
	w.t.Helper()
	t := w.dataset(schema.Interactions, "Interactions", interactionFields, "")
	w.dataset(schema.Items, "Items", itemFields, "")
	w.tracker()
	var rows []dataset.Row
	for u := range 48 {
		circle, n := u%3, 8-u%3
		for k := range n {
			rows = append(rows, watched(fmt.Sprintf("u%02d", u), fmt.Sprintf("f%02d", 12*circle+(u/3+k)%12), "Watch", int64(1_700_000_000+1000*k)))
		}
	}
	if err := w.engine.Put(w.ctx, t, rows); err != nil {
		w.t.Fatal(err)
	}
	return t
}

func watched(user, item, kind string, at int64) dataset.Row {
	return dataset.Row{EventID: fmt.Sprint(user, item, kind, at), Session: "s-" + user, Values: []schema.Value{
		{Valid: true, Str: user}, {Valid: true, Str: item}, {Valid: true, Str: kind}, {}, {Valid: true, Int: at},
	}}
}

// train makes a model of the events that are stored now, and returns its directory name and Seq.
func (w *world) train(t dataset.Table, name string) (string, int64) {
	w.t.Helper()
	entry, ok := recipe.Find(name)
	if !ok {
		w.t.Fatalf("no recipe %s", name)
	}
	events, err := w.engine.Events(w.ctx, t)
	if err != nil {
		w.t.Fatal(err)
	}
	dir := w.next("model-")
	cfg := recipe.Config{Recipe: name, CountEvents: entry.CountEvents, Seed: 1}
	m, err := recipe.Train(w.ctx, recipe.Data{Events: events}, cfg, quota.Local(), filepath.Join(w.models, dir), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return dir, m.Seq
}

// version trains a solution version.
func (w *world) version(t dataset.Table, name string) string {
	w.t.Helper()
	arn := arnOf(meta.Solution, w.next("s")+"/c1a33236")
	model, seq := w.train(t, name)
	w.insert(meta.SolutionVersion, arn, w.group, api.SolutionVersion{SolutionVersionARN: arn, RecipeARN: recipeARN(name)},
		meta.ModelPrivate{Model: model, Seq: seq})
	return arn
}

func recipeARN(name string) string { return "arn:aws:personalize:::recipe/" + name }

// campaign deploys a solution version.
func (w *world) campaign(version string, config *api.CampaignConfig) string {
	w.t.Helper()
	arn := arnOf(meta.Campaign, w.next("c"))
	w.insert(meta.Campaign, arn, w.group, api.Campaign{CampaignARN: arn, SolutionVersionARN: version, CampaignConfig: config}, nil)
	return arn
}

// recommender trains and deploys a use case.
func (w *world) recommender(t dataset.Table, name string, config *api.RecommenderConfig) string {
	w.t.Helper()
	arn := arnOf(meta.Recommender, w.next("r"))
	model, seq := w.train(t, name)
	w.insert(meta.Recommender, arn, w.group, api.Recommender{RecommenderARN: arn, RecipeARN: recipeARN(name), RecommenderConfig: config},
		meta.ModelPrivate{Model: model, Seq: seq})
	return arn
}

// certain is the configuration of a campaign that does not explore.
func certain() *api.CampaignConfig {
	return &api.CampaignConfig{ItemExplorationConfig: map[string]string{"explorationWeight": "0"}}
}

// ask is GetRecommendations of a campaign, which must succeed.
func (w *world) ask(campaign, user string) []api.PredictedItem {
	w.t.Helper()
	out, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: campaign, UserID: user})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.ItemList
}

// askRecommender is GetRecommendations of a recommender, which must succeed.
func (w *world) askRecommender(recommender, user string) []api.PredictedItem {
	w.t.Helper()
	out, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{RecommenderARN: recommender, UserID: user})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.ItemList
}

// watch sends one event.
func (w *world) watch(user, session, item, kind string, at int64) {
	w.t.Helper()
	_, err := w.PutEvents(w.ctx, &api.PutEventsRequest{TrackingID: trackingID, UserID: user, SessionID: session, EventList: []api.Event{
		{EventType: kind, ItemID: item, SentAt: seconds(at)},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// code is the exception that the client sees.
func code(err error) api.Code {
	if e := (*api.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return api.InternalFailure
	}
	return ""
}

func ids(list []api.PredictedItem) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.ItemID
	}
	return out
}

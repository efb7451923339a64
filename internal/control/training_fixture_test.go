package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/control"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

// studio is a control plane over a fresh database, with the resources that trainings need. Its jobs end when the test says so: settle does
// at once what package work takes its time for, finish decides how one ends.
type studio struct {
	*control.Service
	t    *testing.T
	ctx  context.Context
	db   *meta.DB
	news *news

	refreshed time.Time // when refreshes and regular trainings end, to the service
}

// news is a dataset engine as far as the control plane sees one: how far the interactions have come.
type news struct {
	mu  sync.Mutex
	seq int64
}

func (n *news) Latest(context.Context, dataset.Table) (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seq, nil
}

func (n *news) arrive() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seq++
}

const (
	inRegion  = "arn:aws:personalize:eu-west-1:123456789012:"
	ofRecipe  = "arn:aws:personalize:::recipe/"
	someRole  = "arn:aws:iam::123456789012:role/storage"
	watched   = `{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"}`
	withTypes = watched + `,{"name":"EVENT_TYPE","type":"string"},{"name":"EVENT_VALUE","type":["float","null"]}`
	films     = `{"name":"ITEM_ID","type":"string"},{"name":"GENRES","type":["null","string"],"categorical":true},{"name":"PRICE","type":"float"},` +
		`{"name":"AGE","type":["null","int"]},{"name":"PLOT","type":["null","string"],"textual":true}`
)

func newStudio(t *testing.T, limits quota.Limits) *studio {
	t.Helper()
	db, err := meta.Open(filepath.Join(t.TempDir(), "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &news{seq: 1}
	return &studio{
		Service: control.New(control.Options{Meta: db, Engine: n, Limits: limits}), t: t, db: db, news: n,
		ctx: api.WithCaller(t.Context(), api.Caller{Partition: "aws", Region: "eu-west-1", Account: "123456789012"}),
	}
}

// open returns a studio with an ACTIVE custom group "g" that has Interactions, with event types, and Items.
func open(t *testing.T, limits quota.Limits) *studio {
	s := newStudio(t, limits)
	s.group("g", "")
	s.dataset("g", "Interactions", "", withTypes)
	s.dataset("g", "Items", "", films)
	return s
}

func (s *studio) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *studio) group(name, domain string) string {
	s.t.Helper()
	out, err := s.CreateDatasetGroup(s.ctx, &api.CreateDatasetGroupRequest{Name: name, Domain: domain})
	s.must(err)
	s.settle()
	return out.DatasetGroupARN
}

func (s *studio) dataset(group, kind, domain, fields string) {
	s.t.Helper()
	schema, err := s.CreateSchema(s.ctx, &api.CreateSchemaRequest{
		Name: group + "-" + kind, Domain: domain,
		Schema: `{"type":"record","name":"` + kind + `","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[` + fields + `]}`,
	})
	s.must(err)
	_, err = s.CreateDataset(s.ctx, &api.CreateDatasetRequest{
		Name: group + "-" + kind, DatasetType: kind, DatasetGroupARN: inRegion + "dataset-group/" + group, SchemaARN: schema.SchemaARN,
	})
	s.must(err)
	s.settle()
}

func (s *studio) solution(name, recipe string) string {
	s.t.Helper()
	out, err := s.CreateSolution(s.ctx, &api.CreateSolutionRequest{Name: name, DatasetGroupARN: inRegion + "dataset-group/g", RecipeARN: ofRecipe + recipe})
	s.must(err)
	s.settle()
	return out.SolutionARN
}

// version creates a version that waits for training.
func (s *studio) version(solution string) string {
	s.t.Helper()
	out, err := s.CreateSolutionVersion(s.ctx, &api.CreateSolutionVersionRequest{SolutionARN: solution})
	s.must(err)
	return out.SolutionVersionARN
}

// trained creates a version and ends its training.
func (s *studio) trained(solution string) string {
	s.t.Helper()
	arn := s.version(solution)
	s.settle()
	return arn
}

func (s *studio) campaign(name, version string, config *api.CampaignConfig) string {
	s.t.Helper()
	out, err := s.CreateCampaign(s.ctx, &api.CreateCampaignRequest{Name: name, SolutionVersionARN: version, CampaignConfig: config})
	s.must(err)
	s.settle()
	return out.CampaignARN
}

// settle ends every job with success.
func (s *studio) settle() {
	s.t.Helper()
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error {
		rows, err := tx.Find(meta.Query{})
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.Job.Kind == "" {
				continue
			}
			if err := s.end(tx, r); err != nil {
				return err
			}
		}
		return nil
	}))
}

// end does what package work does, but for the work.
func (s *studio) end(tx *meta.Tx, r *meta.Resource) error {
	kind := r.Job.Kind
	r.Job = meta.Job{}
	switch {
	case kind == job.Remove:
		return tx.Delete(r.ARN)
	case kind == job.Update:
		if err := applyUpdate(r); err != nil {
			return err
		}
		return tx.Put(r)
	case r.Status == meta.StopPending:
		return walk(tx, r, meta.StopInProgress, meta.Inactive)
	case r.Status == meta.StartPending:
		return walk(tx, r, meta.StartInProgress, meta.Active)
	case r.Status == meta.CreateStopping:
		return walk(tx, r, meta.CreateStopped)
	case kind == job.Refresh:
		p, err := meta.Private[meta.ModelPrivate](r)
		if err != nil {
			return err
		}
		p.Evaluated, p.Seen = s.refreshed, s.news.seq
		return errors.Join(r.SetPrivate(p), tx.Put(r))
	case kind == job.Retrain:
		p := meta.ModelPrivate{Model: "retrained", Seq: s.news.seq, Read: s.refreshed, Evaluated: s.refreshed, Seen: s.news.seq}
		return errors.Join(r.SetPrivate(p), tx.Put(r))
	case kind == job.Train || kind == job.Recommend:
		p := meta.ModelPrivate{Model: "model", Seq: s.news.seq, Metrics: map[string]float64{"coverage": 0.5}, Evaluated: time.Now(), Seen: s.news.seq}
		if err := r.SetPrivate(p); err != nil {
			return err
		}
	}
	return walk(tx, r, meta.CreateInProgress, meta.Active)
}

func walk(tx *meta.Tx, r *meta.Resource, statuses ...string) error {
	for _, status := range statuses {
		r.Status = status
		if err := tx.Put(r); err != nil {
			return err
		}
	}
	return nil
}

// applyUpdate moves the members of a latest...Update to the top of the Describe shape.
func applyUpdate(r *meta.Resource) error {
	var doc map[string]any
	if err := json.Unmarshal(r.Doc, &doc); err != nil {
		return err
	}
	for name, member := range doc {
		update, ok := member.(map[string]any)
		if !ok || !strings.HasPrefix(name, "latest") {
			continue
		}
		update["status"] = meta.Active
		for k, v := range update {
			switch k {
			case "solutionUpdateConfig":
				config, _ := doc["solutionConfig"].(map[string]any)
				if config == nil {
					config = map[string]any{}
				}
				for k, v := range v.(map[string]any) {
					config[k] = v
				}
				doc["solutionConfig"] = config
			case "status", "creationDateTime", "lastUpdatedDateTime", "failureReason":
			default:
				doc[k] = v
			}
		}
	}
	if arn, ok := doc["solutionVersionArn"].(string); ok && r.Kind == meta.Campaign {
		r.Parent = arn[:strings.LastIndexByte(arn, '/')]
	}
	if r.Status == meta.CreateFailed {
		r.Status = meta.Active
	}
	return r.SetDoc(doc)
}

// set puts a resource into the last of the given statuses, by way of the others, and takes its job away.
func (s *studio) set(arn string, statuses ...string) {
	s.t.Helper()
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(arn)
		if err != nil {
			return err
		}
		r.Job = meta.Job{}
		return walk(tx, r, statuses...)
	}))
}

// row returns the stored resource.
func (s *studio) row(arn string) *meta.Resource {
	s.t.Helper()
	var r *meta.Resource
	s.must(s.db.View(s.ctx, func(tx *meta.Tx) (err error) {
		r, err = tx.Get(arn)
		return err
	}))
	return r
}

// want checks the code of an error and a part of its message; code "" means no error.
func want(t *testing.T, what string, err error, code api.Code, part string) {
	t.Helper()
	var e *api.Error
	switch {
	case code == "" && err != nil:
		t.Errorf("%s: %v, want no error", what, err)
	case code != "" && (!errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, part)):
		t.Errorf("%s: %v, want %s with %q", what, err, code, part)
	}
}

// inAWeek is later than any first run and any weekly one.
const inAWeek = 7*24*time.Hour + time.Minute

// Package serve answers recommendation requests and takes in single records: the runtime and events operations of the API.
//
// A recommendation is computed from two things: the model that the campaign or recommender deploys, and what its user did since that model was
// trained, which the dataset engine keeps in memory. Nothing is precomputed for a user, so an event that PutEvents has acknowledged counts in the
// next answer, and users and items that nobody has seen get an answer too.
//
// Promises
//
//   - An answer is computed from the resource rows as they were committed when the request came in, or later: a new deployment, a rebuilt model
//     and a deleted campaign show in the next answer.
//   - A model is opened once, however many requests ask for it, and stays mapped until its last reader has left. Retire waits for that.
//   - A user whom a running erasure hides is answered exactly like one never seen; with Options.Strict so is everybody in the erasure's group.
//   - The Put operations answer after their records are on disk. All records of a call are stored or none.
//   - No user id gets into a log or an error.
//
// An event that a client sends again under the same eventId is stored again, as the export shows; training counts it once (dataset.Engine.Events).
// Until the next training both copies stand in the user's recent history, where the second changes little: the model reads a history, not a count.
package serve

import (
	"context"
	"log/slog"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/shown"
)

var (
	_ api.PersonalizeRuntime = (*Service)(nil)
	_ api.PersonalizeEvents  = (*Service)(nil)
)

// Options are the parts that a Service works on. It owns none of them.
type Options struct {
	Meta     *meta.DB
	Engine   *dataset.Engine
	ModelDir string // holds the model directories; only read
	Limits   quota.Limits
	Log      *slog.Logger
	Shown    *shown.Log       // remembers what answers showed; nil: nothing is remembered
	Strict   bool             // while a deletion runs in a group, nobody there is answered personally
	Clock    func() time.Time // nil means time.Now
}

// Service implements the runtime and events operations. It is safe for concurrent use.
type Service struct {
	engine  *dataset.Engine
	strict  bool
	limits  quota.Limits
	rates   rates
	catalog *catalog
	models  *models
	builds  background
	actions actionTables
	clock   func() time.Time
	fresh   fresh
	shown   *shown.Log
}

// New returns a Service. Models are opened by Preload, or when the first request needs them.
func New(o Options) *Service {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Service{
		engine:  o.Engine,
		strict:  o.Strict,
		limits:  o.Limits,
		rates:   rates{clock: o.Clock},
		catalog: &catalog{db: o.Meta},
		models:  newModels(o.ModelDir, o.Log, o.Clock),
		clock:   o.Clock,
		shown:   o.Shown,
		fresh:   fresh{lists: map[string]*freshList{}},
	}
}

// Close lets go of every model. Requests that still run finish on theirs.
func (s *Service) Close() error {
	s.builds.close()
	return s.models.close()
}

// Retire makes the service forget the model directory of that name and returns once nobody reads it any more; it will never be opened again. It must be
// called before a superseded directory is destroyed, after the row that named it has changed.
func (s *Service) Retire(ctx context.Context, model string) error {
	return s.models.retire(ctx, model)
}

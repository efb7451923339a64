package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palate-dev/palate/internal/recipe"
)

// retryAfter is how long a model directory that could not be opened is left alone: checking its hashes means reading all of it.
const retryAfter = 5 * time.Second

// errRetired says that a model was superseded after the caller had looked up its name. The row that named it has changed by then.
var errRetired = errors.New("model is retired")

// models keeps trained models open for the targets that deploy them.
//
// A model has one reference for every target that serves it and one for every request that reads it; who drops the last one closes it. So a
// target that moves to another model does not disturb the requests on the old one, and two campaigns on one solution version share a mapping.
type models struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex // guards everything below and the counts of each model
	open    map[string]*model
	serving map[string]deployment // by ARN of the target
	retired map[string]bool       // names that may not be opened again; they are random, so none comes back
}

// model is one open directory. Its first user loads it while the others wait for ready.
type model struct {
	*recipe.Model
	name     string
	ready    chan struct{} // closed when Model or err is set
	err      error         // why it could not be opened
	failedAt time.Time
	refs     int
	gone     chan struct{} // closed when the files are unmapped

	view     atomic.Pointer[view] // of filters; nil until a request with one
	building atomic.Bool          // whether a new view is being made
}

// deployment is the model that a target serves, and the version of the catalog that says so: a request that looked the target up earlier must not
// bring an older model back.
type deployment struct {
	model   *model
	version uint64
}

func newModels(dir string, log *slog.Logger, now func() time.Time) *models {
	return &models{
		dir: dir, log: log, now: now,
		open: map[string]*model{}, serving: map[string]deployment{}, retired: map[string]bool{},
	}
}

// acquire returns the model of that name for a request to the target, which must release it. If the model cannot be read the target stays on the one
// it served before, if there is one.
func (c *models) acquire(ctx context.Context, target string, version uint64, name string) (*model, error) {
	m, err := c.get(ctx, name)
	if err == nil {
		c.deploy(target, version, m)
		return m, nil
	}
	if errors.Is(err, errRetired) || ctx.Err() != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.serving[target]; ok {
		d.model.refs++
		return d.model, nil
	}
	return nil, err
}

// get returns the model with a reference for the caller, opening it if nobody has.
func (c *models) get(ctx context.Context, name string) (*model, error) {
	c.mu.Lock()
	if c.retired[name] {
		c.mu.Unlock()
		return nil, errRetired
	}
	m := c.open[name]
	first := m == nil || (!m.failedAt.IsZero() && c.now().Sub(m.failedAt) >= retryAfter)
	if first {
		m = &model{name: name, ready: make(chan struct{}), gone: make(chan struct{})}
		c.open[name] = m
	}
	m.refs++
	c.mu.Unlock()

	if first {
		c.load(m)
	}
	select {
	case <-m.ready:
	case <-ctx.Done():
		c.release(m)
		return nil, ctx.Err()
	}
	if m.err != nil {
		c.release(m)
		return nil, m.err
	}
	return m, nil
}

// load opens the model's files and lets the waiting requests go on. It logs a failure itself, once for each attempt: requests that are answered from the
// model before do not report it.
func (c *models) load(m *model) {
	opened, err := recipe.Open(filepath.Join(c.dir, m.name))
	if err != nil {
		err = fmt.Errorf("open model %s: %w", m.name, err)
		c.log.Error("a deployed model cannot be read", "model", m.name, "error", err)
	}
	c.mu.Lock()
	m.Model, m.err = opened, err
	if err != nil {
		m.failedAt = c.now()
		close(m.gone)
	}
	c.mu.Unlock()
	close(m.ready)
}

// deploy makes m the model that the target serves and lets go of the one before.
func (c *models) deploy(target string, version uint64, m *model) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.serving[target]
	switch {
	case ok && d.model == m:
		c.serving[target] = deployment{m, max(d.version, version)}
	case ok && d.version > version, c.retired[m.name]:
		// The request looked the target up before somebody else did: its model is already the old one.
	default:
		m.refs++
		c.serving[target] = deployment{m, version}
		if ok {
			c.unref(d.model)
		}
	}
}

// release ends the reading of m that acquire began.
func (c *models) release(m *model) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unref(m)
}

// unref drops one reference; the caller holds mu. The last one closes the files. A failed model stays as the memory of its failure.
func (c *models) unref(m *model) {
	m.refs--
	if m.refs > 0 || m.err != nil {
		return
	}
	if c.open[m.name] == m {
		delete(c.open, m.name)
	}
	if err := m.Close(); err != nil {
		c.log.Error("a model cannot be closed", "model", m.name, "error", err)
	}
	close(m.gone)
}

// servedBy returns the model that a target serves, with a reference for the caller; nil if it serves none.
func (c *models) servedBy(target string) *model {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.serving[target]
	if !ok {
		return nil
	}
	d.model.refs++
	return d.model
}

// serve lists the targets that serve the model of that name, and returns it with a reference for the caller; nil if none does.
func (c *models) serve(name string) (m *model, targets []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for target, d := range c.serving {
		if d.model.name == name {
			m, targets = d.model, append(targets, target)
		}
	}
	if m != nil {
		m.refs++
	}
	return m, targets
}

// targets lists the targets that hold a model.
func (c *models) targets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	arns := make([]string, 0, len(c.serving))
	for arn := range c.serving {
		arns = append(arns, arn)
	}
	return arns
}

// undeploy lets go of the model of a target that serves no more.
func (c *models) undeploy(target string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.serving[target]; ok {
		delete(c.serving, target)
		c.unref(d.model)
	}
}

// retire forgets the model and waits until it is closed.
func (c *models) retire(ctx context.Context, name string) error {
	c.mu.Lock()
	c.retired[name] = true
	m := c.open[name]
	if m == nil || m.err != nil {
		delete(c.open, name)
		c.mu.Unlock()
		return nil
	}
	for target, d := range c.serving {
		if d.model == m {
			delete(c.serving, target)
			c.unref(m)
		}
	}
	c.mu.Unlock()

	select {
	case <-m.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the readers of model %s: %w", name, ctx.Err())
	}
}

// close lets go of the models of all targets.
func (c *models) close() error {
	for _, target := range c.targets() {
		c.undeploy(target)
	}
	return nil
}

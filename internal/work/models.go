package work

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/meta"
)

// directories keeps a model directory from being destroyed while a job reads it: overwriting a mapped file shows its reader zeros.
type directories struct {
	mu    sync.Mutex
	locks map[string]*sync.RWMutex // by name, until the directory is destroyed; no name comes twice
}

func (d *directories) lock(name string) *sync.RWMutex {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, ok := d.locks[name]
	if !ok {
		l = &sync.RWMutex{}
		if d.locks == nil {
			d.locks = map[string]*sync.RWMutex{}
		}
		d.locks[name] = l
	}
	return l
}

// read holds off the destruction of a directory until release is called.
func (d *directories) read(name string) (release func()) {
	l := d.lock(name)
	l.RLock()
	return l.RUnlock
}

// destroy waits for the readers of a directory and destroys it.
func (d *directories) destroy(name, path string) error {
	l := d.lock(name)
	l.Lock()
	defer l.Unlock()
	if err := blob.DestroyAll(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	d.mu.Lock()
	delete(d.locks, name)
	d.mu.Unlock()
	return nil
}

// model is the path of a model directory.
func (w *worker) model(name string) string { return filepath.Join(w.Models, name) }

// destroyModel overwrites and unlinks a model directory; one that is gone is fine.
func (w *worker) destroyModel(name string) error {
	if name == "" {
		return nil
	}
	return w.dirs.destroy(name, w.model(name))
}

// modelOf reads a resource that has a model. If it was deleted meanwhile, or is about to go with its model, gone is true.
func modelOf(tx *meta.Tx, arn string) (r *meta.Resource, p meta.ModelPrivate, gone bool, err error) {
	r, err = tx.Get(arn)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, p, true, nil
	}
	if err != nil {
		return nil, p, false, err
	}
	owner := r
	if r.Kind == meta.SolutionVersion { // whose status stays when its solution is deleted
		owner, err = tx.Get(path.Dir(arn))
		if errors.Is(err, meta.ErrNotFound) {
			return nil, p, true, nil
		}
		if err != nil {
			return nil, p, false, err
		}
	}
	p, err = meta.Private[meta.ModelPrivate](r)
	return r, p, strings.HasPrefix(owner.Status, "DELETE "), err
}

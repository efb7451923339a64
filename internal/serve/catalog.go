package serve

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

// catalog remembers what requests looked up in the resource rows, for as long as no row changes. What could not be looked up is not remembered.
type catalog struct {
	db     *meta.DB
	misses singleflight.Group // one reader per key and version

	mu      sync.RWMutex // guards version and found
	version uint64       // of the rows that found was read from
	found   map[string]any
}

// lookup returns what load reads from the rows, and the version that it is at least as new as.
func lookup[T any](ctx context.Context, c *catalog, key string, load func(tx *meta.Tx) (T, error)) (T, uint64, error) {
	version := c.db.Version() // before the rows: they may be newer than it says, never older
	if v, ok := c.get(version, key); ok {
		return v.(T), version, nil
	}
	// The winner reads for all who wait, so it must not stop when its own client goes away.
	shared := context.WithoutCancel(ctx)
	v, err, _ := c.misses.Do(strconv.FormatUint(version, 36)+" "+key, func() (any, error) {
		var v T
		err := c.db.View(shared, func(tx *meta.Tx) (err error) {
			v, err = load(tx)
			return err
		})
		if err == nil {
			c.put(version, key, v)
		}
		return v, err
	})
	return v.(T), version, err
}

func (c *catalog) get(version uint64, key string) (any, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.version != version {
		return nil, false
	}
	v, ok := c.found[key]
	return v, ok
}

func (c *catalog) put(version uint64, key string, v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found == nil || version > c.version {
		c.version, c.found = version, map[string]any{}
	}
	if version == c.version {
		c.found[key] = v
	}
}

// scope is the part of the resource names that a caller may see, as meta.Resource has it.
func scope(ctx context.Context) string {
	caller := api.CallerFrom(ctx)
	return caller.Region + ":" + caller.Account
}

func notFound(arn string) error {
	return api.Errorf(api.ResourceNotFound, "Resource Arn %s does not exist.", arn)
}

// find reads the row of an ARN, which must be of that kind and not on its way out.
func find(tx *meta.Tx, arn, kind string) (*meta.Resource, error) {
	r, err := tx.Get(arn)
	if errors.Is(err, meta.ErrNotFound) || err == nil && (r.Kind != kind || deleting(r.Status)) {
		return nil, notFound(arn)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", arn, err)
	}
	return r, nil
}

// deleting reports whether a resource is on its way out. To requests it is gone.
func deleting(status string) bool {
	return status == meta.DeletePending || status == meta.DeleteInProgress
}

// table builds the stored table of a dataset row, under the schema in force.
func table(r *meta.Resource) (dataset.Table, error) {
	p, err := meta.Private[meta.DatasetPrivate](r)
	if err != nil {
		return dataset.Table{}, err
	}
	schema, err := schema.Parse(p.Schema, p.Domain)
	if err != nil {
		return dataset.Table{}, fmt.Errorf("parse the schema of %s: %w", r.ARN, err)
	}
	return dataset.Table{Group: p.Group, ID: p.Table, Schema: schema}, nil
}

// datasetOf finds the dataset of a type in a group; nil if there is none.
func datasetOf(tx *meta.Tx, group string, kind schema.Type) (*meta.Resource, error) {
	rows, err := tx.Find(meta.Query{Kind: meta.Dataset, Group: group})
	if err != nil {
		return nil, fmt.Errorf("find the datasets of %s: %w", group, err)
	}
	for _, r := range rows {
		p, err := meta.Private[meta.DatasetPrivate](r)
		if err != nil {
			return nil, err
		}
		if p.Type == string(kind) {
			return r, nil
		}
	}
	return nil, nil
}

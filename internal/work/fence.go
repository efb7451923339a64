package work

import (
	"context"
	"fmt"

	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// The fence between imports and data deletions. An import that was accepted before a deletion's cut may read its rows long afterwards. So the deletion writes down
// which imports its cut covers, before it takes the cut; an import asks for such deletions when it has read everything, waits for their masks and leaves their users
// out; and the deletion does not end before those imports have.

// coverImports writes down that all imports accepted so far are older than the cut that is about to be taken.
func (e *erasureRun) coverImports(ctx context.Context) error {
	err := e.task.Update(ctx, func(tx *meta.Tx, r *meta.Resource) error {
		p, err := meta.Private[meta.DeletionPrivate](r)
		if err != nil {
			return err
		}
		p.Covers = 1
		imports, err := tx.Find(meta.Query{Group: e.group.ARN, JobKind: job.Import})
		if err != nil {
			return err
		}
		for _, i := range imports {
			p.Covers = max(p.Covers, i.Seq+1)
		}
		e.state.DeletionPrivate = p
		return r.SetPrivate(p)
	})
	if err != nil {
		return fmt.Errorf("note the imports before the cut: %w", err)
	}
	return nil
}

// erasuresSince names the running erasures whose cut covers an import.
func (w *worker) erasuresSince(ctx context.Context, imported *meta.Resource) (names []string, err error) {
	rows, err := w.find(ctx, meta.Query{Group: imported.Group, JobKind: job.Erase})
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		p, err := meta.Private[meta.DeletionPrivate](r)
		if err != nil {
			return nil, err
		}
		if imported.Seq < p.Covers {
			names = append(names, p.ID)
		}
	}
	return names, nil
}

// importsEnded waits until no import is left that was accepted before the cut: what it has staged holds the users.
func (e *erasureRun) importsEnded(ctx context.Context) error {
	for {
		changed := e.Meta.Changed()
		imports, err := e.find(ctx, meta.Query{Group: e.group.ARN, JobKind: job.Import})
		if err != nil {
			return err
		}
		left := 0
		for _, i := range imports {
			if i.Seq < e.state.Covers {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

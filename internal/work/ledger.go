package work

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/ledger"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/userset"
)

// seal writes the pinned list into the ledger, before the users are hidden: from then on a backup that is older than the deletion is recognized.
func (e *erasureRun) seal() error {
	if e.Ledger == nil {
		return nil
	}
	list, err := e.users.AppendBinary(nil)
	if err != nil {
		return err
	}
	return e.Ledger.Seal(ledger.Entry{Job: e.state.ID, Group: e.id, At: time.Now(), Doc: e.task.Resource().Doc}, list)
}

// sealedList reads the list from the ledger, where the deletion's earlier life or an attempt that was cut short has left it.
func (e *erasureRun) sealedList() (users *userset.Set, ok bool, err error) {
	if e.Ledger == nil {
		return nil, false, nil
	}
	list, ok, err := e.Ledger.List(e.state.ID)
	if !ok || err != nil {
		return nil, false, err
	}
	users, err = userset.Read(bytes.NewReader(list))
	return users, err == nil, err
}

// Reapply makes the deletions that the ledger knows, and the data directory does not, happen again: the directory is a restored backup. It runs before the queue
// does and returns the ARNs of the jobs that must be COMPLETED before anything is served. A backup that is older than a list that the ledger has given up is
// refused.
func Reapply(ctx context.Context, db *meta.DB, engine *dataset.Engine, l *ledger.Ledger) (pending []string, err error) {
	entries, err := l.Entries()
	if err != nil {
		return nil, err
	}
	expired, err := l.Expired()
	if err != nil {
		return nil, err
	}
	err = db.Update(ctx, func(tx *meta.Tx) error {
		pending = nil
		groups, jobs, err := deletionsIn(tx)
		if err != nil {
			return err
		}
		for _, e := range expired {
			if groups[e.Group] != nil && jobs[e.Job] == nil {
				return fmt.Errorf("the data directory is older than a data deletion of %s whose list the ledger has already given up, after %d days: its users cannot be "+
					"taken out again. Restore a younger backup", groups[e.Group].ARN, int(ledger.Retention.Hours()/24))
			}
		}
		for _, e := range entries {
			g, r := groups[e.Group], jobs[e.Job]
			if g == nil {
				continue // the group was deleted, or did not exist yet
			}
			arn, err := reapply(tx, e, g, r, engine)
			if err != nil {
				return fmt.Errorf("apply a data deletion of %s again: %w", g.ARN, err)
			}
			if arn != "" {
				pending = append(pending, arn)
			}
		}
		return nil
	})
	return pending, err
}

// deletionsIn finds the groups and the deletion jobs by the engine's names for them.
func deletionsIn(tx *meta.Tx) (groups, jobs map[string]*meta.Resource, err error) {
	groups, jobs = map[string]*meta.Resource{}, map[string]*meta.Resource{}
	rows, err := tx.Find(meta.Query{Kind: meta.DatasetGroup})
	if err != nil {
		return nil, nil, err
	}
	for _, r := range rows {
		p, err := meta.Private[meta.GroupPrivate](r)
		if err != nil {
			return nil, nil, err
		}
		groups[p.ID] = r
	}
	if rows, err = tx.Find(meta.Query{Kind: meta.DeletionJob}); err != nil {
		return nil, nil, err
	}
	for _, r := range rows {
		p, err := meta.Private[meta.DeletionPrivate](r)
		if err != nil {
			return nil, nil, err
		}
		jobs[p.ID] = r
	}
	return groups, jobs, nil
}

// reapply returns the ARN of the job that takes the users of an entry out again, "" if nothing is to be waited for. r is the job's row, nil if there is none.
func reapply(tx *meta.Tx, e ledger.Entry, group, r *meta.Resource, engine *dataset.Engine) (arn string, err error) {
	if r != nil {
		p, err := meta.Private[meta.DeletionPrivate](r)
		if err != nil {
			return "", err
		}
		switch {
		case r.Job.Kind != "" && engine.Erasing(e.Group, e.Job) && !p.Reapplied:
			return "", nil // it goes on, and its mask is in force
		case r.Job.Kind != "":
			return r.ARN, nil
		case r.Status == meta.Completed || !p.Reapplied:
			return "", nil
		}
		if err := tx.Delete(r.ARN); err != nil { // it failed when it was applied again
			return "", err
		}
	}
	var d api.DataDeletionJob
	if err := json.Unmarshal(e.Doc, &d); err != nil {
		return "", err
	}
	d.NumDeleted = nil
	if _, err := tx.Get(d.DataDeletionJobARN); err == nil { // the name has been used again
		d.JobName += "-" + e.Job
		d.DataDeletionJobARN = path.Dir(d.DataDeletionJobARN) + "/" + d.JobName
	} else if !errors.Is(err, meta.ErrNotFound) {
		return "", err
	}
	row := &meta.Resource{ARN: d.DataDeletionJobARN, Kind: meta.DeletionJob, Scope: group.Scope, Name: d.JobName, Group: group.ARN, Parent: group.ARN,
		Status: meta.Pending, Job: meta.Job{Kind: job.Erase, Lane: group.ARN}}
	if err := errors.Join(row.SetDoc(d), row.SetPrivate(meta.DeletionPrivate{ID: e.Job, Reapplied: true})); err != nil {
		return "", err
	}
	return row.ARN, tx.Insert(row)
}

// Reapplied waits until the jobs of Reapply have ended. One that failed is an error: nothing may be served then.
func Reapplied(ctx context.Context, db *meta.DB, arns []string) error {
	for {
		changed := db.Changed()
		left := 0
		err := db.View(ctx, func(tx *meta.Tx) error {
			for _, arn := range arns {
				r, err := tx.Get(arn)
				switch {
				case errors.Is(err, meta.ErrNotFound):
				case err != nil:
					return err
				case r.Status == meta.Failed:
					return fmt.Errorf("%s: %s", arn, r.Failure)
				case r.Status != meta.Completed:
					left++
				}
			}
			return nil
		})
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

package work

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/metrics"
	"github.com/palate-dev/palate/internal/receipt"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/userset"
	"github.com/palate-dev/palate/internal/verify"
)

// An erasure is the durable state of a data deletion job. It holds no user id: the pinned list is a file of the dataset engine, destroyed at the end.
type erasure struct {
	meta.DeletionPrivate
	Salt    string // of Digest; a bare hash of a short list could be guessed
	Digest  string // SHA-256 over the salt and every input file: a list that changes under a restarted job is noticed
	Users   int    // distinct ids in the list
	Cut     int64  // everything up to this sequence number is covered
	Removed map[string]int64
	KeptOut map[string]int64 // of imports that were accepted before the cut and ended after it
	Models  []rebuiltModel
	Leak    string // what the verification found, written down before the list is destroyed; "" if nothing
	Hidden  time.Time
	Before  map[string]receipt.Files // the tables at that time
	Checked map[string]int64         // what the verification looked at, by place
}

// A rebuiltModel is one resource whose model was trained again without the users. The names are written down before the work starts.
type rebuiltModel struct {
	ARN         string
	Old, New    string // model directories; New is "" if the old one held none of the users
	OldHash     string
	NewHash     string
	OldManifest json.RawMessage // of a model that was rebuilt
	Leaves      bool            // the resource is being deleted, and its model with it
	Decided     bool            // New and Leaves are final

	Of     string        `json:",omitempty"` // what decided New: two models with the same are equal, see recipe.Again
	Trials recipe.Trials `json:",omitzero"`  // how far the search of hyperparameters for New is, on data without the users; nothing once it is decided
}

// erasureRun is one attempt at a data deletion job.
type erasureRun struct {
	*worker
	task  *job.Task
	group *meta.Resource
	id    string // directory name of the group
	state erasure
	users *userset.Set

	choices recipe.Choices // of the models that have been rebuilt
}

// erase is a data deletion job. Its phases are durable, idempotent steps; the promises they keep stand in docs/erasure.md:
//
//	pin      read and check the whole list; nothing is written before that
//	hide     fix the cut, mask the users: serving, training and exports treat them as never seen from here on
//	erase    rewrite the tables and the event log without them
//	rebuild  train every model that held one of them again, from its own input without them
//	sweep    destroy every superseded file
//	verify   search everything that is left, with other code
//	receipt  sign what was done; destroy the list and the mask
func (w *worker) erase(ctx context.Context, t *job.Task) error {
	d, err := meta.Doc[api.DataDeletionJob](t.Resource())
	if err != nil {
		return err
	}
	if err := t.Status(ctx, meta.InProgress); err != nil {
		return err
	}
	e := &erasureRun{worker: w, task: t}
	if e.group, err = w.get(ctx, d.DatasetGroupARN); err != nil {
		return err
	}
	group, err := meta.Private[meta.GroupPrivate](e.group)
	if err != nil {
		return err
	}
	e.id = group.ID
	if err := t.Load(&e.state); err != nil {
		return err
	}
	if e.state.DeletionPrivate, err = meta.Private[meta.DeletionPrivate](t.Resource()); err != nil {
		return err
	}
	started := time.Now()
	steps := []struct {
		name string
		run  func(context.Context) error
	}{
		{"pin", func(ctx context.Context) error { return e.pin(ctx, d.DataSource.DataLocation) }},
		{"hide", func(ctx context.Context) error { return e.hide(ctx, d.DataSource.DataLocation) }},
		{"erase", e.eraseTables},
		{"rebuild", e.rebuild},
		{"sweep", e.sweep},
		{"verify", e.verify},
		{"receipt", e.receipt},
	}
	var took []any // of each step, for the log
	for _, s := range steps {
		begun := time.Now()
		e.advance(s.name, 0, 0, "", "")
		if err := t.Step(ctx, s.name, s.run); err != nil {
			return err
		}
		took = append(took, slog.Duration(s.name, time.Since(begun).Round(time.Millisecond)))
		metrics.ErasureSeconds.WithLabelValues(s.name).Observe(time.Since(begun).Seconds())
	}
	deleted := 0
	for _, counts := range []map[string]int64{e.state.Removed, e.state.KeptOut} {
		for _, n := range counts {
			deleted += int(n)
		}
	}
	metrics.ErasedUsers.Add(float64(e.state.Users))
	metrics.ErasedRows.Add(float64(deleted))
	for _, m := range e.state.Models {
		if m.New != "" {
			metrics.RebuiltModels.Inc()
		}
	}
	w.Log.Info("data deletion finished", "job", t.Resource().ARN, "listed", e.state.Users, "rows", deleted,
		"models", len(e.state.Models), "took", time.Since(started).Round(time.Millisecond), slog.Group("steps", took...))
	return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		d.NumDeleted = &deleted
		e.state.Salt, e.state.Digest = "", "" // together they would let a short list be guessed: the receipt has the digest, and keeps the salt apart
		r.Status = meta.Completed
		return errors.Join(r.SetDoc(d), r.SetPrivate(e.state))
	})
}

// erasureFailed is the end of a job whose list cannot be read, or whose result could not be verified.
func erasureFailed(r *meta.Resource, reason string) { r.Status, r.Failure = meta.Failed, reason }

// pin reads the list once, whole, and remembers its digest.
func (e *erasureRun) pin(ctx context.Context, location string) error {
	var salt [16]byte
	rand.Read(salt[:])
	e.state.Salt = hex.EncodeToString(salt[:])
	if users, sealed, err := e.sealedList(); err != nil || sealed {
		e.users, e.state.Users = users, users.Len()
		return errors.Join(err, e.task.Save(ctx, e.state))
	}
	digest, err := e.readList(ctx, location)
	if err != nil {
		return err
	}
	if e.users.Len() == 0 {
		return job.Fail("Data deletion input does not list any user.")
	}
	e.state.Digest, e.state.Users = digest, e.users.Len()
	return e.task.Save(ctx, e.state)
}

// readList reads every file of the list into e.users and returns the salted digest of the bytes.
func (e *erasureRun) readList(ctx context.Context, location string) (string, error) {
	objects, err := e.listCSV(ctx, location, true)
	if err != nil {
		return "", unreadable(ctx, err)
	}
	if limit := e.Limits.DeletionInputBytes; limit > 0 && totalSize(objects) > limit {
		return "", job.Fail("Total size of data deletion input exceeds %d MB.", limit>>20)
	}
	hash := sha256.New()
	io.WriteString(hash, e.state.Salt)
	users := userset.NewBuilder()
	for _, o := range objects {
		if err := readListFile(ctx, o, hash, users.Add); err != nil {
			return "", unreadable(ctx, err)
		}
	}
	e.users = users.Set()
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// unreadable makes whatever keeps the list from being read a failure of the job, unless the job itself was interrupted: before hide nothing has changed, and
// later errors are retried for ever.
func unreadable(ctx context.Context, err error) error {
	if ctx.Err() != nil || blob.IsFull(err) {
		return err
	}
	fault := customerFault(err)
	if !job.Failed(fault) {
		fault = errors.Join(job.Fail("The data deletion input cannot be read from Amazon S3."), err)
	}
	return fault
}

func readListFile(ctx context.Context, o object, hash io.Writer, add func(id string)) error {
	r, err := o.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := rowtext.ReadUserList(ctx, o.Name(), io.TeeReader(r, hash), add); err != nil {
		return fmt.Errorf("read deletion list: %w", err)
	}
	return nil
}

// hide puts the mask in force. From then on a training that began before does not commit (see train), and the job cannot fail for its list any more: an
// attempt that was cut short after that does not read it again.
func (e *erasureRun) hide(ctx context.Context, location string) error {
	if e.pinned() != nil {
		if err := e.mask(ctx, location); err != nil {
			return err
		}
	}
	if err := e.noteBefore(ctx); err != nil {
		return err
	}
	if err := e.ForgetAnswers(e.id); err != nil {
		return err
	}
	return e.Meta.Update(ctx, func(tx *meta.Tx) error {
		g, err := tx.Get(e.group.ARN)
		if err != nil {
			return err
		}
		p, err := meta.Private[meta.GroupPrivate](g)
		if err != nil {
			return err
		}
		p.Erasures++
		if err := g.SetPrivate(p); err != nil {
			return err
		}
		return tx.Put(g)
	})
}

// mask fixes the cut and writes down the list that pin read.
func (e *erasureRun) mask(ctx context.Context, location string) error {
	if e.users == nil { // restarted after pin
		if err := e.pinnedAgain(ctx, location); err != nil {
			return err
		}
	}
	if err := e.coverImports(ctx); err != nil {
		return err
	}
	if err := e.seal(); err != nil {
		return err
	}
	if err := e.Engine.KeepLateOut(ctx, e.id, e.state.ID, e.users); err != nil {
		return err
	}
	cut, err := e.Engine.Fence(ctx, e.id)
	if err != nil {
		return err
	}
	return e.Engine.Hide(ctx, e.id, e.state.ID, e.users, cut)
}

// pinnedAgain reads the list once more, which must be the one that pin read.
func (e *erasureRun) pinnedAgain(ctx context.Context, location string) error {
	users, sealed, err := e.sealedList()
	if err != nil {
		return err
	}
	if sealed {
		e.users = users
		return nil
	}
	digest, err := e.readList(ctx, location)
	if err != nil {
		return err
	}
	if digest != e.state.Digest {
		return job.Fail("The data deletion input changed while the job was running. Start another job.")
	}
	return nil
}

// pinned loads the list and the cut as mask wrote them down, and fails if it did not.
func (e *erasureRun) pinned() error {
	users, cut, err := e.Engine.HiddenUsers(e.id, e.state.ID)
	if err != nil {
		return fmt.Errorf("read the pinned list: %w", err)
	}
	e.users, e.state.Cut = users, cut
	return nil
}

// erased loads the ids under which models may know the users, once the tables have been erased.
func (e *erasureRun) erased() error {
	if err := e.pinned(); err != nil {
		return err
	}
	ids, err := e.Engine.ErasedIDs(e.id, e.state.ID)
	if err != nil {
		return fmt.Errorf("read the erased ids: %w", err)
	}
	e.users = ids
	return nil
}

func (e *erasureRun) eraseTables(ctx context.Context) error {
	tables, err := e.tables(ctx, e.group.ARN)
	if err != nil {
		return err
	}
	if err := e.pinned(); err != nil {
		return err
	}
	e.state.Removed, err = e.Engine.Erase(ctx, tables, e.state.ID, func(p dataset.ErasureProgress) {
		e.advance("erase", p.Rows, p.TotalRows, "rows", fmt.Sprintf("%d of %d buckets", p.Buckets, p.TotalBuckets))
	})
	if err != nil {
		return err
	}
	return e.task.Save(ctx, e.state)
}

// sweep destroys the superseded models, those that are leaving anyway, and table files, once nobody reads them, no import that was accepted before the cut is
// left, and no training still has the old data.
func (e *erasureRun) sweep(ctx context.Context) error {
	if err := e.importsEnded(ctx); err != nil {
		return err
	}
	tables, err := e.tables(ctx, e.group.ARN)
	if err != nil {
		return err
	}
	if e.state.KeptOut, err = e.Engine.KeptOut(tables, e.state.ID); err != nil {
		return err
	}
	if err := e.task.Save(ctx, e.state); err != nil {
		return err
	}
	if err := e.trainingsKnow(ctx, e.group.ARN); err != nil {
		return err
	}
	for _, m := range e.state.Models {
		if m.New == "" && !m.Leaves { // it held none of the users
			continue
		}
		if err := e.Retire(ctx, m.Old); err != nil {
			return err
		}
		if err := e.destroyModel(m.Old); err != nil {
			return err
		}
	}
	if err := e.destroyUnnamed(ctx); err != nil { // of trainings that failed or were stopped: they know the users
		return err
	}
	if err := e.ForgetAnswers(e.id); err != nil { // of requests that were under way when the mask came into force
		return err
	}
	return e.Engine.Sweep(ctx, e.id, e.state.ID)
}

// patience is how long verification waits for a file that nobody claims to go: somebody may be about to destroy it.
const patience = 3 * time.Second

// verify looks for the users in everything that is left, with code that shares no reader with the engine.
func (e *erasureRun) verify(ctx context.Context) error {
	if e.state.Leak != "" { // an earlier attempt was cut short on its way out
		return e.leak(ctx, e.state.Leak)
	}
	if err := e.pinned(); err != nil {
		return err
	}
	sessions, err := e.Engine.ErasedSessions(e.id, e.state.ID)
	if err != nil {
		return fmt.Errorf("read the erased sessions: %w", err)
	}
	e.state.Checked = make(map[string]int64)
	err = verify.Run(ctx, verify.Search{
		Checked: e.state.Checked, Data: e.Data, Group: e.id, Users: e.users, Sessions: sessions, Cut: e.state.Cut,
		Store: e.Engine, Models: modelUses{e.worker, e.group.ARN}, Rows: e.rows, Patience: patience,
	})
	if errors.Is(err, verify.ErrFound) {
		return e.leak(ctx, err.Error())
	}
	if err != nil {
		return err
	}
	return e.task.Save(ctx, e.state)
}

// leak fails the job because of something that verification found. List and mask go with it: neither must outlive the job, which may be repeated.
func (e *erasureRun) leak(ctx context.Context, found string) error {
	e.Log.Error("data deletion is not complete", "job", e.task.Resource().ARN, "found", found)
	metrics.LeaksFound.Inc()
	e.state.Leak = found
	if err := e.task.Save(ctx, e.state); err != nil {
		return err
	}
	if err := e.writeReceipt(ctx, found); err != nil {
		return err
	}
	if err := e.Engine.Unhide(ctx, e.id, e.state.ID); err != nil {
		return err
	}
	return job.Fail("The deletion could not be verified: %s. Start another data deletion job with the same input.", found)
}

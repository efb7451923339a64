// Package work holds the bodies of all jobs: what happens between a Create call's answer and the resource's last status.
//
// Every body is idempotent and resumable. What a reader can see changes in one place only, the Done of the task; all before it is staging that a
// restart repeats or sweeps. A body says what went wrong in words for the customer with job.Fail; any other error is ours and is retried.
// Bodies name files, lines, columns, buckets and limits in their failures, never a user.
package work

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/ledger"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/receipt"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// Options are the parts that bodies work with.
type Options struct {
	Meta    *meta.DB
	Engine  *dataset.Engine
	Data    string         // the data directory: verification walks all of it
	Models  string         // directory of all model directories
	Ledger  *ledger.Ledger // remembers deletions outside of the data directory; nil: nothing does
	Limits  quota.Limits
	Log     *slog.Logger
	Version string // of the program, for receipts
	Strict  bool   // while a deletion runs in a group, batch inference jobs answer nobody of it personally, and batch segment jobs wait

	// Bucket opens a customer's bucket with the credentials of jobs.
	Bucket func(ctx context.Context, name string) (blob.Store, error)
	// FollowLatest moves the campaigns that follow a solution's latest version to it.
	FollowLatest func(ctx context.Context, solutionARN string) error
	// Open opens a model for the campaign or recommender that is about to serve it, and Succeed for those that serve another model, if any do: whoever asks once their
	// rows have changed does not wait for it. moved is called after that, or when the rows stay as they are.
	Open    func(ctx context.Context, arn, model string) (moved func(), err error)
	Succeed func(ctx context.Context, old, model string) (moved func(), err error)
	// Retire returns once no request reads the model directory of that name any more.
	Retire func(ctx context.Context, model string) error
	// ForgetAnswers takes the items out of what is remembered of the answers to requests of a dataset group, by the engine's name of it.
	ForgetAnswers func(group string) error
	// AnswerTarget is the campaign or recommender that answered with a recommendationId to a request of a dataset group, "" if nobody remembers.
	AnswerTarget func(group, recommendationID string) string
}

type worker struct {
	Options
	dirs     directories
	receipts *receipt.Book
	memory   *trainingMemory
}

// Register gives the queue a body for every kind of job.
func Register(q *job.Queue, o Options) {
	w := &worker{Options: o, receipts: receipt.OpenBook(filepath.Join(o.Data, ReceiptsDir)), memory: newTrainingMemory(o.Limits.TrainingMemory)}
	w.handle(q, job.Activate, job.Spec{Class: job.Quick, Run: w.activate})
	w.handle(q, job.Remove, job.Spec{Class: job.Quick, Run: w.remove, Endless: true})
	w.handle(q, job.Update, job.Spec{Class: job.Heavy, Run: w.update, Failed: updateFailed})
	w.handle(q, job.Toggle, job.Spec{Class: job.Quick, Run: w.toggle})
	w.handle(q, job.Deploy, job.Spec{Class: job.Quick, Run: w.deploy})
	w.handle(q, job.Import, job.Spec{Class: job.Heavy, Run: w.importRows})
	w.handle(q, job.Export, job.Spec{Class: job.Heavy, Run: w.export})
	w.handle(q, job.Infer, job.Spec{Class: job.Heavy, Run: w.infer})
	w.handle(q, job.Segment, job.Spec{Class: job.Heavy, Run: w.segment})
	w.handle(q, job.Train, job.Spec{Class: job.Heavy, Run: w.train, Failed: trainingFailed, Stopped: trainingStopped})
	w.handle(q, job.Recommend, job.Spec{Class: job.Heavy, Run: w.recommend})
	w.handle(q, job.Refresh, job.Spec{Class: job.Heavy, Run: w.refresh, Failed: refreshFailed})
	w.handle(q, job.Retrain, job.Spec{Class: job.Heavy, Run: w.retrain, Failed: retrainFailed})
	w.handle(q, job.Erase, job.Spec{Class: job.Erasure, Run: w.erase, Failed: erasureFailed, Endless: true})
}

// get reads one resource.
func (w *worker) get(ctx context.Context, arn string) (r *meta.Resource, err error) {
	err = w.Meta.View(ctx, func(tx *meta.Tx) error {
		r, err = tx.Get(arn)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", arn, err)
	}
	return r, nil
}

// find reads all resources of one kind in a dataset group.
func (w *worker) find(ctx context.Context, q meta.Query) (rs []*meta.Resource, err error) {
	err = w.Meta.View(ctx, func(tx *meta.Tx) error {
		rs, err = tx.Find(q)
		return err
	})
	return rs, err
}

// table finds the stored table of a dataset, under the schema in force.
func (w *worker) table(ctx context.Context, arn string) (dataset.Table, error) {
	r, err := w.get(ctx, arn)
	if err != nil {
		return dataset.Table{}, err
	}
	return tableOf(r)
}

func tableOf(r *meta.Resource) (dataset.Table, error) {
	p, err := meta.Private[meta.DatasetPrivate](r)
	if err != nil {
		return dataset.Table{}, err
	}
	return tableUnder(r, p, p.Schema)
}

// tableUnder is the table of a dataset read under some schema of it.
func tableUnder(r *meta.Resource, p meta.DatasetPrivate, text string) (dataset.Table, error) {
	s, err := schema.Parse(text, p.Domain)
	if err != nil {
		return dataset.Table{}, fmt.Errorf("parse the schema of %s: %w", r.ARN, err)
	}
	return dataset.Table{Group: p.Group, ID: p.Table, Schema: s}, nil
}

// tables finds every table of a dataset group.
func (w *worker) tables(ctx context.Context, group string) ([]dataset.Table, error) {
	rows, err := w.find(ctx, meta.Query{Kind: meta.Dataset, Group: group})
	if err != nil {
		return nil, err
	}
	var tables []dataset.Table
	for _, r := range rows {
		t, err := tableOf(r)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// tableOfType finds the table of one type in a dataset group; ok is false if the group has none.
func (w *worker) tableOfType(ctx context.Context, group string, kind schema.Type) (t dataset.Table, ok bool, err error) {
	tables, err := w.tables(ctx, group)
	for _, t := range tables {
		if t.Schema.Type == kind {
			return t, true, nil
		}
	}
	return t, false, err
}

// newName makes a random directory name: nothing a customer chose becomes a path.
func newName(kind string) string {
	var b [8]byte
	rand.Read(b[:])
	return kind + "-" + hex.EncodeToString(b[:])
}

// customerFault turns the errors of engines and storage that the customer can mend into job failures.
func customerFault(err error) error {
	var input *rowtext.InputError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &input):
		return job.Fail("%s", input.Error())
	case errors.Is(err, blob.ErrDenied):
		return job.Fail("Insufficient privileges for accessing data in Amazon S3.")
	case errors.Is(err, blob.ErrNoBucket):
		return job.Fail("Insufficient privileges for accessing data in Amazon S3. The bucket does not exist.")
	case errors.Is(err, blob.ErrKey):
		return job.Fail("The Amazon S3 location cannot be written: an object has the name of one of its folders, or the key would be too long.")
	case errors.Is(err, blob.ErrFull):
		return job.Fail("There is no room left at the Amazon S3 location. With the embedded S3 this is the disk of the data directory.")
	case errors.Is(err, blob.ErrUnreachable):
		return job.Fail("Amazon S3 cannot be reached at the configured endpoint.")
	case errors.Is(err, blob.ErrListing):
		return job.Fail("The listing of the Amazon S3 location contradicts itself. Start another job once nothing is written there any more.")
	case errors.Is(err, blob.ErrRefused):
		return errors.Join(job.Fail("Amazon S3 refused a request of the job. The log of the server has its answer."), err)
	case errors.Is(err, blob.ErrIntegrity):
		return job.Fail("An object in Amazon S3 does not match its checksum.")
	case errors.Is(err, blob.ErrChanged):
		return job.Fail("An object in Amazon S3 changed while it was read. Start another job once it is complete.")
	}
	return err
}

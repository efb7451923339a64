// Package meta keeps the records of all resources and the state of their jobs in SQLite, and is the only package with SQL of our own.
//
// One row is one resource; its Doc is the API's Describe shape, so nothing is copied between a stored and a wire form.
// A resource row is also its own job: what remains to be done with it stands in Job, so status and job cannot disagree.
// No user id ever enters this database.
//
// Promises: Update is atomic and durable when it returns (WAL, synchronous=FULL, secure_delete=ON); readers see committed states only.
package meta

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"
)

var (
	ErrNotFound = errors.New("no such resource") // Get, Put, Delete of an ARN that is not there
	ErrExists   = errors.New("resource exists")  // Insert of an ARN that is there
)

// Resource is one row.
type Resource struct {
	Seq     int64  // order of creation, set by Insert
	ARN     string // primary key
	Kind    string // "dataset-group", "dataset", "schema", "dataset-import-job", ...: the ARN's own word for it ("solution-version" for versions)
	Scope   string // "region:account" of the ARN
	Group   string // ARN of the dataset group that owns it, "" for schemas and groups
	Parent  string // ARN that List filters by (dataset group of a dataset, dataset of an import job, solution of a version, ...)
	Name    string
	Status  string // "" for schemas
	Failure string // failureReason, "" if none
	Created time.Time
	Updated time.Time
	Doc     json.RawMessage // the Describe shape without status, failureReason, creationDateTime and lastUpdatedDateTime
	Private json.RawMessage // what we keep beside it: random directory names, resolved references; `null` if nothing
	Job     Job
}

// Job is what remains to be done with a resource. Kind "" means nothing.
type Job struct {
	Kind       string          // a kind of package job
	Lane       string          // rows with the same lane run one at a time in order of Seq; "" = no order
	After      string          // a job kind: this row waits for all older rows of its Group with that job kind
	Owner      string          // who holds the lease
	LeaseUntil time.Time       //
	Attempt    int             // grows with every claim
	Cancel     bool            // somebody asked it to stop
	Step       string          // the last completed step
	Checkpoint json.RawMessage // the body's own state
	Progress   json.RawMessage // job.Progress, for people
}

// Query selects rows; empty members do not restrict.
type Query struct {
	Kind, Scope, Group, Parent, Name string
	Statuses                         []string
	JobKind                          string
	Before                           int64 // only rows with Seq < Before (0 = all): the key of the next page
	Limit                            int   // 0 = no limit
}

// DB is the database. It is safe for concurrent use.
type DB struct {
	sql     *sql.DB
	version uint64
}

// Tx is one transaction; it must not outlive the function it was given to.
type Tx struct{}

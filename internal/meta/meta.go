// Package meta keeps the records of all resources and the state of their jobs in SQLite, and is the only package with SQL of our own.
//
// One row is one resource; its Doc is the API's Describe shape, so nothing is copied between a stored and a wire form.
// A resource row is also its own job: what remains to be done with it stands in Job, so status and job cannot disagree.
// No user id ever enters this database.
//
// # Promises
//
//   - Update is atomic, and durable when it returns (WAL, synchronous=FULL, secure_delete=ON); readers see committed states only.
//   - A status moves only along the table of status.go; any other step fails the transaction.
//   - Writers queue up and never deadlock: Update begins IMMEDIATE on the only writing connection of this package, and the pool
//     that SQL hands out begins IMMEDIATE too, so that no transaction ever has to turn from reader into writer.
//
// A function given to Update must not use the pool of SQL, nor call anything that does (the dataset engine), nor nest Updates: it would wait for
// the lock it holds itself.
package meta

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

var (
	ErrNotFound = errors.New("no such resource") // Get, Put, Delete of an ARN that is not there
	ErrExists   = errors.New("resource exists")  // Insert of an ARN that is there
	ErrLost     = errors.New("lease lost")       // Beat of a lease that somebody else holds or that the resource no longer needs
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
	Updated time.Time       // last change of status, failure or Doc
	Doc     json.RawMessage // the Describe shape without status, failureReason, creationDateTime and lastUpdatedDateTime
	Private json.RawMessage // what we keep beside it: random directory names, resolved references; `null` if nothing
	Job     Job
}

// Job is what remains to be done with a resource. Kind "" means nothing.
type Job struct {
	Kind       string          // a kind of package job
	Lane       string          // rows with the same lane run one at a time in order of Seq; "" = no order
	Owner      string          // who holds the lease
	LeaseUntil time.Time       // with an owner: end of the lease; without: not due before (a retry)
	Attempt    int             // grows with every claim
	Failures   int             // attempts that ended in an error, as opposed to a crash or a shutdown
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

// Doc decodes the stored part of a resource's Describe shape.
func Doc[T any](r *Resource) (T, error) {
	return decode[T](r.ARN, "doc", r.Doc)
}

// Private decodes the private part of a resource.
func Private[T any](r *Resource) (T, error) {
	return decode[T](r.ARN, "private", r.Private)
}

func decode[T any](arn, part string, data json.RawMessage) (v T, err error) {
	if len(data) == 0 {
		return v, nil
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("decode %s of %s: %w", part, arn, err)
	}
	return v, nil
}

// SetDoc encodes v as the resource's Doc.
func (r *Resource) SetDoc(v any) error {
	return r.encode("doc", &r.Doc, v)
}

// SetPrivate encodes v as the resource's Private.
func (r *Resource) SetPrivate(v any) error {
	return r.encode("private", &r.Private, v)
}

func (r *Resource) encode(part string, dst *json.RawMessage, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s of %s: %w", part, r.ARN, err)
	}
	*dst = data
	return nil
}

// Describe returns the complete Describe shape of the resource: its Doc with the members that stand in columns of their own.
// Absent things are left out, never sent empty.
func (r *Resource) Describe() (json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(r.Doc, &members); err != nil {
		return nil, fmt.Errorf("decode doc of %s: %w", r.ARN, err)
	}
	for name, text := range map[string]string{"status": r.Status, "failureReason": r.Failure} {
		if text == "" {
			continue
		}
		quoted, err := json.Marshal(text)
		if err != nil {
			return nil, fmt.Errorf("encode %s of %s: %w", name, r.ARN, err)
		}
		members[name] = quoted
	}
	members["creationDateTime"] = epoch(r.Created)
	members["lastUpdatedDateTime"] = epoch(r.Updated)
	return json.Marshal(members)
}

// epoch writes a time as the API does: seconds with milliseconds.
func epoch(t time.Time) json.RawMessage {
	ms := t.UnixMilli()
	return fmt.Appendf(nil, "%d.%03d", ms/1000, ms%1000)
}

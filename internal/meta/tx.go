package meta

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Tx is one transaction; it must not outlive the function it was given to.
type Tx struct {
	ctx   context.Context
	sql   *sql.Tx
	now   time.Time // one moment for everything the transaction writes
	wrote bool      // a resource row or its tags

	notices int // how many are kept at most
}

// Update runs f in a writing transaction: committed, and durable, if and only if Update returns nil.
func (db *DB) Update(ctx context.Context, f func(tx *Tx) error) error {
	wrote, err := db.transact(ctx, db.write, nil, f)
	if err != nil {
		return err
	}
	if wrote {
		db.bump()
	}
	return nil
}

// View runs f in a reading transaction: it sees one committed state throughout.
func (db *DB) View(ctx context.Context, f func(tx *Tx) error) error {
	_, err := db.transact(ctx, db.read, &sql.TxOptions{ReadOnly: true}, f)
	return err
}

func (db *DB) transact(ctx context.Context, pool *sql.DB, o *sql.TxOptions, f func(tx *Tx) error) (wrote bool, err error) {
	begun, err := pool.BeginTx(ctx, o)
	if err != nil {
		return false, fmt.Errorf("begin transaction: %w", err)
	}
	defer begun.Rollback() // no effect after Commit; also when f panics
	tx := &Tx{ctx: ctx, sql: begun, now: db.now(), notices: db.notices}
	if err := f(tx); err != nil {
		return false, err
	}
	if err := begun.Commit(); err != nil {
		return false, fmt.Errorf("commit transaction: %w", err)
	}
	return tx.wrote, nil
}

// Version grows with every committed Update that wrote a resource row, and not with claims and heartbeats: the key of read caches.
// A reader must take it before the View whose result it caches.
func (db *DB) Version() uint64 {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.version
}

// Changed returns a channel that is closed when Version grows next.
func (db *DB) Changed() <-chan struct{} {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.changed
}

func (db *DB) bump() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.version++
	close(db.changed)
	db.changed = make(chan struct{})
}

// columns is the order of scan and values.
const columns = `seq, arn, kind, scope, grp, parent, name, status, failure, created, updated, doc, private,
	job_kind, lane, owner, lease_until, attempt, failures, cancel, step, checkpoint, progress`

func scan(row interface{ Scan(...any) error }) (*Resource, error) {
	var r Resource
	var created, updated, lease int64
	var doc, private, checkpoint, progress string
	err := row.Scan(&r.Seq, &r.ARN, &r.Kind, &r.Scope, &r.Group, &r.Parent, &r.Name, &r.Status, &r.Failure, &created, &updated, &doc, &private,
		&r.Job.Kind, &r.Job.Lane, &r.Job.Owner, &lease, &r.Job.Attempt, &r.Job.Failures, &r.Job.Cancel, &r.Job.Step, &checkpoint, &progress)
	if err != nil {
		return nil, err
	}
	r.Created, r.Updated, r.Job.LeaseUntil = instant(created), instant(updated), instant(lease)
	r.Doc, r.Private = json.RawMessage(doc), json.RawMessage(private)
	r.Job.Checkpoint, r.Job.Progress = json.RawMessage(checkpoint), json.RawMessage(progress)
	return &r, nil
}

// values are the columns after seq.
func (r *Resource) values() []any {
	j := &r.Job
	return []any{r.ARN, r.Kind, r.Scope, r.Group, r.Parent, r.Name, r.Status, r.Failure, nanos(r.Created), nanos(r.Updated), text(r.Doc), text(r.Private),
		j.Kind, j.Lane, j.Owner, nanos(j.LeaseUntil), j.Attempt, j.Failures, j.Cancel, j.Step, text(j.Checkpoint), text(j.Progress)}
}

func instant(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func text(m json.RawMessage) string {
	if len(m) == 0 {
		return "null"
	}
	return string(m)
}

// Insert adds a row and sets its Seq, Created and Updated. ErrExists if the ARN is taken.
func (tx *Tx) Insert(r *Resource) error {
	r.Created, r.Updated = tx.now.UTC(), tx.now.UTC()
	res, err := tx.sql.ExecContext(tx.ctx, `INSERT INTO resource (`+strings.TrimPrefix(columns, "seq, ")+`) VALUES (?`+strings.Repeat(", ?", 21)+`)`, r.values()...)
	if failed := (*sqlite.Error)(nil); errors.As(err, &failed) && failed.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE {
		return ErrExists
	}
	if err != nil {
		return fmt.Errorf("insert %s: %w", r.ARN, err)
	}
	if r.Seq, err = res.LastInsertId(); err != nil {
		return fmt.Errorf("insert %s: %w", r.ARN, err)
	}
	tx.wrote = true
	return tx.note(r)
}

// Get returns the row of an ARN, or ErrNotFound.
func (tx *Tx) Get(arn string) (*Resource, error) {
	r, err := scan(tx.sql.QueryRowContext(tx.ctx, `SELECT `+columns+` FROM resource WHERE arn = ?`, arn))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", arn, err)
	}
	return r, nil
}

// tick is how much Updated moves at least: it never goes back, and what clients are shown has milliseconds.
const tick = time.Millisecond

// Put writes the whole row but for Seq, Kind and Created, and moves Updated if the change is one that clients can see. The progress of a data deletion is.
// The step from the stored status to the new one must be in the table of status.go.
func (tx *Tx) Put(r *Resource) error {
	old, err := tx.Get(r.ARN)
	if err != nil {
		return err
	}
	if err := checkStatus(r.ARN, old.Kind, old.Status, r.Status); err != nil {
		return err
	}
	r.Seq, r.Kind, r.Created, r.Updated = old.Seq, old.Kind, old.Created, old.Updated
	advanced := r.Kind == DeletionJob && r.Job.Kind != "" && text(r.Job.Progress) != text(old.Job.Progress)
	if r.Status != old.Status || r.Failure != old.Failure || text(r.Doc) != text(old.Doc) || advanced {
		if r.Updated = tx.now.UTC(); !r.Updated.After(old.Updated) { // the wall clock was set back
			r.Updated = old.Updated.Add(tick)
		}
	}
	set := strings.ReplaceAll(strings.TrimPrefix(columns, "seq, "), ",", " = ?,") + " = ?"
	if _, err := tx.sql.ExecContext(tx.ctx, `UPDATE resource SET `+set+` WHERE arn = ?`, append(r.values(), r.ARN)...); err != nil {
		return fmt.Errorf("write %s: %w", r.ARN, err)
	}
	tx.wrote = true
	if r.Status == old.Status {
		return nil
	}
	return tx.note(r)
}

// Delete removes a row with its tags.
func (tx *Tx) Delete(arn string) error {
	res, err := tx.sql.ExecContext(tx.ctx, `DELETE FROM resource WHERE arn = ?`, arn)
	if err != nil {
		return fmt.Errorf("delete %s: %w", arn, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(ErrNotFound, err)
	}
	tx.wrote = true
	return nil
}

// Find returns the rows of a query, newest first.
func (tx *Tx) Find(q Query) ([]*Resource, error) {
	where, args := q.where()
	query := `SELECT ` + columns + ` FROM resource` + where + ` ORDER BY seq DESC`
	if q.Limit > 0 {
		query += ` LIMIT ?`
		args = append(args, q.Limit)
	}
	rows, err := tx.sql.QueryContext(tx.ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("find resources: %w", err)
	}
	defer rows.Close()
	var found []*Resource
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("find resources: %w", err)
		}
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find resources: %w", err)
	}
	return found, nil
}

// Count counts the rows of a query; its Limit does not matter.
func (tx *Tx) Count(q Query) (n int, err error) {
	where, args := q.where()
	if err := tx.sql.QueryRowContext(tx.ctx, `SELECT count(*) FROM resource`+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count resources: %w", err)
	}
	return n, nil
}

func (q Query) where() (clause string, args []any) {
	var terms []string
	and := func(term string, values ...any) {
		terms = append(terms, term)
		args = append(args, values...)
	}
	for _, c := range []struct{ column, value string }{
		{"kind", q.Kind}, {"scope", q.Scope}, {"grp", q.Group}, {"parent", q.Parent}, {"name", q.Name}, {"job_kind", q.JobKind},
	} {
		if c.value != "" {
			and(c.column+" = ?", c.value)
		}
	}
	if len(q.Statuses) > 0 {
		and("status IN (" + marks(len(q.Statuses)) + ")")
		for _, status := range q.Statuses {
			args = append(args, status)
		}
	}
	if q.Before > 0 {
		and("seq < ?", q.Before)
	}
	if len(terms) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(terms, " AND "), args
}

// marks returns n placeholders.
func marks(n int) string {
	return strings.TrimSuffix(strings.Repeat("?, ", n), ", ")
}

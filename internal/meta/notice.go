package meta

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// A Notice is a change of the status of a resource, kept until whoever wants to know of it has been told. It is written in the transaction of the change, so there
// is one for every change and none without.
type Notice struct {
	Seq     int64  // the order of changes
	ID      string // random, for ever this change's
	ARN     string
	Kind    string
	Status  string // the new one
	Failure string // failureReason, "" if none
	At      time.Time
}

// KeepNotices makes the database keep a notice of every change of status from now on, the newest most of them; 0 keeps none, and drops those that are there.
// It is called before the database is used.
func (db *DB) KeepNotices(ctx context.Context, most int) error {
	db.notices = most
	if most > 0 {
		return nil
	}
	if _, err := db.write.ExecContext(ctx, `DELETE FROM notice`); err != nil {
		return fmt.Errorf("drop notices: %w", err)
	}
	return nil
}

// note keeps a notice of the status of r, and drops the oldest if there are too many.
func (tx *Tx) note(r *Resource) error {
	if tx.notices == 0 || r.Status == "" {
		return nil
	}
	made, err := tx.sql.ExecContext(tx.ctx, `INSERT INTO notice (id, arn, kind, status, failure, at) VALUES (?, ?, ?, ?, ?, ?)`,
		uuid.NewString(), r.ARN, r.Kind, r.Status, r.Failure, nanos(r.Updated))
	if err != nil {
		return fmt.Errorf("note the status of %s: %w", r.ARN, err)
	}
	seq, err := made.LastInsertId()
	if err != nil {
		return fmt.Errorf("note the status of %s: %w", r.ARN, err)
	}
	if _, err := tx.sql.ExecContext(tx.ctx, `DELETE FROM notice WHERE seq <= ?`, seq-int64(tx.notices)); err != nil {
		return fmt.Errorf("drop notices: %w", err)
	}
	return nil
}

// Notices returns the oldest notices, at most limit.
func (tx *Tx) Notices(limit int) (found []Notice, err error) {
	rows, err := tx.sql.QueryContext(tx.ctx, `SELECT seq, id, arn, kind, status, failure, at FROM notice ORDER BY seq LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n Notice
		var at int64
		if err := rows.Scan(&n.Seq, &n.ID, &n.ARN, &n.Kind, &n.Status, &n.Failure, &at); err != nil {
			return nil, fmt.Errorf("read notices: %w", err)
		}
		n.At = instant(at)
		found = append(found, n)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	return found, nil
}

// CountNotices counts those that are kept.
func (tx *Tx) CountNotices() (n int, err error) {
	if err := tx.sql.QueryRowContext(tx.ctx, `SELECT count(*) FROM notice`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count notices: %w", err)
	}
	return n, nil
}

// DropNotice forgets a notice: it has been delivered, or never will be.
func (tx *Tx) DropNotice(seq int64) error {
	if _, err := tx.sql.ExecContext(tx.ctx, `DELETE FROM notice WHERE seq = ?`, seq); err != nil {
		return fmt.Errorf("drop a notice: %w", err)
	}
	return nil
}

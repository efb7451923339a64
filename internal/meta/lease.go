package meta

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Leases, for package job only. Their times are of this process alone, so that no step of the wall clock ends a lease or makes a retry wait. A row is due if it has a job, no live lease, and nothing before it: in its lane no older row with a job and none at
// work. One that was asked to stop does not wait for its next attempt.
const due = `job_kind <> '' AND (lease_until <= ? OR cancel = 1 AND owner = '')
	AND (lane = '' OR NOT EXISTS (SELECT 1 FROM resource o WHERE o.lane = r.lane AND o.lane <> '' AND o.job_kind <> '' AND o.seq <> r.seq AND (o.seq < r.seq OR o.owner <> '')))`

// Claim gives the oldest due row of one of the job kinds to owner, who must use each name once: (owner, attempt) fences what he writes.
// It returns nil, nil if nothing is due.
func (db *DB) Claim(ctx context.Context, owner string, kinds []string, lease time.Duration) (*Resource, error) {
	if len(kinds) == 0 {
		return nil, nil
	}
	now := db.steady()
	args := []any{owner, nanos(now.Add(lease)), nanos(now)}
	for _, kind := range kinds {
		args = append(args, kind)
	}
	row := db.write.QueryRowContext(ctx, `UPDATE resource SET owner = ?, lease_until = ?, attempt = attempt + 1
		WHERE seq = (SELECT seq FROM resource r WHERE `+due+` AND job_kind IN (`+marks(len(kinds))+`) ORDER BY seq LIMIT 1)
		RETURNING `+columns, args...)
	r, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim job: %w", err)
	}
	return r, nil
}

// Beat extends a lease and stores the progress (nil leaves it), which moves Updated of a data deletion; cancel tells that somebody asked the job to stop.
// ErrLost: the lease is no longer the caller's, and nothing he does may be written any more.
func (db *DB) Beat(ctx context.Context, arn, owner string, attempt int, lease time.Duration, progress json.RawMessage) (cancel bool, err error) {
	stored := sql.NullString{String: string(progress), Valid: progress != nil}
	row := db.write.QueryRowContext(ctx, `UPDATE resource SET lease_until = ?, progress = coalesce(?, progress),
			updated = CASE WHEN kind = ? AND coalesce(?, progress) <> progress THEN max(?, updated + ?) ELSE updated END
		WHERE arn = ? AND owner = ? AND attempt = ? AND job_kind <> '' RETURNING cancel`,
		nanos(db.steady().Add(lease)), stored, DeletionJob, stored, nanos(db.now()), tick.Nanoseconds(), arn, owner, attempt)
	err = row.Scan(&cancel)
	if errors.Is(err, sql.ErrNoRows) {
		return false, ErrLost
	}
	if err != nil {
		return false, fmt.Errorf("extend lease of %s: %w", arn, err)
	}
	return cancel, nil
}

// Yield gives a lease back: the job is due again after the delay. fault counts the attempt as failed.
func (db *DB) Yield(ctx context.Context, arn, owner string, attempt int, delay time.Duration, fault bool) error {
	_, err := db.write.ExecContext(ctx, `UPDATE resource SET owner = '', lease_until = ?, failures = failures + ? WHERE arn = ? AND owner = ? AND attempt = ?`,
		nanos(db.steady().Add(delay)), fault, arn, owner, attempt)
	if err != nil {
		return fmt.Errorf("release lease of %s: %w", arn, err)
	}
	return nil
}

// Release drops the leases and waiting times that earlier processes left. The caller knows that they are gone: he holds the lock of the data directory.
func (db *DB) Release(ctx context.Context) error {
	if _, err := db.write.ExecContext(ctx, `UPDATE resource SET owner = '', lease_until = 0 WHERE owner <> '' OR lease_until <> 0`); err != nil {
		return fmt.Errorf("release leases: %w", err)
	}
	return nil
}

// Cancelled returns the owners whose jobs were asked to stop.
func (db *DB) Cancelled(ctx context.Context) (owners []string, err error) {
	rows, err := db.read.QueryContext(ctx, `SELECT owner FROM resource WHERE job_kind <> '' AND cancel = 1 AND owner <> ''`)
	if err != nil {
		return nil, fmt.Errorf("find cancelled jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var owner string
		if err := rows.Scan(&owner); err != nil {
			return nil, fmt.Errorf("find cancelled jobs: %w", err)
		}
		owners = append(owners, owner)
	}
	return owners, rows.Err()
}

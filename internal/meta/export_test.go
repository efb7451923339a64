package meta

import "time"

// SetClock replaces the wall clock.
func (db *DB) SetClock(now func() time.Time) { db.now = now }

package blob

import (
	"errors"
	"fmt"
	"syscall"
)

// Reserve is what bulk work leaves free on the disk of the data directory: events, metadata and data deletions go on when an import has to stop.
const Reserve = 32 << 20

// A RoomError says that something was not begun, or not gone on with, because the disk has too little room for it.
type RoomError struct{ Need, Free int64 }

func (e *RoomError) Error() string {
	return fmt.Sprintf("too little room on the disk: %d bytes needed, %d free", e.Need, e.Free)
}

// CheckRoom fails with a *RoomError if the file system that holds dir has less than n bytes left. A quota does not show there: a write may fail all the same.
func CheckRoom(dir string, n int64) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look for room below %s: %w", dir, err)
	}
	if free := int64(s.Bavail) * int64(s.Bsize); free < n {
		return &RoomError{Need: n, Free: free}
	}
	return nil
}

const sqliteFull = 13 // SQLITE_FULL, of a database on the disk

// IsFull tells whether an operation failed for lack of room on a local disk, or within a quota of it.
func IsFull(err error) bool {
	var room *RoomError
	var database interface{ Code() int }
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.As(err, &room) ||
		errors.As(err, &database) && database.Code()&0xff == sqliteFull
}

package blob_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"
	"testing"

	"github.com/palate-dev/palate/internal/blob"
)

type coded int

func (c coded) Error() string { return fmt.Sprint("code ", int(c)) }
func (c coded) Code() int     { return int(c) }

func TestCheckRoom(t *testing.T) {
	if err := blob.CheckRoom(t.TempDir(), 0); err != nil {
		t.Error(err)
	}
	var room *blob.RoomError
	if err := blob.CheckRoom(t.TempDir(), math.MaxInt64); !errors.As(err, &room) || room.Need != math.MaxInt64 || !blob.IsFull(err) {
		t.Errorf("no disk has that much: %v", err)
	}
	if err := blob.CheckRoom(t.TempDir()+"/absent", 0); err == nil || blob.IsFull(err) {
		t.Errorf("a missing directory: %v", err)
	}
}

func TestIsFull(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("disk is full"), false},
		{syscall.EIO, false},
		{fmt.Errorf("write: %w", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), true},
		{errors.Join(errors.New("a"), syscall.EDQUOT), true},
		{fmt.Errorf("commit: %w", coded(13)), true},
		{coded(13 | 1<<8), true},
		{coded(10), false}, // SQLITE_IOERR
	} {
		if got := blob.IsFull(c.err); got != c.want {
			t.Errorf("IsFull(%v) = %v", c.err, got)
		}
	}
}

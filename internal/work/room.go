package work

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/job"
)

// fullDisk says in words for people what a job does whose error is a full disk: one that must happen waits for room, one that takes much of it fails, so that
// what it has written goes away. Small ones try again as after any error.
func fullDisk(s job.Spec, err error) error {
	if !blob.IsFull(err) || job.Failed(err) {
		return err
	}
	reason := "The disk of the data directory is full."
	if room := new(blob.RoomError); errors.As(err, &room) {
		reason = fmt.Sprintf("The disk of the data directory has too little room: %s needed, %s free.", megabytes(room.Need), megabytes(room.Free))
	}
	switch {
	case s.Endless:
		return job.Wait(err, reason)
	case s.Class == job.Heavy:
		return errors.Join(job.Fail("%s Start another job when there is room.", reason), err)
	}
	return err
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// roomForModel looks for room for a second model of the size of one that is there. What is not there any more needs none.
func roomForModel(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	size := int64(0)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
	}
	return blob.CheckRoom(filepath.Dir(dir), size)
}

package verify

import (
	"fmt"
	"os"
	"sync"
)

// held are the database's files that verification has opened, and they stay open. POSIX drops every lock that a process has on a file when the process closes
// any descriptor of that file, and SQLite's locks are such: without them the next process to open the database would take it for unused, and take its log away
// from under us.
var held struct {
	sync.Mutex
	files []*os.File
}

// openHeld returns a file of the database for reading at offsets. The caller must not close it.
func openHeld(path string) (*os.File, error) {
	now, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	held.Lock()
	defer held.Unlock()
	for _, f := range held.files {
		if info, err := f.Stat(); err == nil && os.SameFile(info, now) {
			return f, nil
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open database file: %w", err)
	}
	held.files = append(held.files, f)
	return f, nil
}

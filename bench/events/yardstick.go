package main

import (
	"os"
	"time"
)

// syncRate appends 16 KB, about one group commit, to a file in dir and syncs it, one after the other, and returns how often that went in a second.
func syncRate(dir string, during time.Duration) (float64, error) {
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 16<<10)
	n, start := 0, time.Now()
	for ; time.Since(start) < during; n++ {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

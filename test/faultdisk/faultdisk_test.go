package faultdisk_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/palate-dev/palate/test/faultdisk"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func syncOf(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

func TestAPowerCutForgetsWhatNobodySynced(t *testing.T) {
	d := faultdisk.New(t)
	at := func(name string) string { return filepath.Join(d.Dir, name) }
	must(t, os.Mkdir(at("dir"), 0o700))
	must(t, os.WriteFile(at("dir/synced"), []byte("one"), 0o600))
	must(t, os.WriteFile(at("dir/bytes-not-synced"), []byte("two"), 0o600))
	syncOf(t, at("dir/synced"))
	syncOf(t, at("dir"))
	syncOf(t, d.Dir)
	must(t, os.WriteFile(at("dir/name-not-synced"), []byte("three"), 0o600))
	syncOf(t, at("dir/name-not-synced"))
	must(t, os.Rename(at("dir/synced"), at("renamed")))

	d.Cut(0, rand.New(rand.NewPCG(1, 1)))
	if _, err := os.ReadFile(at("dir/synced")); err == nil {
		t.Error("a disk without power answers")
	}
	d.PowerOn()
	if got, err := os.ReadFile(at("dir/synced")); err != nil || string(got) != "one" {
		t.Errorf("a synced file under a synced name: %q, %v", got, err)
	}
	if got, err := os.ReadFile(at("dir/bytes-not-synced")); err != nil || len(got) != 0 {
		t.Errorf("a synced name of an unsynced file: %q, %v", got, err)
	}
	for _, name := range []string{"dir/name-not-synced", "renamed"} {
		if _, err := os.Stat(at(name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the unsynced name %s: %v", name, err)
		}
	}
}

func TestAPowerCutThatLosesNothingKeepsEverything(t *testing.T) {
	d := faultdisk.New(t)
	must(t, os.WriteFile(filepath.Join(d.Dir, "a"), []byte("text"), 0o600))
	must(t, os.Rename(filepath.Join(d.Dir, "a"), filepath.Join(d.Dir, "b")))
	d.Cut(1, nil)
	d.PowerOn()
	if got, err := os.ReadFile(filepath.Join(d.Dir, "b")); err != nil || string(got) != "text" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(d.Dir, "a")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old name: %v", err)
	}
}

func TestTheDiskFillsAndFailsAsPlanned(t *testing.T) {
	d := faultdisk.New(t)
	path := filepath.Join(d.Dir, "f")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	d.Fill(10)
	if _, err := f.Write(make([]byte, 11)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write on a full disk: %v", err)
	}
	d.Quota(10)
	var room syscall.Statfs_t
	must(t, syscall.Statfs(d.Dir, &room))
	if _, err := f.Write(make([]byte, 11)); !errors.Is(err, syscall.EDQUOT) || room.Bavail < 1<<20 {
		t.Errorf("write beyond a quota: %v, free blocks %d", err, room.Bavail)
	}
	d.Heal()
	d.FailAt(faultdisk.Write, 1, 1)
	if _, err := f.Write([]byte("a")); !errors.Is(err, syscall.EIO) {
		t.Errorf("write: %v", err)
	}
	d.FailAt(faultdisk.Sync, 1, 1)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Errorf("the sync after one that failed: %v", err)
	}
}

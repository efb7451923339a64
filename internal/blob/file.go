package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// tempPrefix begins the name of every file that WriteFile has not finished.
const tempPrefix = ".tmp-"

// Unfinished tells whether a file of that name is one that WriteFile or Discard has not finished.
func Unfinished(name string) bool { return strings.HasPrefix(name, tempPrefix) }

// WriteFile stores all of r at path durably: temporary file beside it, fsync, rename, fsync of the directory. The directory must exist.
// Readers see the old file or the new one. What an interrupted call leaves is removed by Sweep.
func WriteFile(path string, r io.Reader) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), Destroy(f.Name()))
		}
	}()
	if _, err = io.Copy(f, r); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a directory durable: what was created, renamed or removed there before the call stays so after a power cut.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer d.Close()
	// Some network and user-space file systems cannot fsync a directory and say so; there is nothing more that can be done on them.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// MkdirAll makes a directory and its missing parents, durably.
func MkdirAll(path string) error {
	var made []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		if _, err := os.Stat(p); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make directory: %w", err)
		}
		made = append(made, p)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	for _, p := range slices.Backward(made) { // a parent first: its entry must not outlive it
		if err := SyncDir(filepath.Dir(p)); err != nil {
			return err
		}
	}
	return nil
}

// wipe is what files are overwritten with; 1 MiB at a time keeps the number of system calls small and the page cache's share of memory bounded.
var wipe [1 << 20]byte

// Destroy overwrites files with zeros, makes that durable, unlinks them and makes the unlinking durable. A missing file is no error, so that an interrupted
// Destroy can be repeated. A symbolic link is unlinked, what it points to is left alone. Many files in one call cost one sync of their directory.
//
// Overwriting reaches the old bytes on file systems that write in place (ext4, xfs, apfs without snapshots). Copy-on-write file systems, snapshots
// and flash translation layers may keep older copies; only encryption of the volume covers those.
func Destroy(paths ...string) error {
	var failures []error
	dirs := make(map[string]bool)
	for _, path := range paths {
		dirs[filepath.Dir(path)] = true
		err := overwrite(path)
		if err == nil || errors.Is(err, syscall.ELOOP) {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failures = append(failures, fmt.Errorf("destroy: %w", err))
		}
	}
	for dir := range dirs {
		if err := SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// Discard is Destroy for a file that a later start would read: it first takes the file's name away, durably, so that nobody meets the file half
// overwritten. What an interrupted call leaves is removed by Sweep, or by repeating the call.
func Discard(path string) error {
	dir := filepath.Dir(path)
	nameless := filepath.Join(dir, tempPrefix+filepath.Base(path))
	if err := os.Rename(path, nameless); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("discard: %w", err)
	}
	if err := SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return Destroy(nameless)
}

func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrPermission) {
		// A file made read-only is still ours to destroy.
		if err := os.Chmod(path, 0o600); err != nil {
			return err
		}
		f, err = os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	for left := info.Size(); left > 0; {
		n, err := f.Write(wipe[:min(left, int64(len(wipe)))])
		if err != nil {
			return err
		}
		left -= int64(n)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// DestroyAll destroys every file under dir and then the directories, deepest first. A missing dir is no error, and what goes away meanwhile does not keep
// the rest.
func DestroyAll(dir string) error {
	var files, dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			dirs = append(dirs, path)
			return nil
		}
		files = append(files, path)
		return nil
	})
	if err = errors.Join(err, Destroy(files...)); err != nil {
		return fmt.Errorf("destroy directory: %w", err)
	}
	for _, d := range slices.Backward(dirs) {
		if err := os.Remove(d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("destroy directory: %w", err)
		}
	}
	if err := SyncDir(filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Sweep destroys what interrupted calls of WriteFile have left under root. It must not run beside a WriteFile there.
func Sweep(root string) error {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() && strings.HasPrefix(d.Name(), tempPrefix) {
			return Destroy(path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sweep temporary files: %w", err)
	}
	return nil
}

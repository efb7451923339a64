package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Dir keeps objects as files under one directory. Keys are clean relative paths; they are names that palate itself has made, never a customer's.
type Dir struct {
	root string
}

var _ Store = (*Dir)(nil)

// OpenDir opens root, making it if it is missing, and destroys what an earlier process left unfinished in it. One process may use a directory at a time.
func OpenDir(root string) (*Dir, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := MkdirAll(root); err != nil {
		return nil, err
	}
	if err := Sweep(root); err != nil {
		return nil, err
	}
	return &Dir{root: root}, nil
}

// Path is where the object with that key is, or would be. The key must be valid.
func (d *Dir) Path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

// checkKey refuses what is not a path below the root, and the names kept for unfinished files.
func checkKey(key string) error {
	if !fs.ValidPath(key) || key == "." || strings.ContainsAny(key, "\x00\\") {
		return fmt.Errorf("key %q: %w", key, ErrKey)
	}
	if strings.HasPrefix(path.Base(key), tempPrefix) {
		return fmt.Errorf("key %q: %w", key, ErrKey)
	}
	return nil
}

func (d *Dir) List(ctx context.Context, prefix string) ([]Info, error) {
	// Walking starts at the deepest directory that every match lies under.
	start := "."
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		start = prefix[:i]
	}
	if !fs.ValidPath(start) {
		return nil, nil
	}
	var found []Info
	err := fs.WalkDir(os.DirFS(d.root), start, func(key string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.Type().IsRegular() || !strings.HasPrefix(key, prefix) || strings.HasPrefix(e.Name(), tempPrefix) {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // destroyed since the directory was read
		}
		if err != nil {
			return err
		}
		found = append(found, fileInfo(key, info))
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	slices.SortFunc(found, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

// fileInfo derives the ETag from what changes whenever a file is replaced by a rename: inode, size and time.
func fileInfo(key string, fi fs.FileInfo) Info {
	var inode uint64
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		inode = uint64(st.Ino)
	}
	return Info{
		Key: key, Size: fi.Size(), Modified: fi.ModTime(),
		ETag: fmt.Sprintf("%x-%x-%x", inode, fi.Size(), fi.ModTime().UnixNano()),
	}
}

func (d *Dir) Open(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	if err := checkKey(key); err != nil {
		return nil, Info{}, err
	}
	f, err := os.Open(d.Path(key))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, Info{}, fmt.Errorf("open %s: %w", key, ErrNotFound)
	}
	if err != nil {
		return nil, Info{}, fmt.Errorf("open %s: %w", key, err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = ErrNotFound
	}
	if err != nil {
		f.Close()
		return nil, Info{}, fmt.Errorf("open %s: %w", key, err)
	}
	return struct {
		contextReader
		io.Closer
	}{contextReader{ctx, f}, f}, fileInfo(key, fi), nil
}

// contextReader fails once its context has ended, so that a long copy stops.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func (d *Dir) Create(ctx context.Context, key string, r io.Reader, _ PutOptions) error {
	if err := checkKey(key); err != nil {
		return err
	}
	at := d.Path(key)
	if err := MkdirAll(filepath.Dir(at)); err != nil {
		return err
	}
	return WriteFile(at, contextReader{ctx, r})
}

// Abandon does nothing: OpenDir has destroyed what an earlier process left.
func (d *Dir) Abandon(context.Context, string) error { return nil }

func (d *Dir) Destroy(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return Discard(d.Path(key))
}

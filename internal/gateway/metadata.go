package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pkg/xattr"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
)

// formatFile, in the directory for metadata, says where the attributes of objects are. No bucket can have its name.
const formatFile = ".format"

const (
	inXattrs = "xattr"
	inFiles  = "files"
)

// openMetadata opens the store of bucket and object attributes, and decides where a new directory keeps them.
func openMetadata(dir, metaDir string) (meta.MetadataStorer, error) {
	for _, d := range []string{dir, metaDir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
		if err := syncPath(filepath.Dir(d)); err != nil { // a directory that a power cut takes away takes every object with it
			return nil, err
		}
	}
	path := filepath.Join(metaDir, formatFile)
	format, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		format = []byte(inFiles)
		if probeXattrs(dir) == nil {
			format = []byte(inXattrs)
		}
		err = writeDurably(path, append(format, '\n'))
	}
	if err != nil {
		return nil, err
	}
	switch strings.TrimSpace(string(format)) {
	case inXattrs:
		if err := probeXattrs(dir); err != nil {
			return nil, fmt.Errorf("the objects in %s have their metadata in extended attributes, which this file system does not keep: %w", dir, err)
		}
		return syncedXattrs{dir: dir}, nil
	case inFiles:
		files, err := meta.NewSideCar(metaDir)
		if err != nil {
			return nil, err
		}
		return syncedFiles{files, metaDir}, nil
	}
	return nil, fmt.Errorf("%s says %q: not a format that this version knows", path, format)
}

// probeXattrs tries what versitygw will do: set an attribute on an open file, of the size that it may need.
func probeXattrs(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := xattr.FSet(f, "user.palate.probe", make([]byte, 2048)); err != nil {
		return err
	}
	_, err = xattr.FGet(f, "user.palate.probe")
	return err
}

// syncedXattrs keeps attributes in extended attributes and makes them durable.
type syncedXattrs struct {
	meta.XattrMeta
	dir string
}

func (s syncedXattrs) StoreAttribute(f *os.File, bucket, object, attribute string, value []byte) error {
	if err := s.XattrMeta.StoreAttribute(f, bucket, object, attribute, value); err != nil {
		return err
	}
	if f == nil {
		return syncPath(filepath.Join(s.dir, bucket, object))
	}
	return syncStaged(f, attribute)
}

func (s syncedXattrs) DeleteAttribute(bucket, object, attribute string) error {
	if err := s.XattrMeta.DeleteAttribute(bucket, object, attribute); err != nil {
		return err
	}
	return syncPath(filepath.Join(s.dir, bucket, object))
}

// syncedFiles keeps attributes in files of their own and makes them durable.
type syncedFiles struct {
	meta.SideCar
	dir string
}

func (s syncedFiles) StoreAttribute(f *os.File, bucket, object, attribute string, value []byte) error {
	if err := s.SideCar.StoreAttribute(f, bucket, object, attribute, value); err != nil {
		return err
	}
	at := filepath.Join(s.dir, bucket, object, "meta", attribute)
	if err := errors.Join(syncPath(at), syncParents(at, s.dir)); err != nil {
		return err
	}
	if f == nil {
		return nil
	}
	return syncStaged(f, attribute)
}

func (s syncedFiles) DeleteAttribute(bucket, object, attribute string) error {
	if err := s.SideCar.DeleteAttribute(bucket, object, attribute); err != nil {
		return err
	}
	return syncNearest(filepath.Join(s.dir, bucket, object, "meta"), s.dir)
}

// syncStaged makes the data of a staged object durable before its name appears. versitygw stores the ETag of every object and part when all the
// data is written and before it links the file, which makes that the moment.
func syncStaged(f *os.File, attribute string) error {
	if attribute != "etag" {
		return nil
	}
	return f.Sync()
}

// sweep removes staged files that a killed process has left in the buckets' temporary directories. Where the file system has O_TMPFILE there are none.
func sweep(dir string) error {
	left, err := fs.Glob(os.DirFS(dir), "*/"+posix.MetaTmpDir+"/*.*") // not filepath.Glob: the directory's own name may look like a pattern
	if err != nil {
		return err
	}
	for _, name := range left {
		path := filepath.Join(dir, name)
		if fi, err := os.Lstat(path); err == nil && fi.Mode().IsRegular() {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/rowtext"
)

// An object is one CSV object of a customer's bucket, as listed. Reading it fails with blob.ErrChanged if it is not that object any more.
type object struct {
	store blob.Store
	info  blob.Info
}

var _ rowtext.Object = object{}

// Name is the object's key: what failures name.
func (o object) Name() string { return o.info.Key }

// Size is in bytes.
func (o object) Size() int64 { return o.info.Size }

// Open reads the object from its start.
func (o object) Open(ctx context.Context) (io.ReadCloser, error) {
	return blob.OpenVersion(ctx, o.store, o.info)
}

// noCSV is the failure of a location without input.
const noCSV = "The specified Amazon S3 location does not contain any CSV files."

// listCSV finds the input of a job. A location ending in "/" (or naming a bucket alone) is a folder: the .csv objects directly in it or, if deep, in its
// sub-folders too. Any other location is one object. Keys come sorted.
func (w *worker) listCSV(ctx context.Context, location string, deep bool) ([]object, error) {
	bucket, key, err := blob.ParseLocation(location)
	if err != nil {
		return nil, job.Fail("Invalid Data location.")
	}
	store, err := w.Bucket(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	folder := key == "" || strings.HasSuffix(key, "/")
	infos, err := store.List(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", location, err)
	}
	infos = slices.DeleteFunc(infos, func(i blob.Info) bool {
		if !folder {
			return i.Key != key
		}
		nested := strings.Contains(strings.TrimPrefix(i.Key, key), "/")
		return !strings.EqualFold(path.Ext(i.Key), ".csv") || nested && !deep
	})
	if len(infos) == 0 {
		return nil, job.Fail(noCSV)
	}
	slices.SortFunc(infos, func(a, b blob.Info) int { return strings.Compare(a.Key, b.Key) })
	objects := make([]object, len(infos))
	for i, info := range infos {
		objects[i] = object{store, info}
	}
	return objects, nil
}

// output opens the location that a job writes to, which is a folder: prefix is what the keys of its objects begin with.
func (w *worker) output(ctx context.Context, location string) (store blob.Store, prefix string, err error) {
	bucket, prefix, err := blob.ParseLocation(location)
	if err != nil {
		return nil, "", job.Fail("Invalid S3 output path")
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	store, err = w.Bucket(ctx, bucket)
	return store, prefix, err
}

// abandon drops what an attempt that was cut off has left of an object, if the job may: it needs rights that writing does not.
func abandon(ctx context.Context, store blob.Store, key string) error {
	if err := store.Abandon(ctx, key); err != nil && !errors.Is(err, blob.ErrDenied) {
		return err
	}
	return nil
}

// totalSize is in bytes.
func totalSize(objects []object) (n int64) {
	for _, o := range objects {
		n += o.info.Size
	}
	return n
}

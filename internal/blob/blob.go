// Package blob is the seam between palate and the places where whole objects are kept: a local directory (our own store) and S3 (customers' buckets).
//
// A store maps keys to immutable byte strings. Every implementation promises, and blobtest.Run checks:
//
//   - Create is atomic: under its key an object is whole or not there. A failed or interrupted Create leaves the earlier object, or none.
//   - What Create has acknowledged is durable: it survives the death of the process and, as far as the device and the remote service keep their
//     word, of the machine.
//   - Open returns one version of an object from the first byte to the last. If the object is replaced meanwhile, reading either goes on with the
//     old version or fails with ErrChanged; it never yields a mixture.
//   - List is complete and sorted by key in byte order, and shows no unfinished object. Where the service contradicts itself it fails with ErrListing.
//   - Destroy is idempotent. A local file is overwritten before it is unlinked, because an unlinked file's bytes stay on the device.
//
// Failures that a caller must tell apart are ErrNotFound, ErrNoBucket, ErrDenied, ErrUnreachable, ErrFull and ErrChanged; all are found by errors.Is.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

var (
	ErrNotFound    = errors.New("no such object")
	ErrNoBucket    = errors.New("no such bucket")                     // S3 only
	ErrDenied      = errors.New("access denied")                      // also unknown or wrong credentials
	ErrUnreachable = errors.New("storage unreachable")                // no answer after all retries
	ErrChanged     = errors.New("object changed while it was read")   // its ETag is no longer the one it was opened or listed with
	ErrKey         = errors.New("key cannot be stored here")          // not a clean relative path (Dir), or too long, or below an object in an S3 made of files
	ErrFull        = errors.New("no room left behind the S3")         // S3 only; a local disk's is told by IsFull
	ErrListing     = errors.New("the listing contradicts itself")     // S3 only: pages overlap or are out of order, time and again
	ErrRefused     = errors.New("request refused")                    // S3 only: an answer of class 4xx that none of the others stands for
	ErrIntegrity   = errors.New("object does not match its checksum") // the bytes that arrived are not the bytes that were stored
)

// Info describes one version of an object.
type Info struct {
	Key      string
	Size     int64
	ETag     string // opaque; equal ETags of one key mean equal bytes
	Modified time.Time
}

// PutOptions are the optional properties of a new object.
type PutOptions struct {
	KMSKeyARN string // ask S3 to encrypt the object under this key; a directory ignores it
}

// Store keeps objects. All methods are safe for concurrent use.
type Store interface {
	// List returns every object whose key begins with prefix.
	List(ctx context.Context, prefix string) ([]Info, error)

	// Open reads an object from its beginning. The context governs the whole reading, not only the opening.
	Open(ctx context.Context, key string) (io.ReadCloser, Info, error)

	// Create stores all of r under key, replacing what was there. An error of r is returned, wrapped, and nothing is stored.
	Create(ctx context.Context, key string, r io.Reader, o PutOptions) error

	// Abandon drops what a Create of the key has left that was cut off by the end of its process. It does nothing to an object, and must not run beside a
	// Create of that key.
	Abandon(ctx context.Context, key string) error

	// Destroy removes an object and every older version of it. A missing object is no error.
	Destroy(ctx context.Context, key string) error
}

// OpenVersion opens an object that List returned earlier and fails with ErrChanged if it is no longer the same version.
func OpenVersion(ctx context.Context, s Store, listed Info) (io.ReadCloser, error) {
	r, now, err := s.Open(ctx, listed.Key)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("open %s: %w: %w", listed.Key, ErrChanged, err)
	}
	if err != nil {
		return nil, err
	}
	if now.ETag != listed.ETag || now.Size != listed.Size {
		r.Close()
		return nil, fmt.Errorf("open %s: %w", listed.Key, ErrChanged)
	}
	return r, nil
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/palate-dev/palate/internal/blob"
)

// durable is the posix backend with the fsyncs that it lacks. Data is synced before it gets its name (syncStaged); here the name and the last
// attributes follow, before the client has its answer. Thus a power cut leaves the old object or the new one, and what was answered stays.
type durable struct {
	*posix.Posix
	root  string
	parts parts
}

func (d *durable) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	if err := d.Posix.CreateBucket(ctx, in, acl); err != nil {
		return err
	}
	return d.syncObject(*in.Bucket, "")
}

func (d *durable) DeleteBucket(ctx context.Context, bucket string) error {
	if err := d.Posix.DeleteBucket(ctx, bucket); err != nil {
		return err
	}
	return syncPath(d.root)
}

func (d *durable) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	if err := d.room(in.ContentLength, in.Body); err != nil {
		return s3response.PutObjectOutput{}, err
	}
	in.Body = whole(in.Body, in.ContentLength)
	out, err := d.Posix.PutObject(ctx, in)
	if err == nil {
		err = d.syncObject(*in.Bucket, *in.Key)
	}
	return out, err
}

func (d *durable) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	if err := d.room(in.ContentLength, in.Body); err != nil {
		return nil, err
	}
	in.Body = whole(in.Body, in.ContentLength)
	d.parts.begin(*in.UploadId)
	out, err := d.Posix.UploadPart(ctx, in)
	if d.parts.end(*in.UploadId) {
		return nil, d.dropLate(ctx, *in.Bucket, *in.Key, *in.UploadId)
	}
	return out, err
}

func (d *durable) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	d.parts.begin(*in.UploadId)
	out, err := d.Posix.UploadPartCopy(ctx, in)
	if d.parts.end(*in.UploadId) {
		return s3response.CopyPartResult{}, d.dropLate(ctx, *in.Bucket, *in.Key, *in.UploadId)
	}
	return out, err
}

func (d *durable) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	return d.parts.ending(*in.UploadId, func() error { return d.Posix.AbortMultipartUpload(ctx, in) })
}

// dropLate drops a part that arrived when its upload was over: versitygw makes the upload's directory anew for it, and the upload would be there again.
func (d *durable) dropLate(ctx context.Context, bucket, key, id string) error {
	none := s3err.GetNoSuchUploadErr(id)
	err := d.Posix.AbortMultipartUpload(context.WithoutCancel(ctx), &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: &id})
	if err != nil && !errors.Is(err, none) {
		return err
	}
	return none
}

// small is what may still be uploaded where the disk has no room but the reserve: lists of users to forget are.
const small = 1 << 20

// room refuses an upload that would leave less than the reserve on the disk, which is also that of events and metadata.
func (d *durable) room(length *int64, body io.Reader) error {
	if length == nil || *length <= small {
		return nil
	}
	err := blob.CheckRoom(d.root, *length+blob.Reserve)
	if !blob.IsFull(err) {
		return err
	}
	io.Copy(io.Discard, body) // as versitygw does: the client gets its answer once it has sent everything
	return s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)
}

// whole makes it an error if a body ends before its length: fasthttp ends it as if it were whole when the sender has closed the connection, and a piece would be stored as the object.
// A body in chunks has an end of its own, and versitygw asks it for more than bytes.
func whole(body io.Reader, length *int64) io.Reader {
	if _, chunks := body.(middlewares.ChecksumReader); chunks || body == nil || length == nil {
		return body
	}
	return &wholeReader{body, *length}
}

type wholeReader struct {
	body io.Reader
	left int64
}

func (r *wholeReader) Read(p []byte) (n int, err error) {
	n, err = r.body.Read(p)
	r.left -= int64(n)
	if err == io.EOF && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (d *durable) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	out, err := d.Posix.CopyObject(ctx, in)
	if err == nil {
		err = d.syncObject(*in.Bucket, *in.Key)
	}
	return out, err
}

func (d *durable) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	var out s3response.CompleteMultipartUploadResult
	var version string
	err := d.parts.ending(*in.UploadId, func() (err error) {
		out, version, err = d.Posix.CompleteMultipartUpload(ctx, in)
		return err
	})
	if err == nil {
		err = d.syncObject(*in.Bucket, *in.Key)
	}
	return out, version, err
}

func (d *durable) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	out, err := d.Posix.DeleteObject(ctx, in)
	if err == nil {
		err = d.syncRemoval(*in.Bucket, *in.Key)
	}
	return out, err
}

func (d *durable) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	out, err := d.Posix.DeleteObjects(ctx, in)
	if err != nil {
		return out, err
	}
	for _, o := range in.Delete.Objects {
		if err := d.syncRemoval(*in.Bucket, *o.Key); err != nil {
			return out, err
		}
	}
	return out, nil
}

// syncObject makes an object and the directories that lead to it durable. A concurrent writer may have removed it again: then that is what counts.
func (d *durable) syncObject(bucket, key string) error {
	path := filepath.Join(d.root, bucket, key)
	if err := syncPath(path); gone(err) {
		return d.syncRemoval(bucket, key)
	} else if err != nil {
		return err
	}
	return syncParents(path, d.root)
}

func (d *durable) syncRemoval(bucket, key string) error {
	return syncNearest(filepath.Dir(filepath.Join(d.root, bucket, key)), d.root)
}

// syncPath fsyncs a file or directory.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer f.Close()
	// Some network and user-space file systems cannot fsync a directory and say so.
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// syncParents fsyncs the directories from path's own up to root, because any of them may have been made for it.
func syncParents(path, root string) error {
	for path != root && strings.HasPrefix(path, root) {
		path = filepath.Dir(path)
		if err := syncPath(path); err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

// syncNearest fsyncs dir or, where it has been removed because it became empty, the nearest directory above that is still there.
func syncNearest(dir, root string) error {
	for strings.HasPrefix(dir, root) {
		err := syncPath(dir)
		if !gone(err) {
			return err
		}
		dir = filepath.Dir(dir)
	}
	return nil
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// writeDurably writes a small new file.
func writeDurably(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

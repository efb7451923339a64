package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func (s *S3) Open(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return nil, Info{}, s.fail("open", key, err)
	}
	if out.ContentLength == nil || out.ETag == nil {
		out.Body.Close()
		return nil, Info{}, fmt.Errorf("open s3://%s/%s: the server sent no length or no ETag", s.bucket, key)
	}
	info := Info{Key: key, Size: *out.ContentLength, ETag: *out.ETag, Modified: aws.ToTime(out.LastModified)}
	return &objectReader{ctx: ctx, s3: s, info: info, body: out.Body}, info, nil
}

// objectReader streams one version of an object. When the connection breaks it asks for the rest of the same version and goes on, so that a
// long read survives what a short request would survive by being sent again.
type objectReader struct {
	ctx    context.Context
	s3     *S3
	info   Info
	body   io.ReadCloser // nil after an error
	offset int64         // bytes handed out
	broken int           // consecutive breaks without a byte between
	err    error         // sticky
}

func (r *objectReader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.body == nil {
			r.resume()
			continue
		}
		n, err := r.body.Read(p)
		r.offset += int64(n)
		if n > 0 {
			r.broken = 0
		}
		if err != nil {
			r.finish(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// finish decides what the end of a body means.
func (r *objectReader) finish(err error) {
	switch {
	case r.ctx.Err() != nil:
		r.err = r.ctx.Err()
	case err == io.EOF && r.offset == r.info.Size:
		r.err = io.EOF
	case r.offset >= r.info.Size: // every byte has come, and still it is no clean end: the SDK found the checksum wrong
		r.err = fmt.Errorf("read s3://%s/%s: %w: %w", r.s3.bucket, r.info.Key, ErrIntegrity, err)
	default:
		r.body.Close()
		r.body = nil
		r.broken++
		if r.broken >= attempts {
			r.err = fmt.Errorf("read s3://%s/%s at byte %d: %w: %w", r.s3.bucket, r.info.Key, r.offset, ErrUnreachable, noEOF(err))
			return
		}
		r.err = sleep(r.ctx, r.broken)
	}
}

// resume asks for the bytes from offset on, of the version that was opened and no other.
func (r *objectReader) resume() {
	out, err := r.s3.client.GetObject(r.ctx, &s3.GetObjectInput{
		Bucket: &r.s3.bucket, Key: &r.info.Key, IfMatch: &r.info.ETag, Range: aws.String(fmt.Sprintf("bytes=%d-", r.offset)),
	})
	if err != nil {
		r.err = r.s3.fail("read", r.info.Key, err)
		if errors.Is(r.err, ErrNotFound) {
			r.err = fmt.Errorf("%w: %w", ErrChanged, r.err)
		}
		return
	}
	// A server that ignores If-Match or Range must not slip other bytes in.
	want := fmt.Sprintf("bytes %d-%d/%d", r.offset, r.info.Size-1, r.info.Size)
	if aws.ToString(out.ETag) != r.info.ETag || aws.ToString(out.ContentRange) != want {
		out.Body.Close()
		r.err = fmt.Errorf("read s3://%s/%s at byte %d: %w", r.s3.bucket, r.info.Key, r.offset, ErrChanged)
		return
	}
	r.body = out.Body
}

func (r *objectReader) Close() error {
	if r.body == nil {
		return nil
	}
	err := r.body.Close()
	r.body = nil
	r.err = cmp.Or(r.err, errClosed)
	return err
}

var errClosed = errors.New("read of a closed object")

// noEOF keeps a premature end from looking like a proper one to callers who compare with io.EOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// sleep waits after the n-th failure.
func sleep(ctx context.Context, n int) error {
	t := time.NewTimer(backoff(n))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

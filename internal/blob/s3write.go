package blob

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/sync/errgroup"
)

const (
	partSize    = 16 << 20 // smaller objects go in one request
	uploads     = 3        // parts on their way at once; with the one being filled this bounds the memory of a Create to four parts
	maxParts    = 10_000   // S3's limit: 160 GB an object, far beyond what palate writes in one
	abortWithin = time.Minute
)

func (s *S3) Create(ctx context.Context, key string, r io.Reader, o PutOptions) error {
	head, err := readPart(r, nil, partSize)
	if err != nil && err != io.EOF {
		return s.fail("create", key, err)
	}
	if err == io.EOF {
		encryption, kmsKey := sse(o)
		_, err = s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(head), ServerSideEncryption: encryption, SSEKMSKeyId: kmsKey,
		})
	} else {
		err = s.createInParts(ctx, key, head, r, o)
	}
	if err != nil {
		return s.fail("create", key, notAnObject(err))
	}
	return nil
}

// notAnObject keeps a 404 answer to a write from being taken for a missing object: only the bucket or the upload can be missing.
func notAnObject(err error) error {
	if errors.Is(classify(err), ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNoBucket, err)
	}
	return err
}

// readPart reads up to n bytes into part, which is empty and grows as far as it must; io.EOF says that r has ended, and may come with the last bytes.
func readPart(r io.Reader, part []byte, n int) ([]byte, error) {
	part = slices.Grow(part, min(n, 64<<10))
	part = part[:0:min(cap(part), n)]
	for {
		if len(part) == cap(part) {
			if len(part) == n {
				return part, nil
			}
			part = slices.Grow(part, min(n, 2*len(part))-len(part))
			part = part[:len(part):min(cap(part), n)]
		}
		m, err := r.Read(part[len(part):cap(part)])
		part = part[:len(part)+m]
		if err != nil {
			return part, err
		}
	}
}

// createInParts uploads an object too large for one request. Nothing shows under the key until all parts are there and are joined; on any failure
// the parts are dropped. Parts that a killed process has left are dropped first: an unfinished upload of the very key we write can only be ours.
func (s *S3) createInParts(ctx context.Context, key string, head []byte, r io.Reader, o PutOptions) (err error) {
	if err := s.abortUploads(ctx, key); err != nil && !errors.Is(classify(err), ErrDenied) { // dropping needs a right that writing does not
		return err
	}
	encryption, kmsKey := sse(o)
	upload, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: &key, ServerSideEncryption: encryption, SSEKMSKeyId: kmsKey, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	// If the answer was lost there may be an upload whose id nobody knows: on its way when the caller gave up, or one for each time that the request was sent.
	results, _ := retry.GetAttemptResults(metadataOf(upload))
	lost := err != nil || len(results.Results) > 1
	defer func() {
		if err == nil && !lost {
			return
		}
		// The caller's context may be the reason for the failure; cleaning up must not depend on it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortWithin)
		defer cancel()
		var aborting error
		if upload != nil && err != nil {
			aborting = s.abort(ctx, key, upload.UploadId)
		}
		if lost {
			aborting = errors.Join(aborting, s.abortUploads(ctx, key))
		}
		if err != nil && aborting != nil {
			err = fmt.Errorf("%w (and its parts could not be dropped: %v)", err, aborting)
		}
	}()
	if err != nil {
		return err
	}
	parts, err := s.uploadParts(ctx, key, upload.UploadId, head, r)
	if err != nil {
		return err
	}
	_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: &key, UploadId: upload.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	return err
}

// metadataOf is what the client tells of a request besides its answer.
func metadataOf(out *s3.CreateMultipartUploadOutput) (m middleware.Metadata) {
	if out != nil {
		m = out.ResultMetadata
	}
	return m
}

// uploadParts sends head and then the rest of r, a few parts at a time.
func (s *S3) uploadParts(ctx context.Context, key string, id *string, head []byte, r io.Reader) ([]types.CompletedPart, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	// The memory of parts that have arrived. An earlier attempt that was given up may still be reading it; its checksum then keeps it from being taken for a part.
	free := make(chan []byte, uploads+1)
	var sent []*types.CompletedPart // in order; each is filled in by its own goroutine
	send := func(body []byte) {
		number, slot := int32(len(sent)+1), new(types.CompletedPart)
		sent = append(sent, slot)
		group.Go(func() (err error) {
			if *slot, err = s.uploadPart(ctx, key, id, number, body); err == nil {
				free <- body[:0]
			}
			return err
		})
	}
	send(head)
	var ended error
	for ended == nil && ctx.Err() == nil {
		var part []byte
		select {
		case part = <-free:
		default:
			part = make([]byte, 0, partSize)
		}
		part, ended = readPart(r, part, partSize)
		switch {
		case ended != nil && ended != io.EOF:
		case len(part) > 0 && len(sent) == maxParts:
			ended = fmt.Errorf("it is larger than %d parts of %d bytes", maxParts, partSize)
		case len(part) > 0:
			send(part)
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if ended != io.EOF {
		return nil, cmp.Or(ended, ctx.Err())
	}
	parts := make([]types.CompletedPart, len(sent))
	for i, p := range sent {
		parts[i] = *p
	}
	return parts, nil
}

func (s *S3) uploadPart(ctx context.Context, key string, id *string, number int32, body []byte) (types.CompletedPart, error) {
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: &key, UploadId: id, PartNumber: &number, Body: bytes.NewReader(body), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		return types.CompletedPart{}, err
	}
	return types.CompletedPart{PartNumber: &number, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}, nil
}

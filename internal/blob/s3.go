package blob

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// S3Config says which S3 service to speak to, and as whom.
type S3Config struct {
	Endpoint  string // base URL; "" is Amazon's own for the region
	Region    string
	AccessKey string // "" sends unsigned requests: there is no fallback to credentials that the environment may hold
	SecretKey string
	PathStyle bool // http://endpoint/bucket/key instead of http://bucket.endpoint/key

	// Observe is told of every operation and whether it succeeded, retries included; nil: nobody is.
	Observe func(operation string, err error)
}

// attempts is how often a request is sent before its failure counts, with exponential backoff and full jitter between.
const (
	attempts    = 6
	baseBackoff = 100 * time.Millisecond
	maxBackoff  = 5 * time.Second
)

// S3 is one bucket of an S3 service.
type S3 struct {
	client *s3.Client
	bucket string
}

var _ Store = (*S3)(nil)

// OpenS3 makes a client for one bucket. It sends nothing: a missing bucket, refused credentials or a dead endpoint show at first use.
func OpenS3(_ context.Context, c S3Config, bucket string) (*S3, error) {
	if c.Region == "" {
		return nil, errors.New("open bucket: no region")
	}
	o := s3.Options{
		Region:       c.Region,
		UsePathStyle: c.PathStyle,
		Credentials:  aws.AnonymousCredentials{},
		HTTPClient:   newHTTPClient(),
		Retryer:      newRetryer(),

		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}
	if c.Observe != nil {
		o.APIOptions = append(o.APIOptions, observe(c.Observe))
	}
	if c.Endpoint != "" {
		o.BaseEndpoint = aws.String(c.Endpoint)
		if isLoopback(c.Endpoint) {
			o.APIOptions = append(o.APIOptions, unsignedPayload)
		}
	}
	if c.AccessKey != "" {
		o.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, "")
	}
	return &S3{client: s3.New(o), bucket: bucket}, nil
}

// observe reports each operation when it has ended.
func observe(f func(operation string, err error)) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("observe",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				out, metadata, err := next.HandleInitialize(ctx, in)
				f(middleware.GetOperationName(ctx), err)
				return out, metadata, err
			}), middleware.After)
	}
}

// CreateBucket makes a bucket, unless it is there and ours, and opens it.
func CreateBucket(ctx context.Context, c S3Config, bucket string) (*S3, error) {
	s, err := OpenS3(ctx, c, bucket)
	if err != nil {
		return nil, err
	}
	in := &s3.CreateBucketInput{Bucket: &bucket}
	if c.Region != "us-east-1" { // which S3 does not let one name
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(c.Region)}
	}
	if _, err := s.client.CreateBucket(ctx, in); err != nil && !isCode(err, "BucketAlreadyOwnedByYou") {
		return nil, s.fail("create bucket", "", err)
	}
	return s, nil
}

func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) { return backoff(attempt), nil })
		o.RateLimiter = noRateLimit{} // the default one gives up early when many requests fail at once; attempts is our only limit
	})
}

// backoff is the wait after the n-th failure, from 1: a random time up to a limit that doubles, so that many clients do not return at once.
func backoff(n int) time.Duration {
	return rand.N(min(baseBackoff<<(n-1), maxBackoff))
}

type noRateLimit struct{}

func (noRateLimit) GetToken(context.Context, uint) (func() error, error) { return noToken, nil }
func (noRateLimit) AddTokens(uint) error                                 { return nil }

func noToken() error { return nil }

// newHTTPClient never follows a redirect: whoever answers there is not the server that the operator configured.
func newHTTPClient() *http.Client {
	transport := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = 16
		t.ReadBufferSize, t.WriteBufferSize = 64<<10, 64<<10
		t.ResponseHeaderTimeout = time.Minute
	}).GetTransport()
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// List asks again for a listing that contradicts itself: objects may come and go between its pages.
func (s *S3) List(ctx context.Context, prefix string) ([]Info, error) {
	for n := 1; ; n++ {
		found, err := s.list(ctx, prefix)
		if err != nil {
			return nil, s.fail("list", prefix, err)
		}
		if ascend(found) {
			return found, nil
		}
		if n == attempts {
			return nil, s.fail("list", prefix, ErrListing)
		}
		if err := sleep(ctx, n); err != nil {
			return nil, s.fail("list", prefix, err)
		}
	}
}

// ascend tells whether each key is greater than the one before.
func ascend(found []Info) bool {
	for i := 1; i < len(found); i++ {
		if found[i-1].Key >= found[i].Key {
			return false
		}
	}
	return true
}

func (s *S3) list(ctx context.Context, prefix string) (found []Info, err error) {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix},
		func(o *s3.ListObjectsV2PaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			found = append(found, Info{
				Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), ETag: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified),
			})
		}
	}
	return found, nil
}

// Abandon aborts the multipart uploads of a key.
func (s *S3) Abandon(ctx context.Context, key string) error {
	if err := s.abortUploads(ctx, key); err != nil {
		return s.fail("abandon", key, err)
	}
	return nil
}

func (s *S3) Destroy(ctx context.Context, key string) error {
	if err := s.abortUploads(ctx, key); err != nil {
		return s.fail("destroy", key, err)
	}
	versions, err := s.versions(ctx, key)
	if err != nil {
		return s.fail("destroy", key, err)
	}
	for _, v := range versions {
		if _, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key, VersionId: v}); err != nil {
			return s.fail("destroy", key, err)
		}
	}
	return nil
}

// versions lists the ids of every version and delete marker of one key. Where the service keeps no versions, nil stands for the object itself.
func (s *S3) versions(ctx context.Context, key string) ([]*string, error) {
	var ids []*string
	pages := s3.NewListObjectVersionsPaginator(s.client, &s3.ListObjectVersionsInput{Bucket: &s.bucket, Prefix: &key},
		func(o *s3.ListObjectVersionsPaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if isCode(err, "NotImplemented") {
			return []*string{nil}, nil
		}
		if err != nil {
			return nil, err
		}
		for _, v := range page.Versions {
			if aws.ToString(v.Key) == key {
				ids = append(ids, v.VersionId)
			}
		}
		for _, m := range page.DeleteMarkers {
			if aws.ToString(m.Key) == key {
				ids = append(ids, m.VersionId)
			}
		}
	}
	return ids, nil
}

// abortUploads drops what interrupted multipart uploads of one key have left: parts that no listing of objects shows.
func (s *S3) abortUploads(ctx context.Context, key string) error {
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &key})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			if aws.ToString(u.Key) != key {
				continue
			}
			if err := s.abort(ctx, key, u.UploadId); err != nil {
				return err
			}
		}
	}
	return nil
}

// abort drops one multipart upload. A part that is still on its way at the service can outlive that, so it asks afterwards.
func (s *S3) abort(ctx context.Context, key string, id *string) error {
	for n := 1; ; n++ {
		_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &key, UploadId: id})
		if isCode(err, "NoSuchUpload") {
			return nil
		}
		if err != nil {
			return err
		}
		left, err := s.client.ListParts(ctx, &s3.ListPartsInput{Bucket: &s.bucket, Key: &key, UploadId: id})
		if err != nil || len(left.Parts) == 0 { // mostly NoSuchUpload; to list needs a right of its own
			return nil
		}
		if n == attempts {
			return fmt.Errorf("%d parts outlive their upload", len(left.Parts))
		}
		if err := sleep(ctx, n); err != nil {
			return err
		}
	}
}

// fail says what was done to which object, and adds the sentinel that tells callers what kind of failure it is.
func (s *S3) fail(verb, key string, err error) error {
	if kind := classify(err); kind != nil && !errors.Is(err, kind) {
		return fmt.Errorf("%s s3://%s/%s: %w: %w", verb, s.bucket, key, kind, err)
	}
	return fmt.Errorf("%s s3://%s/%s: %w", verb, s.bucket, key, err)
}

func classify(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	var coded smithy.APIError
	if errors.As(err, &coded) {
		switch coded.ErrorCode() {
		case "NoSuchBucket":
			return ErrNoBucket
		case "NoSuchKey", "NotFound", "NoSuchVersion":
			return ErrNotFound
		case "NoSuchUpload": // somebody aborted it, or the answer to its completion was lost: worth another attempt at the whole
			return nil
		case "PreconditionFailed", "InvalidRange":
			return ErrChanged
		case "KeyTooLongError", "ObjectParentIsFile", "ExistingObjectIsDirectory", "DirectoryObjectContainsData": // the last three: versitygw, on files
			return ErrKey
		case "InsufficientStorage", "XMinioStorageFull", "QuotaExceeded": // the embedded S3's and versitygw's; MinIO; Ceph
			return ErrFull
		case "AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
			"Forbidden", "AccountProblem", "RequestTimeTooSkewed", "KMS.AccessDeniedException":
			return ErrDenied
		}
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		switch status := response.HTTPStatusCode(); {
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			return ErrDenied
		case status == http.StatusNotFound:
			return ErrNotFound
		case status == http.StatusPreconditionFailed:
			return ErrChanged
		case status == http.StatusInsufficientStorage:
			return ErrFull
		case status >= 500:
			return ErrUnreachable
		case status >= 400:
			return ErrRefused
		}
	}
	var unsent *smithyhttp.RequestSendError
	if errors.As(err, &unsent) {
		return ErrUnreachable
	}
	return nil
}

func isCode(err error, code string) bool {
	var coded smithy.APIError
	return errors.As(err, &coded) && coded.ErrorCode() == code
}

// sse fills in the encryption that a PutOptions asks for.
func sse(o PutOptions) (types.ServerSideEncryption, *string) {
	if o.KMSKeyARN == "" {
		return "", nil
	}
	return types.ServerSideEncryptionAwsKms, &o.KMSKeyARN
}

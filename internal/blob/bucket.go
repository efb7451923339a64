package blob

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// CreateBucket makes the bucket, if it is not there already, and opens it.
func CreateBucket(ctx context.Context, c S3Config, bucket string) (*S3, error) {
	s, err := OpenS3(ctx, c, bucket)
	if err != nil {
		return nil, err
	}
	_, err = s.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket})
	var owned *types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &owned) {
		return nil, fmt.Errorf("create bucket: %w", err)
	}
	return s, nil
}

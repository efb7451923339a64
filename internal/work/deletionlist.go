package work

import (
	"context"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/userset"
)

// ReadDeletionList reads the list of a data deletion from S3 by the rules of the job.
func ReadDeletionList(ctx context.Context, location string, limits quota.Limits, bucket func(ctx context.Context, name string) (blob.Store, error)) (*userset.Set, error) {
	e := &erasureRun{worker: &worker{Options: Options{Bucket: bucket, Limits: limits}}}
	_, err := e.readList(ctx, location)
	return e.users, err
}

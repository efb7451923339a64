package gateway

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/s3api/utils"
)

// policyAttribute is where bucket policies are kept while any credentials are accepted. versitygw, which looks elsewhere, never sees them.
const policyAttribute = "palate-policy"

// policies answers the requests for a bucket's policy where every request is the owner's anyway. Setting up Amazon Personalize begins with a policy
// that admits the service personalize.amazonaws.com; versitygw knows no services and refuses it. So here a policy is kept and given back, nothing more.
type policies struct {
	attributes meta.MetadataStorer
	files      *durable
}

// isPolicy tells requests for a bucket's policy from all others.
func isPolicy(r *http.Request) bool {
	return r.URL.Query().Has("policy") && objectKey(r.URL.Path) == ""
}

func (p *policies) serve(r *http.Request) (status int, document []byte, err error) {
	bucket := bucketName(r.URL.Path)
	if !utils.IsValidBucketName(bucket) {
		return 0, nil, errNoSuchBucket
	}
	if _, err := p.files.HeadBucket(r.Context(), &s3.HeadBucketInput{Bucket: &bucket}); err != nil {
		return 0, nil, errNoSuchBucket
	}
	switch r.Method {
	case http.MethodGet:
		document, err = p.attributes.RetrieveAttribute(nil, bucket, "", policyAttribute)
		if errors.Is(err, meta.ErrNoSuchKey) {
			err = &s3Error{http.StatusNotFound, "NoSuchBucketPolicy", "The bucket policy does not exist"}
		}
		return http.StatusOK, document, err
	case http.MethodPut:
		if document, err = takeBody(r); err != nil {
			return 0, nil, err
		}
		var policy struct{ Statement []json.RawMessage }
		if json.Unmarshal(document, &policy) != nil || len(policy.Statement) == 0 {
			return 0, nil, &s3Error{http.StatusBadRequest, "MalformedPolicy", "Policies must be valid JSON with a list of statements"}
		}
		return http.StatusNoContent, nil, p.attributes.StoreAttribute(nil, bucket, "", policyAttribute, document)
	case http.MethodDelete:
		err = p.attributes.DeleteAttribute(bucket, "", policyAttribute)
		if errors.Is(err, meta.ErrNoSuchKey) {
			err = nil
		}
		return http.StatusNoContent, nil, err
	}
	return 0, nil, &s3Error{http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource."}
}

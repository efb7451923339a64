// Package signed makes requests to the API as the vendor's clients do: JSON, signed with Signature Version 4 as personalize. palate's own commands, tests and benchmarks send
// them where a whole client would only be in the way.
package signed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Caller is who asks, and in which region.
type Caller struct {
	Credentials aws.Credentials
	Region      string // "" is us-east-1
}

// With returns a caller with long-lived keys.
func With(accessKey, secretKey string) Caller {
	return Caller{Credentials: aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}}
}

// Request makes a request of the runtime, or with records: their paths tell the operation. An error is about the URL.
func (c Caller) Request(ctx context.Context, url string, body []byte) (*http.Request, error) {
	return c.request(ctx, url, body, "application/json", "")
}

// Control makes a request of the control plane; operation is its name.
func (c Caller) Control(ctx context.Context, url, operation string, body []byte) (*http.Request, error) {
	return c.request(ctx, url, body, "application/x-amz-json-1.1", "AmazonPersonalize."+operation)
}

func (c Caller) request(ctx context.Context, url string, body []byte, contentType, target string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	region := c.Region
	if region == "" {
		region = "us-east-1"
	}
	hash := sha256.Sum256(body)
	return req, v4.NewSigner().SignHTTP(ctx, c.Credentials, req, hex.EncodeToString(hash[:]), "personalize", region, time.Now())
}

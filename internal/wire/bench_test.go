package wire

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/palate-dev/palate/internal/api"
)

// BenchmarkSignedRequest is the price of this package for a signed request of the runtime: everything between net/http and the operation, which does nothing here.
func BenchmarkSignedRequest(b *testing.B) {
	const body = `{"campaignArn":"arn:aws:personalize:us-east-1:000000000000:campaign/items-10000-recommend","userId":"user-00000001","numResults":25}`
	op := api.Operation{Name: "GetRecommendations", Method: "POST", Path: "/recommendations", Call: func(context.Context, []byte) (any, error) {
		return &api.GetRecommendationsResponse{ItemList: []api.PredictedItem{{ItemID: "item-1"}}, RecommendationID: "r"}, nil
	}}
	h := New(Options{Operations: []api.Operation{op}, Account: "000000000000", Credentials: keys, Bounds: map[string]int{op.Name: 256}})
	r, err := http.NewRequest(op.Method, "http://127.0.0.1:4725"+op.Path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: keys["AKID"]}, r, hexHash([]byte(body)), "personalize", "us-east-1", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	var sent bytes.Buffer
	if err := r.Write(&sent); err != nil {
		b.Fatal(err)
	}
	r = arrived(b, sent.Bytes())
	w := &discarded{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		r.Body = io.NopCloser(strings.NewReader(body))
		h.ServeHTTP(w, r)
	}
	if w.status != http.StatusOK {
		b.Fatalf("answered %d", w.status)
	}
}

// discarded is a response that nobody reads.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/api"
)

// A client calls the three services at one endpoint. It sends no signature: the demo's server listens on loopback and accepts any credentials.
type client struct {
	endpoint string
	http     http.Client
}

// control calls one operation of the control plane and decodes its answer into out.
func (c *client) control(ctx context.Context, operation string, in, out any) error {
	return c.post(ctx, "/", map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonPersonalize." + operation}, in, out)
}

// rest calls an operation of the runtime or of the events service by its path.
func (c *client) rest(ctx context.Context, path string, in, out any) error {
	return c.post(ctx, path, map[string]string{"Content-Type": "application/json"}, in, out)
}

func (c *client) post(ctx context.Context, path string, header map[string]string, in, out any) error {
	body, err := api.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		json.Unmarshal(text, &e) // what is no JSON shows as the bare status
		return fmt.Errorf("%s: %s %s", resp.Status, e.Type, e.Message)
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, out)
}

// A state is what every Describe tells about progress.
type state struct {
	Status        string `json:"status"`
	FailureReason string `json:"failureReason"`
	NumDeleted    *int   `json:"numDeleted"`
}

// wait polls a Describe operation until the resource is done. operation "DescribeDataset" answers {"dataset": {...}} for {"datasetArn": arn}.
func (c *client) wait(ctx context.Context, operation, arn string) (s state, err error) {
	noun := strings.TrimPrefix(operation, "Describe")
	noun = strings.ToLower(noun[:1]) + noun[1:]
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		answer := map[string]state{}
		if err := c.control(ctx, operation, map[string]string{noun + "Arn": arn}, &answer); err != nil {
			return s, err
		}
		switch s = answer[noun]; {
		case s.Status == "ACTIVE", s.Status == "COMPLETED":
			return s, nil
		case strings.HasSuffix(s.Status, "FAILED"):
			return s, errors.New(s.FailureReason)
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-tick.C:
		}
	}
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/signed"
)

// M is a JSON object.
type M = map[string]any

// An APIError is an error answer as a client sees it.
type APIError struct {
	Status        int
	Code, Message string
}

func (e *APIError) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message) }

// paths of the operations that are not sent to "/".
var paths = map[string]string{
	"GetRecommendations": "/recommendations", "GetPersonalizedRanking": "/personalize-ranking", "GetActionRecommendations": "/action-recommendations",
	"PutEvents": "/events", "PutItems": "/items", "PutUsers": "/users", "PutActions": "/actions", "PutActionInteractions": "/action-interactions",
}

var failureReason = regexp.MustCompile(`"failureReason":"([^"\\]|\\.)*"`)

// Call sends one operation, signed, and returns its answer. An error answer is an *APIError; anything else is a failure of the connection.
func (s *Server) Call(operation string, in any) (M, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	caller := signed.With(s.AccessKey, s.SecretKey)
	req, err := caller.Control(ctx, s.URL, operation, body)
	if path := paths[operation]; path != "" {
		req, err = caller.Request(ctx, s.URL+path, body)
	}
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	for _, reason := range failureReason.FindAllString(string(text), -1) {
		s.said(reason)
	}
	out := M{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			return nil, fmt.Errorf("%s answered what is no JSON object: %q", operation, text)
		}
	}
	if resp.StatusCode != http.StatusOK {
		e := &APIError{Status: resp.StatusCode}
		e.Code, _ = out["__type"].(string)
		e.Message, _ = out["message"].(string)
		s.said(e.Message)
		return nil, e
	}
	return out, nil
}

// Must is Call for an operation that has to succeed.
func (s *Server) Must(operation string, in any) M {
	s.t.Helper()
	out, err := s.Call(operation, in)
	if err != nil {
		s.t.Fatalf("%s: %v", operation, err)
	}
	return out
}

// Make calls a Create operation and waits until the resource is usable. noun is the response's name for it: Make("CreateDataset", "dataset", ...) reads datasetArn.
func (s *Server) Make(operation, noun string, in any) (arn string) {
	s.t.Helper()
	arn, _ = s.Must(operation, in)[noun+"Arn"].(string)
	if arn == "" {
		s.t.Fatalf("%s answered no %sArn", operation, noun)
	}
	if d := s.Wait(noun, arn); d["status"] != "ACTIVE" {
		s.t.Fatalf("%s ended %v: %v", operation, d["status"], d["failureReason"])
	}
	return arn
}

// Describe reads a resource by the noun of its Describe operation.
func (s *Server) Describe(noun, arn string) (M, error) {
	out, err := s.Call("Describe"+strings.ToUpper(noun[:1])+noun[1:], M{noun + "Arn": arn})
	if err != nil {
		return nil, err
	}
	d, _ := out[noun].(M)
	return d, nil
}

// Wait polls a resource until its status is final and returns its last description. It rides out a server that is down for a moment.
func (s *Server) Wait(noun, arn string) M {
	s.t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for time.Now().Before(deadline) {
		d, err := s.Describe(noun, arn)
		var answered *APIError
		if errors.As(err, &answered) {
			s.t.Fatalf("describe %s: %v", arn, err)
		}
		if status, _ := d["status"].(string); err == nil && final(status) {
			return d
		}
		<-time.After(10 * time.Millisecond)
	}
	s.t.Fatalf("%s was not done after five minutes", arn)
	return nil
}

// final reports whether a status is one that stays.
func final(status string) bool {
	switch status {
	case "ACTIVE", "COMPLETED", "INACTIVE":
		return true
	}
	return strings.HasSuffix(status, "FAILED") || strings.HasSuffix(status, "STOPPED")
}

// Bucket makes and opens a bucket of the embedded S3.
func (s *Server) Bucket(name string) blob.Store {
	s.t.Helper()
	b, err := blob.CreateBucket(context.Background(), blob.S3Config{Endpoint: s.URL, Region: "us-east-1", AccessKey: s.AccessKey, SecretKey: s.SecretKey, PathStyle: true}, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// Upload stores one object.
func (s *Server) Upload(b blob.Store, key, text string) {
	s.t.Helper()
	if err := b.Create(context.Background(), key, strings.NewReader(text), blob.PutOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// Download reads all objects below a prefix, in order of their keys.
func (s *Server) Download(b blob.Store, prefix string) (texts []string) {
	s.t.Helper()
	ctx := context.Background()
	found, err := b.List(ctx, prefix)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, info := range found {
		r, _, err := b.Open(ctx, info.Key)
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			s.t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

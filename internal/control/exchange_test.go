package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
)

// exchange is one call as it comes over the wire, and what must be answered. In bodies and parts ~ stands for the caller's ARN prefix.
type exchange struct {
	op, body string
	code     api.Code // "" = success
	part     string   // of the message
}

// call sends a request through the operation table, so that shapes are checked as for a real client. Any error is an api.Error.
func (s *studio) call(ctx context.Context, op, body string) (answer map[string]any, fault *api.Error) {
	s.t.Helper()
	ops := api.PersonalizeOperations(s.Service)
	i := slices.IndexFunc(ops, func(o api.Operation) bool { return o.Name == op })
	if i < 0 {
		s.t.Fatal("no operation", op)
	}
	out, err := ops[i].Call(ctx, []byte(strings.ReplaceAll(body, "~", inRegion)))
	if err != nil {
		if !errors.As(err, &fault) {
			s.t.Fatalf("%s %s: a fault of ours: %v", op, body, err)
		}
		return nil, fault
	}
	text, err := api.Marshal(out)
	s.must(err)
	s.must(json.Unmarshal(text, &answer))
	return answer, nil
}

// ok is a call that must succeed.
func (s *studio) ok(op, body string) map[string]any {
	s.t.Helper()
	answer, fault := s.call(s.ctx, op, body)
	if fault != nil {
		s.t.Fatalf("%s %s: %v", op, body, fault)
	}
	return answer
}

// exchanges makes the calls in order.
func (s *studio) exchanges(all ...exchange) {
	s.t.Helper()
	for _, x := range all {
		_, fault := s.call(s.ctx, x.op, x.body)
		switch part := strings.ReplaceAll(x.part, "~", inRegion); {
		case x.code == "" && fault != nil:
			s.t.Errorf("%s %s: %v", x.op, x.body, fault)
		case x.code != "" && fault == nil:
			s.t.Errorf("%s %s: succeeded, want %s", x.op, x.body, x.code)
		case x.code != "" && (fault.Code != x.code || !strings.Contains(fault.Message, part)):
			s.t.Errorf("%s %s: %v, want %s with %q", x.op, x.body, fault, x.code, part)
		}
	}
}

// describes checks the answer of a Describe operation, member by member. Times must be there; their values do not matter here.
func (s *studio) describes(op, body, member, wantJSON string) {
	s.t.Helper()
	got, ok := s.ok(op, body)[member].(map[string]any)
	if !ok {
		s.t.Fatalf("%s %s has no %s", op, body, member)
	}
	for _, name := range []string{"creationDateTime", "lastUpdatedDateTime"} {
		if at, _ := got[name].(float64); at < 1e9 {
			s.t.Errorf("%s %s: %s is %v", op, body, name, got[name])
		}
		delete(got, name)
	}
	var want map[string]any
	s.must(json.Unmarshal([]byte(strings.ReplaceAll(wantJSON, "~", inRegion)), &want))
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s %s (-want +got):\n%s", op, body, diff)
	}
}

// listed returns the names in a list.
func (s *studio) listed(op, body, key, name string) (names []string) {
	s.t.Helper()
	for _, summary := range s.ok(op, body)[key].([]any) {
		names = append(names, summary.(map[string]any)[name].(string))
	}
	return names
}

// as returns a context of another caller.
func as(t *testing.T, region, account string) context.Context {
	return api.WithCaller(t.Context(), api.Caller{Partition: "aws", Region: region, Account: account})
}

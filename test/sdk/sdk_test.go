package sdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
	"github.com/palate-dev/palate/test/sdk"
)

// newer are the members that the client does not know yet.
var newer = []string{"performIncrementalUpdate", "latestSolutionUpdate", "eventsConfig", "rankingInfluence", "includedDatasetColumns"}

// plain turns a structure of the client or of package api into what JSON would make of it, without newer members.
func plain(v reflect.Value) any {
	switch t := v.Interface().(type) {
	case time.Time:
		return float64(t.UnixMilli()) / 1000
	case api.Time:
		return float64(t.UnixMilli()) / 1000
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Struct:
		return plainStruct(v)
	case reflect.Slice:
		list := []any{}
		for i := range v.Len() {
			list = append(list, plain(v.Index(i)))
		}
		return list
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.Interface { // JSON in a string
			text, _ := json.Marshal(v.Interface())
			return string(text)
		}
		m := map[string]any{}
		for _, k := range v.MapKeys() {
			m[k.String()] = plain(v.MapIndex(k))
		}
		return m
	case reflect.Int, reflect.Int64:
		return float64(v.Int())
	default:
		return v.Interface()
	}
}

func plainStruct(v reflect.Value) any {
	m := map[string]any{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		name := f.Tag.Get("locationName")
		if name == "" {
			name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
		}
		if name == "" { // Filters, which the client calls as the wire does
			name = f.Name
		}
		if !slices.Contains(newer, name) {
			m[name] = plain(v.Field(i))
		}
	}
	return m
}

func clients(t *testing.T, seen func(string, any)) sdk.Clients {
	t.Helper()
	server := httptest.NewServer(sdk.Reflecting(seen, nil))
	t.Cleanup(server.Close)
	c, err := sdk.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEveryMemberCrossesTheWireBothWays calls all operations that the client has. The server must see all that the client was given, and the
// client must decode all that the server answered.
func TestEveryMemberCrossesTheWireBothWays(t *testing.T) {
	var arrived any
	calls := clients(t, func(_ string, in any) { arrived = in }).Calls()
	if len(calls) != 78 {
		t.Fatalf("the clients have %d operations, want 78", len(calls))
	}
	for _, c := range calls {
		out, err := c.Do(context.Background())
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if diff := cmp.Diff(plain(reflect.ValueOf(c.In)), plain(reflect.ValueOf(arrived))); diff != "" {
			t.Errorf("%s (-sent +arrived):\n%s", c.Name, diff)
		}
		want := apitest.Response(c.Name)
		if diff := cmp.Diff(plain(reflect.ValueOf(want)), plain(reflect.ValueOf(out))); diff != "" {
			t.Errorf("%s (-answered +decoded):\n%s", c.Name, diff)
		}
	}
}

// exceptions are those of each service's model, with the status that the client sees.
var exceptions = map[string]map[api.Code]int{
	"personalize": {
		api.InvalidInput: 400, api.InvalidNextToken: 400, api.LimitExceeded: 400, api.ResourceAlreadyExists: 400, api.ResourceInUse: 400,
		api.ResourceNotFound: 400, api.TooManyTagKeys: 400, api.TooManyTags: 400,
	},
	"personalize-runtime": {api.InvalidInput: 400, api.ResourceNotFound: 404},
	"personalize-events":  {api.InvalidInput: 400, api.ResourceInUse: 409, api.ResourceNotFound: 404},
}

func TestEveryExceptionIsTypedForEveryOperation(t *testing.T) {
	for _, c := range clients(t, nil).Calls() {
		for code, status := range exceptions[c.Service] {
			_, err := c.Do(context.Background(), request.WithSetRequestHeaders(map[string]string{sdk.ErrorHeader: string(code)}))
			var failure awserr.RequestFailure
			if !errors.As(err, &failure) {
				t.Fatalf("%s %s: %v", c.Name, code, err)
			}
			if typ := reflect.TypeOf(err).Elem().Name(); typ != string(code) || failure.Code() != string(code) {
				t.Errorf("%s: %s is decoded as %s with code %s", c.Name, code, typ, failure.Code())
			}
			if failure.Message() != sdk.Message || failure.StatusCode() != status || failure.RequestID() == "" {
				t.Errorf("%s %s: message %q, status %d, request %q", c.Name, code, failure.Message(), failure.StatusCode(), failure.RequestID())
			}
		}
	}
}

func TestFaultsAreServerFaultsToTheClient(t *testing.T) {
	for _, c := range clients(t, nil).Calls() {
		_, err := c.Do(context.Background(), request.WithSetRequestHeaders(map[string]string{sdk.ErrorHeader: string(api.InternalFailure)}))
		var failure awserr.RequestFailure
		if !errors.As(err, &failure) || failure.StatusCode() != 500 || failure.Code() != "InternalFailure" {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

func TestAWrongSecretIsRefused(t *testing.T) {
	server := httptest.NewServer(sdk.Reflecting(nil, nil))
	defer server.Close()
	c, err := sdk.New(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range c.Calls() {
		_, err := call.Do(context.Background(), func(r *request.Request) {
			r.Handlers.Sign.PushBack(func(r *request.Request) { // after the signature
				r.HTTPRequest.Header.Set("Authorization", r.HTTPRequest.Header.Get("Authorization")+"0")
			})
		})
		var failure awserr.RequestFailure
		if !errors.As(err, &failure) || failure.Code() != "InvalidSignatureException" {
			t.Errorf("%s: %v", call.Name, err)
		}
	}
}

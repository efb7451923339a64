// Package sdk calls a palate server with the AWS SDK for Go, as its users would: the published clients, an endpoint and static credentials,
// nothing else. The clients know 78 of the 79 operations; UpdateSolution is newer than they are.
package sdk

//lint:file-ignore SA1019 version 1 of the SDK is what customers still run, and the only Go client of all three services: it is tested because it is old.

import (
	"context"
	"fmt"
	"reflect"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/personalize"
	"github.com/aws/aws-sdk-go/service/personalizeevents"
	"github.com/aws/aws-sdk-go/service/personalizeruntime"

	"github.com/palate-dev/palate/internal/api/apitest"
)

// The credentials of New, for a server that verifies signatures.
const (
	AccessKey = "AKIDEXAMPLE"
	SecretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// Clients are the three clients of one server.
type Clients struct {
	Personalize *personalize.Personalize
	Runtime     *personalizeruntime.PersonalizeRuntime
	Events      *personalizeevents.PersonalizeEvents
}

// New returns clients of the server at endpoint, such as http://127.0.0.1:4725. They do not retry, so a test sees each answer.
func New(endpoint string) (Clients, error) {
	s, err := session.NewSession(&aws.Config{
		Endpoint:    aws.String(endpoint),
		Region:      aws.String("us-east-1"),
		Credentials: credentials.NewStaticCredentials(AccessKey, SecretKey, ""),
		MaxRetries:  aws.Int(0),
	})
	if err != nil {
		return Clients{}, fmt.Errorf("configure clients of %s: %w", endpoint, err)
	}
	return Clients{personalize.New(s), personalizeruntime.New(s), personalizeevents.New(s)}, nil
}

// Call is one operation with a request in which every member that the client knows has a legal value.
type Call struct {
	Service string // the client's name of it: "personalizeevents"
	Name    string
	In      any

	method reflect.Value // NameWithContext of the client
}

// Calls returns a call of every operation that the clients have.
func (c Clients) Calls() []Call {
	var calls []Call
	for _, client := range []struct {
		service string
		value   any
	}{{personalize.EndpointsID, c.Personalize}, {personalizeruntime.EndpointsID, c.Runtime}, {personalizeevents.EndpointsID, c.Events}} {
		v := reflect.ValueOf(client.value)
		for i := range v.NumMethod() {
			name := v.Type().Method(i).Name
			method := v.MethodByName(name + "WithContext")
			if !method.IsValid() || method.Type().NumIn() != 3 || !method.Type().IsVariadic() || method.Type().NumOut() != 2 {
				continue // not an operation: its request builder, its paginator, ...
			}
			in := reflect.New(method.Type().In(1).Elem()).Interface()
			apitest.Fill(in)
			calls = append(calls, Call{Service: client.service, Name: name, In: in, method: method})
		}
	}
	return calls
}

// Do sends the request and returns the client's output and error.
func (c Call) Do(ctx context.Context, options ...request.Option) (out any, err error) {
	args := []reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(c.In)}
	for _, o := range options {
		args = append(args, reflect.ValueOf(o))
	}
	results := c.method.Call(args)
	err, _ = results[1].Interface().(error)
	return results[0].Interface(), err
}

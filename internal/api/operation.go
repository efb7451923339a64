package api

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
)

// Operation is one row of the tables that bind the service to the wire.
type Operation struct {
	Name     string
	Method   string
	Path     string
	Target   string       // X-Amz-Target of a JSON 1.1 operation; "" for REST JSON, where method and path tell it
	Empty    bool         // the service answers without a body
	Statuses map[Code]int // the HTTP status of each modelled exception

	// Call checks and decodes body, runs the operation and returns its response, ready for Marshal.
	// An error is an *Error if the client is to see it.
	Call func(ctx context.Context, body []byte) (any, error)
}

// service is what all operations of one service share.
type service struct {
	shapes   map[string]shape
	statuses map[Code]int
}

// op binds a method of a service. Its request is checked against the shape of its name before the method sees it.
func op[In, Out any](s service, name, method, path, target string, f func(context.Context, *In) (*Out, error)) Operation {
	request := link(s.shapes, name+"Request", reflect.TypeFor[In]())
	call := func(ctx context.Context, body []byte) (any, error) {
		in := new(In)
		if err := request.decode(body, in); err != nil {
			return nil, err
		}
		out, err := f(ctx, in)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = new(Out)
		}
		fillCollections(reflect.ValueOf(out).Elem())
		return out, nil
	}
	return Operation{Name: name, Method: method, Path: path, Target: target, Statuses: s.statuses, Call: call}
}

// opEmpty binds a method whose answer has no body.
func opEmpty[In, Out any](s service, name, method, path, target string, f func(context.Context, *In) (*Out, error)) Operation {
	o := op(s, name, method, path, target, f)
	o.Empty = true
	return o
}

// fillCollections gives the lists and maps at the top of a response a value: an empty List answers [], because clients index it unasked.
func fillCollections(response reflect.Value) {
	for i := range response.NumField() {
		switch f := response.Field(i); {
		case f.Kind() == reflect.Slice && f.IsNil():
			f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		case f.Kind() == reflect.Map && f.IsNil():
			f.Set(reflect.MakeMap(f.Type()))
		}
	}
}

// Marshal writes v as the wire has it: members in the order of the model, and < > & as they are.
func Marshal(v any) ([]byte, error) {
	if text, ok := marshalItems(v); ok {
		return text, nil
	}
	return marshalPlain(v)
}

func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

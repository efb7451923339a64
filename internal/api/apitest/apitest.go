// Package apitest has one implementation of the three services for tests of what lies around them: the wire, and clients.
//
// Fill gives every member of a structure a value, by reflection, so that a test can show that nothing is lost on the way without naming 221 structures.
// It is not a fake of the service: it keeps no state and knows no rule.
package apitest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/api"
)

// Func implements the three services: it gets the operation's name, the request, and an empty response to fill.
type Func func(ctx context.Context, operation string, in, out any) error

var (
	_ api.Personalize        = Func(nil)
	_ api.PersonalizeRuntime = Func(nil)
	_ api.PersonalizeEvents  = Func(nil)
)

func call[Out any](ctx context.Context, f Func, operation string, in any) (*Out, error) {
	out := new(Out)
	if err := f(ctx, operation, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Operations are all operations, answered by f.
func Operations(f Func) []api.Operation {
	all := api.PersonalizeOperations(f)
	all = append(all, api.PersonalizeRuntimeOperations(f)...)
	return append(all, api.PersonalizeEventsOperations(f)...)
}

// Request returns a request of the named operation in which every member has a value that the model allows.
func Request(operation string) any { return filled(method(operation).In(1)) }

// Response returns a response in which every member has a value.
func Response(operation string) any { return filled(method(operation).Out(0)) }

func filled(pointer reflect.Type) any {
	v := reflect.New(pointer.Elem()).Interface()
	Fill(v)
	return v
}

// method is the type of an operation's method.
func method(operation string) reflect.Type {
	for _, t := range []reflect.Type{reflect.TypeFor[api.Personalize](), reflect.TypeFor[api.PersonalizeRuntime](), reflect.TypeFor[api.PersonalizeEvents]()} {
		if m, ok := t.MethodByName(operation); ok {
			return m.Type
		}
	}
	panic("no operation " + operation)
}

// FixedTime is the value of every timestamp.
var FixedTime = api.NewTime(time.UnixMilli(1542392161262))

// Fill puts a value that the model allows into every member below v, which is a pointer to a structure of package api, or of another client with
// exported fields whose tag json or locationName names the member.
func Fill(v any) { fill(reflect.ValueOf(v).Elem(), "") }

func fill(v reflect.Value, name string) {
	switch v.Interface().(type) {
	case api.Time:
		v.Set(reflect.ValueOf(FixedTime))
		return
	case time.Time:
		v.Set(reflect.ValueOf(FixedTime.Time))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text(name))
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(0.0625)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), name)
	case reflect.Map:
		fillMap(v, name)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				fill(v.Field(i), memberName(f))
			}
		}
	default:
		panic(fmt.Sprintf("no value for %s", v.Type()))
	}
}

func memberName(f reflect.StructField) string {
	if name := f.Tag.Get("locationName"); name != "" {
		return name
	}
	if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
		return name
	}
	return f.Name
}

// fillMap also knows the clients that take a string of JSON as a map of anything.
func fillMap(v reflect.Value, name string) {
	if v.Type().Elem().Kind() == reflect.Interface {
		if err := json.Unmarshal([]byte(text(name)), v.Addr().Interface()); err != nil {
			panic(err) // the text is our own
		}
		return
	}
	item := reflect.New(v.Type().Elem()).Elem()
	fill(item, name)
	v.Set(reflect.MakeMap(v.Type()))
	v.SetMapIndex(reflect.ValueOf(key(name)), item)
}

// restricted are the values of members whose pattern or enum does not allow their own name.
var restricted = map[string]string{
	"batchInferenceJobMode": "THEME_GENERATION",
	"dataLocation":          "s3://bucket/key",
	"domain":                "VIDEO_ON_DEMAND",
	"importMode":            "INCREMENTAL",
	"ingestionMode":         "BULK",
	"kmsKeyArn":             "arn:aws:kms:us-east-1:000000000000:key/k",
	"objectiveSensitivity":  "MEDIUM",
	"path":                  "s3://bucket/key",
	"properties":            `{"itemId":"5"}`,
	"recipeProvider":        "SERVICE",
	"roleArn":               "arn:aws:iam::000000000000:role/r",
	"schedulingExpression":  "rate(3 days)",
	"trainingMode":          "UPDATE",
	"trainingType":          "AUTOMATIC",
}

// text is the value of a string: its member's own name where the model allows it, so that a swapped member shows.
func text(member string) string {
	if v, ok := restricted[member]; ok {
		return v
	}
	if resource, ok := strings.CutSuffix(member, "Arn"); ok {
		return "arn:aws:personalize:us-east-1:000000000000:" + resource + "/x"
	}
	if member == "recipeList" {
		return "arn:aws:personalize:::recipe/x"
	}
	return member
}

func key(member string) string {
	if member == "rankingInfluence" {
		return "FRESHNESS"
	}
	return "key"
}

package apitest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/palate-dev/palate/internal/api"
)

// Plain turns a structure that Fill can fill into maps, lists, strings, booleans and float64, named as on the wire, so that the types of two clients can be
// compared. A timestamp becomes {"$date": milliseconds}, which tells it from a number. Absent members are left out.
func Plain(v any) any { return plain(reflect.ValueOf(v)) }

func plain(v reflect.Value) any {
	switch t := v.Interface().(type) {
	case time.Time:
		return map[string]any{"$date": float64(t.UnixMilli())}
	case api.Time:
		return map[string]any{"$date": float64(t.UnixMilli())}
	}
	switch v.Kind() {
	case reflect.Pointer:
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
		return plainMap(v)
	case reflect.Int, reflect.Int64:
		return float64(v.Int())
	case reflect.String, reflect.Bool, reflect.Float64:
		return v.Interface()
	default:
		panic(fmt.Sprintf("no plain form of %s", v.Type()))
	}
}

func plainStruct(v reflect.Value) any {
	m := make(map[string]any)
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && !v.Field(i).IsZero() {
			m[memberName(f)] = plain(v.Field(i))
		}
	}
	return m
}

func plainMap(v reflect.Value) any {
	if v.Type().Elem().Kind() == reflect.Interface { // a string of JSON to the wire
		text, err := json.Marshal(v.Interface())
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	m := make(map[string]any)
	for _, k := range v.MapKeys() {
		m[k.String()] = plain(v.MapIndex(k))
	}
	return m
}

package api

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plain turns a parsed value into what encoding/json makes of the same text.
func (v *value) plain() any {
	switch v.kind {
	case boolValue:
		return v.text == "true"
	case numberValue:
		return json.Number(v.text)
	case stringValue:
		return v.text
	case arrayValue:
		list := []any{}
		for i := range v.items {
			list = append(list, v.items[i].plain())
		}
		return list
	case objectValue:
		object := map[string]any{}
		for i := range v.items {
			object[v.names[i]] = v.items[i].plain()
		}
		return object
	default:
		return nil
	}
}

// FuzzParse shows that whatever parse accepts, encoding/json accepts with the same meaning.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-2.5e+3,null,true,"x\u00e4\ud83d\ude00\n"],"b":{}}`, `[`, `{"a":1,"a":2}`, `"\ud800"`, `01`, ` 1 `} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parse(text)
		if err != nil {
			return
		}
		var want any
		if err := unmarshalNumbers(text, &want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", text, err)
		}
		if diff := cmp.Diff(want, v.plain()); diff != "" {
			t.Errorf("%q:\n%s", text, diff)
		}
	})
}

func TestParseAcceptsWhatMarshalWrites(t *testing.T) {
	for _, text := range []string{`null`, `true`, `-0`, `0.5e-7`, `"\"\\\/\b\f\n\r\t"`, `[[],{},[{}]]`} {
		v, err := parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var want any
		if err := unmarshalNumbers([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, v.plain()); diff != "" {
			t.Error(diff)
		}
	}
}

func unmarshalNumbers(text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec.Decode(v)
}

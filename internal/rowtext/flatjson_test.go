package rowtext

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// membersPlainly is what flatReader must read, by encoding/json's token stream.
func membersPlainly(text string) (members []string, ok bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		value, err := d.Token()
		if _, nested := value.(json.Delim); err != nil || nested {
			return nil, false
		}
		members = append(members, fmt.Sprintf("%s %T %v", name, value, value))
	}
	if _, err := d.Token(); err != nil {
		return nil, false
	}
	_, err := d.Token()
	return members, err == io.EOF
}

func membersQuickly(text string) (members []string, ok bool) {
	r := flatReader{s: text}
	if !r.open() {
		return nil, false
	}
	for first := true; ; first = false {
		at := r.at
		name, more, err := r.more(first)
		if err != nil || !more {
			return members, err == nil
		}
		v, err := r.value()
		if err != nil {
			return nil, false
		}
		kind := "string"
		switch written := strings.TrimRight(r.s[at:r.at], " "); {
		case v.null:
			kind, v.text = "<nil>", "<nil>"
		case v.number:
			kind = "json.Number"
		case !strings.HasSuffix(written, `"`):
			kind = "bool"
		}
		members = append(members, fmt.Sprintf("%s %s %s", name, kind, v.text))
	}
}

func FuzzFlatObjectsReadLikeEncodingJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":"b","c":null,"d":true,"e":false,"f":-1.5e+9}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":01}`, `{"a":-}`, `{"a":1.}`,
		`{"a":.5}`, `{"a":1e}`, `{"a":nul}`, `{"a":truex}`, `{"a":[1]}`, `{"a":{}}`, `{"a":1}{}`, `{"a":1} x`, `[]`, `"a"`, `1`, ``, ` `, `{`, `{"a`, `{"a":"b`,
		`{"a\u0041\n\"\\":"\ud83d\ude00\ud800"}`, `{"a":"\x"}`, "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", "{\"a\":\"é\"}", `{"a":1 "b":2}`, `{"a":1,"a":2}`, `{a:1}`, `{"a":0.0e0}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, wantOK := membersPlainly(text)
		got, gotOK := membersQuickly(text)
		if wantOK != gotOK {
			t.Fatalf("%q: accepted %v, by encoding/json %v", text, gotOK, wantOK)
		}
		if wantOK {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%q (-encoding/json +ours):\n%s", text, diff)
			}
		}
	})
}

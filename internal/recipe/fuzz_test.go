package recipe

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/palate-dev/palate/internal/hostile"
)

// FuzzManifest holds that a manifest that is accepted, also one that was forged with its hash, is written again as the same, leads to no file outside of the
// model's directory, and is refused once its hash is another.
func FuzzManifest(f *testing.F) {
	m := Manifest{
		Format: format, Recipe: popularityCount, Users: 2, Items: 3, Events: 5, Settings: map[string]float64{"repeats": 1}, Metrics: map[string]float64{"coverage": 0.5},
		Arrays: []Array{{Name: "user.offsets", Type: "int64", Count: 3, SHA256: "00"}}, Seq: 7, Build: "test",
	}
	whole, err := json.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, true)
	f.Add(whole, false)
	f.Add([]byte(`{"format":1,"arrays":[{"name":"../x"}]}`), true)
	f.Add([]byte(`{"FORMAT":1,"format":2,"settings":null}`), true)
	f.Fuzz(func(t *testing.T, text []byte, forged bool) {
		if forged {
			var m Manifest
			if json.Unmarshal(text, &m) != nil {
				return
			}
			var err error
			if m.Hash, err = m.hash(); err != nil {
				return
			}
			if text, err = json.Marshal(m); err != nil {
				t.Fatal(err)
			}
		}
		var m Manifest
		var err error
		hostile.Bound(t, len(text), func() { m, err = parseManifest(text) })
		if err != nil {
			return
		}
		written, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseManifest(written); err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%s is written as %s, %v", text, written, err)
		}
		for _, a := range m.Arrays {
			if !arrayName.MatchString(a.Name) {
				t.Fatalf("array %q", a.Name)
			}
		}
		m.Users++
		if written, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		if _, err := parseManifest(written); err == nil {
			t.Fatalf("%s does not have its hash", written)
		}
	})
}

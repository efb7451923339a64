package verify

import (
	"encoding/json"
	"os"
	"strings"
)

// said is what a file says in our own words.
type said struct {
	place string
	text  []byte
}

// receipt is the look at a receipt. ARNs in it hold names of the customer's choice, as rows of the metadata database do, and may outlive those: they are left out.
// What is no JSON is searched whole.
func (s *search) receipt(f file) error {
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	var v any
	if json.Unmarshal(text, &v) == nil {
		text = ownWords(nil, v)
	}
	s.said = append(s.said, said{"receipt", text})
	return nil
}

// ownWords gathers the names and strings of a JSON value, one a line, but for ARNs.
func ownWords(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		if !strings.HasPrefix(v, "arn:") {
			dst = append(append(dst, v...), '\n')
		}
	case []any:
		for _, e := range v {
			dst = ownWords(dst, e)
		}
	case map[string]any:
		for name, e := range v {
			dst = ownWords(append(append(dst, name...), '\n'), e)
		}
	}
	return dst
}

// salt and signingKey are looks at files that are searched as bytes.
func (s *search) salt(f file) error       { return s.asBytes("salt of a receipt", f) }
func (s *search) signingKey(f file) error { return s.asBytes("signing key", f) }

func (s *search) asBytes(place string, f file) error {
	s.raw = append(s.raw, region{place, f.path, 0})
	return nil
}

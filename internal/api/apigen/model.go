package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// model is one api-2.json, as far as it concerns us. Members keep the order of the file, because types and messages follow it.
type model struct {
	name     string
	Metadata struct {
		Protocol     string `json:"protocol"`
		TargetPrefix string `json:"targetPrefix"`
	} `json:"metadata"`
	Operations map[string]*operation `json:"operations"`
	Shapes     map[string]*shape     `json:"shapes"`
}

type operation struct {
	HTTP struct {
		Method     string `json:"method"`
		RequestURI string `json:"requestUri"`
	} `json:"http"`
	Input  ref   `json:"input"`
	Output ref   `json:"output"`
	Errors []ref `json:"errors"`
}

type ref struct {
	Shape string `json:"shape"`
}

type shape struct {
	Type      string   `json:"type"`
	Required  []string `json:"required"`
	Members   members  `json:"members"`
	Member    ref      `json:"member"`
	Key       ref      `json:"key"`
	Value     ref      `json:"value"`
	Min       *float64 `json:"min"`
	Max       *float64 `json:"max"`
	Pattern   string   `json:"pattern"`
	GoPattern string   `json:"goPattern"` // overlay only: the same language where Go's regexp cannot read Pattern
	Enum      []string `json:"enum"`
	Sensitive bool     `json:"sensitive"`
	Exception bool     `json:"exception"`
	Error     struct {
		HTTPStatusCode int `json:"httpStatusCode"`
	} `json:"error"`
}

type member struct{ name, shape string }

type members []member

// UnmarshalJSON keeps the members in the order of the text.
func (ms *members) UnmarshalJSON(text []byte) error {
	*ms = nil
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var r ref
		if err := dec.Decode(&r); err != nil {
			return err
		}
		*ms = append(*ms, member{name.(string), r.Shape})
	}
	return nil
}

// overlay is what overlay.json says about one service.
type overlay struct {
	Operations map[string]*operation      `json:"operations"` // added
	Shapes     map[string]json.RawMessage `json:"shapes"`     // added; keys given for a shape that exists replace its keys
	Members    []struct {
		In    []string `json:"in"`
		After string   `json:"after"`
		Name  string   `json:"name"`
		Shape string   `json:"shape"`
	} `json:"members"` // inserted into structures that exist
}

func readModel(path string) (*model, error) {
	m := new(model)
	return m, readJSON(path, m)
}

func readOverlays(path string) (map[string]overlay, error) {
	o := make(map[string]overlay)
	return o, readJSON(path, &o)
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("parse %s: %w", path, err)
	}
	return nil
}

// apply lays o over m. Whatever does not fit is an error, so that an overlay cannot outlive its reason unseen.
func (m *model) apply(o overlay) error {
	for name, op := range o.Operations {
		if m.Operations[name] != nil {
			return fmt.Errorf("operation %s is in the model now", name)
		}
		m.Operations[name] = op
	}
	for name, text := range o.Shapes {
		if m.Shapes[name] == nil {
			m.Shapes[name] = new(shape)
		}
		if err := json.Unmarshal(text, m.Shapes[name]); err != nil {
			return fmt.Errorf("shape %s: %w", name, err)
		}
	}
	for _, add := range o.Members {
		for _, in := range add.In {
			if err := m.insert(in, add.After, member{add.Name, add.Shape}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *model) insert(in, after string, add member) error {
	s := m.Shapes[in]
	if s == nil {
		return fmt.Errorf("no structure %s for member %s", in, add.name)
	}
	if slices.ContainsFunc(s.Members, func(x member) bool { return x.name == add.name }) {
		return fmt.Errorf("member %s.%s is in the model now", in, add.name)
	}
	at := slices.IndexFunc(s.Members, func(x member) bool { return x.name == after })
	if at < 0 {
		return fmt.Errorf("no member %s.%s to insert %s after", in, after, add.name)
	}
	s.Members = slices.Insert(s.Members, at+1, add)
	return nil
}

// requestShapes are the names of all shapes that a request of m can hold.
func (m *model) requestShapes() map[string]bool {
	seen := make(map[string]bool)
	for _, op := range m.Operations {
		m.reach(op.Input.Shape, seen)
	}
	return seen
}

func (m *model) reach(name string, seen map[string]bool) {
	s := m.Shapes[name]
	if s == nil || seen[name] {
		return
	}
	seen[name] = true
	for _, x := range s.Members {
		m.reach(x.shape, seen)
	}
	m.reach(s.Member.Shape, seen)
	m.reach(s.Key.Shape, seen)
	m.reach(s.Value.Shape, seen)
}

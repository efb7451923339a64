package api

import "encoding/json"

type kind uint8

const (
	stringKind kind = iota
	integerKind
	doubleKind
	booleanKind
	timestampKind
	listKind
	mapKind
	structureKind
)

type shape struct {
	kind         kind
	min, max     *float64
	pattern      string
	goPattern    string
	enum         []string
	sensitive    bool
	key, element string
	members      []member
}

type member struct {
	name, shape string
	required    bool
}

func bound(v float64) *float64 { return &v }

type rule struct{}

func link(shapes map[string]shape, name string) *rule { return &rule{} }

func (r *rule) decode(body []byte, v any) error { return json.Unmarshal(body, v) }

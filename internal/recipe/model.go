package recipe

import "iter"

// Manifest describes a model directory. Hash covers the configuration and every array; Seq and Build stand outside of it.
type Manifest struct {
	Format  int                `json:"format"`
	Recipe  string             `json:"recipe"`
	Config  Config             `json:"config"`
	Users   int64              `json:"users"`
	Items   int64              `json:"items"`
	Events  int64              `json:"events"`
	Metrics map[string]float64 `json:"metrics"`
	Arrays  []Array            `json:"arrays"`
	Hash    string             `json:"hash"`
	Seq     int64              `json:"seq"`
	Build   string             `json:"build"`
}

// Array is one file of a model directory.
type Array struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Count  int64  `json:"count"`
	SHA256 string `json:"sha256"`
}

// Model is an open model directory. Its methods are safe for concurrent use until Close.
type Model struct{ manifest Manifest }

// Open maps the model in dir and checks every hash. A torn or altered directory is refused.
func Open(dir string) (*Model, error) { return nil, errNotBuilt }

// Close unmaps the model. No method may be running or called afterwards.
func (m *Model) Close() error { return nil }

// Manifest is the description the model was opened with.
func (m *Model) Manifest() *Manifest { return &m.manifest }

// Recommend appends the answer to q to buf[:0].
func (m *Model) Recommend(q Query, buf []Scored) []Scored { return buf[:0] }

// Warm reports whether the item has interactions in the training data.
func (m *Model) Warm(item string) bool { return false }

// HoldsUser reports whether the model was trained on events of the user.
func (m *Model) HoldsUser(id string) bool { return false }

// Users yields the ids of all users in the training data, sorted.
func (m *Model) Users() iter.Seq[string] { return func(func(string) bool) {} }

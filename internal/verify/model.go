package verify

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// models checks every model directory.
func (s *search) models() error {
	entries, err := os.ReadDir(filepath.Join(s.Data, "store", "models"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range entries {
		if err := s.model(d.Name()); err != nil {
			return err
		}
	}
	return nil
}

// model checks one directory, or puts it on the list of what nobody claims.
func (s *search) model(name string) error {
	dir := filepath.Join(s.Data, "store", "models", name)
	return s.Models.StillModel(s.ctx, name, func(use Use) error {
		info, err := os.Stat(dir)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case use == Unnamed || !info.IsDir():
			s.pending = append(s.pending, "store/models/"+name)
		case use == Serving:
			s.checked("model")
			if err := s.served(dir); err != nil {
				return fmt.Errorf("model: %w", err)
			}
		}
		return nil
	})
}

// served checks a finished model: the ids that it knows, then that its files are those of its manifest and hold no id elsewhere.
func (s *search) served(dir string) error {
	var manifest struct {
		Seq    int64 `json:"seq"`
		Arrays []struct {
			Name string `json:"name"`
		} `json:"arrays"`
	}
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return errors.New("has a damaged manifest")
	}
	known := []string{"manifest.json"}
	for _, a := range manifest.Arrays {
		known = append(known, a.Name)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, d := range entries {
		if !slices.Contains(known, d.Name()) {
			return errUnclaimed
		}
		if !modelNames.MatchString(d.Name()) {
			s.raw = append(s.raw, region{"model", filepath.Join(dir, d.Name()), 0})
		}
	}
	for _, table := range []string{"user", "users.id", "actor"} { // who has events, attributes, events with actions: most models have the first alone
		if table == "user" || slices.Contains(known, table+".text") {
			if err := s.modelUsers(dir, table, manifest.Seq > s.Cut); err != nil {
				return err
			}
		}
	}
	return nil
}

// modelNames are the arrays of a model that are decoded, or that hold the customer's own names and values: an item may be called like a user.
var modelNames = regexp.MustCompile(`^(user|users\.id|actor)\.(text|offsets)$|^(item|type|action|reaction|items\..*|users\.([0-9]+.*|column)|event\.context\..*)\.text$`)

var errModelUsers = errors.New("has a damaged list of users")

// modelUsers compares every user of a model's table. One that was trained after the cut may know those who have come back since.
func (s *search) modelUsers(dir, table string, later bool) error {
	text, err := os.ReadFile(filepath.Join(dir, table+".text"))
	if err != nil {
		return err
	}
	ends, err := os.ReadFile(filepath.Join(dir, table+".offsets"))
	if err != nil {
		return err
	}
	if len(ends) < 8 || len(ends)%8 != 0 {
		return errModelUsers
	}
	from := binary.LittleEndian.Uint64(ends)
	for at := 8; at < len(ends); at += 8 {
		to := binary.LittleEndian.Uint64(ends[at:])
		if to < from || to > uint64(len(text)) {
			return errModelUsers
		}
		id := string(text[from:to])
		from = to
		if later && s.returned[id] {
			continue
		}
		if s.Users.Has(id) || s.Sessions.Has(id) {
			return errListed
		}
	}
	if from != uint64(len(text)) {
		return errModelUsers
	}
	return nil
}

// Package verify searches a data directory for users who must be gone from it: the last word of a data deletion.
//
// It is code of its own. It shares no reader with the engine and imports nothing of palate: Parquet is read with parquet-go, the event log, Avro, JSON and models
// by small decoders here, and what cannot hold a value is searched as bytes. What it asks others is only which files are in use at the moment (Store, Models), so
// that it can run beside imports, events, trainings and other deletions.
//
// The registry (Places) lists every kind of file and of memory that could hold an id. Run walks the whole data directory by it. A file that no row claims fails
// the search, as does one that cannot be understood. Errors name the kind of place, never an id and never a file's own name.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrFound is what Run returns if something is there that should not be, or that cannot be understood. Any other error says that it could not look.
var ErrFound = errors.New("the erasure could not be verified")

var (
	errUnclaimed = errors.New("a file that no part of the store owns")
	errListed    = errors.New("a row of a listed user")
	errBytes     = errors.New("raw bytes hold the id of a listed user")
)

// Set is a set of ids. A nil interface is not one; an empty set is.
type Set interface {
	Has(id string) bool
	All() iter.Seq[string]
}

// Store tells which of its files are in use. It never tells what is in them.
type Store interface {
	// StillTable keeps a table's files from changing while look runs, and names the superseded data files that readers still hold. known is false, and look is
	// not called, if there is no such table.
	StillTable(group, table string, look func(superseded []string) error) (known bool, err error)
	// StillLog keeps the segments of a group's log from coming and going while look runs. Events may be appended.
	StillLog(group string, look func() error) error
	// Staged tells whether work in progress owns a directory of the group's staging.
	Staged(group, name string) bool
	// Erasing tells whether a deletion of that name is running in the group.
	Erasing(group, job string) bool
	// Remembered yields the rows of users that stand in memory; place is a name of the registry.
	Remembered(group string, yield func(place, key, session string, seq int64)) error
}

// Use is what a model directory is there for.
type Use int

const (
	Unnamed   Use = iota // nothing names it
	Elsewhere            // of another dataset group
	Making               // a job is writing it, on data that the mask has been applied to
	Serving              // a resource of the group has it
)

// Models tells what model directories are there for.
type Models interface {
	// StillModel keeps a model directory from being destroyed while look runs.
	StillModel(ctx context.Context, name string, look func(Use) error) error
}

// Search is one search.
type Search struct {
	Data            string // the data directory
	Group           string // the dataset group's name below store/groups
	Users, Sessions Set    // who must be gone, and the sessions whose anonymous events must be
	Cut             int64  // up to this sequence number; later rows are a new user's
	Store           Store
	Models          Models
	// Rows returns what the rows of the metadata database say: in our own words, which must not hold an id, and in the customers' (names, locations), which may.
	Rows func(ctx context.Context) (ours, customers []byte, err error)
	// Patience is how long a file that nobody claims may take to go away: some are about to.
	Patience time.Duration
	// Checked, if not nil, is told how many files, models or rows of each place were looked at; a file that is looked at twice counts twice.
	Checked map[string]int64
}

// search is a running Search.
type search struct {
	Search
	ctx      context.Context
	returned map[string]bool // listed ids that came in again after the cut: they may stand in files
	raw      []region        // bytes that may hold no id at all: searched in the end
	keys     map[string]int  // field id of the key column, by table that holds users; -1 for others
	pending  []string        // paths that nobody claims
	dbs      []string        // files of the metadata database
	said     []said          // texts that hold words of the customer's too
	found    *byteSearch     // see finder
}

// file is one file below the data directory.
type file struct {
	rel, path string
}

// Run searches the whole data directory and the group's memory. It returns nil, an error that is ErrFound, or what kept it from looking.
func Run(ctx context.Context, q Search) error {
	s := &search{Search: q, ctx: ctx, returned: make(map[string]bool), keys: make(map[string]int)}
	for _, step := range []func() error{s.walk, s.log, s.memory, s.models, s.wait, s.bytes, s.databases} {
		if err := step(); err != nil {
			return s.classify(err)
		}
	}
	return nil
}

// classify keeps what was found apart from what kept us from looking.
func (s *search) classify(err error) error {
	var path *fs.PathError
	switch {
	case s.ctx.Err() != nil:
		return fmt.Errorf("verify: %w", s.ctx.Err())
	case errors.As(err, &path): // its words hold a name
		rel, _ := filepath.Rel(s.Data, path.Path)
		return fmt.Errorf("verify: cannot %s a file of the %s: %w", path.Op, s.kind(filepath.ToSlash(rel)), path.Err)
	}
	return fmt.Errorf("verify: %w: %w", ErrFound, err)
}

// covers tells whether a row must be gone, and notes the ids that have come back.
func (s *search) covers(key, session string, seq int64) bool {
	listed := s.Users.Has(key)
	alone := session == key && s.Sessions.Has(key)
	if !listed && !alone {
		return false
	}
	if seq <= s.Cut {
		return true
	}
	s.returned[key] = true
	return false
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// walk goes over every file of the data directory. Tables, the log and models are left to their own steps, which first keep them still.
func (s *search) walk() error {
	return filepath.WalkDir(s.Data, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since its directory was read
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.Data, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		names := strings.Split(rel, "/")
		if d.IsDir() {
			if rel == "buckets" || rel == "buckets.meta" || rel == "store/models" {
				return fs.SkipDir
			}
			if len(names) == 5 && names[1] == "groups" && names[3] == "tables" && names[2] == s.Group {
				if err := s.visitTable(names[4]); err != nil {
					return err
				}
				return fs.SkipDir
			}
			if rel != "." && !mayHold(names) {
				s.pending = append(s.pending, rel)
				return fs.SkipDir
			}
			return s.ctx.Err()
		}
		if len(names) > 4 && names[1] == "groups" && names[2] == s.Group && names[3] == "log" {
			return nil
		}
		return s.visit(rel)
	})
}

// visit looks at one file, or puts it on the list of those that nobody claims.
func (s *search) visit(rel string) error {
	p := claim(rel)
	if p == nil || !s.inUse(p, rel) {
		s.pending = append(s.pending, rel)
		return nil
	}
	s.checked(p.Name)
	if p.look == nil || strings.HasPrefix(rel, "store/groups/") && !strings.HasPrefix(rel, "store/groups/"+s.Group+"/") {
		return nil
	}
	err := p.look(s, file{rel, filepath.Join(s.Data, filepath.FromSlash(rel))})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since its directory was read
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// checked counts one file, model or row.
func (s *search) checked(place string) {
	if s.Checked != nil {
		s.Checked[place]++
	}
}

// inUse asks the owner of a file that is there for a while only.
func (s *search) inUse(p *Place, rel string) bool {
	names := strings.Split(rel, "/")
	switch p.Name {
	case "unfinished file", "unfinished receipt", "unfinished record of answers", "ended list":
		return false
	case "staging":
		return s.Store.Staged(names[2], names[4])
	case "list of users", "list of sessions":
		return s.Store.Erasing(names[2], names[4])
	}
	return true
}

// log checks the segments of the group's log.
func (s *search) log() error {
	dir := filepath.Join(s.Data, "store/groups", s.Group, "log")
	return s.Store.StillLog(s.Group, func() error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, d := range entries { // in order of their names: the last one is being written
			if err := s.visit("store/groups/" + s.Group + "/log/" + d.Name()); err != nil {
				return err
			}
		}
		return nil
	})
}

// memory checks the rows that the engine holds in memory.
func (s *search) memory() (err error) {
	if readErr := s.Store.Remembered(s.Group, func(place, key, session string, seq int64) {
		s.checked(place)
		if err == nil && s.covers(key, session, seq) {
			err = fmt.Errorf("%s: %w", place, errListed)
		}
	}); readErr != nil {
		return readErr
	}
	return err
}

// wait gives files that nobody claims the time to go: a writer renames its temporary file, a dropped table's directory is being emptied.
func (s *search) wait() error {
	for deadline := time.Now().Add(s.Patience); ; {
		look := s.pending
		s.pending = nil
		for _, rel := range look {
			if !exists(filepath.Join(s.Data, filepath.FromSlash(rel))) {
				continue
			}
			if err := s.again(rel); err != nil {
				return err
			}
		}
		if len(s.pending) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", s.kind(s.pending[0]), errUnclaimed)
		}
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// again looks once more at what nobody claimed.
func (s *search) again(rel string) error {
	names := strings.Split(rel, "/")
	switch {
	case len(names) >= 5 && names[1] == "groups" && names[2] == s.Group && names[3] == "tables":
		return s.visitTable(names[4])
	case len(names) >= 3 && names[1] == "models":
		return s.model(names[2])
	}
	if mayHold(names) && claim(rel) == nil {
		s.pending = append(s.pending, rel) // a directory that somebody has begun to use would be walked the next time
		return nil
	}
	return s.visit(rel)
}

// kind names the directory of a file as far as it is ours: the rest might be an id.
func (s *search) kind(rel string) string {
	if p := claim(rel); p != nil {
		return p.Name
	}
	names := strings.Split(rel, "/")
	known := "data directory"
	for n := 1; n < len(names); n++ {
		for _, p := range places {
			pattern := strings.Split(p.Pattern, "/")
			if len(pattern) > n && pattern[n-1] != "**" && matches(pattern[:n], names[:n]) {
				known = strings.Join(pattern[:n], "/")
			}
		}
	}
	return known
}

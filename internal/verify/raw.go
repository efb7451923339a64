package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// region is a file from an offset to its end.
type region struct {
	place string
	path  string
	from  int64
}

// emptyFile is the look at a file into which nothing is written.
func (s *search) emptyFile(f file) error {
	info, err := os.Stat(f.path)
	if err == nil && info.Size() > 0 {
		err = errors.New("is not empty")
	}
	return err
}

// database is the look at a file of the metadata database.
func (s *search) database(f file) error {
	s.dbs = append(s.dbs, f.path)
	return nil
}

const (
	searchedIDs = 4096 // how many ids are looked for in raw bytes
	searchedLen = 8    // the shortest that is: shorter ones occur in binary data by chance
)

// distinctive ids are looked for in raw bytes. Those that digits of numbers and of file names could spell, and ids without a digit, which could be the name of
// a column, are left to the decoders.
func (s *search) distinctive() (ids []string) {
	for id := range s.Users.All() {
		odd := strings.ContainsAny(id, "0123456789") && (len(id) >= 24 || strings.Trim(id, "0123456789abcdefABCDEF-") != "")
		if len(id) >= searchedLen && odd && !s.returned[id] && !s.Sessions.Has(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// bytes looks for listed ids in what may hold no id at all.
func (s *search) bytes() error {
	look := newBytes(sample(s.distinctive(), searchedIDs))
	for _, r := range s.raw {
		found, err := look.file(s.ctx, r.path, r.from)
		if errors.Is(err, fs.ErrNotExist) {
			continue // superseded since it was decoded
		}
		if err != nil {
			return err
		}
		if found != "" {
			return fmt.Errorf("%s: %w", r.place, errBytes)
		}
	}
	return nil
}

// databases looks for listed ids in the metadata database and in receipts. They hold words of the customer's own choice: an id that he has put into a file's or
// a job's name is his, and is no leak there.
func (s *search) databases() error {
	ids := sample(s.distinctive(), searchedIDs)
	if s.Rows == nil {
		return nil
	}
	ours, customers, err := s.Rows(s.ctx)
	if err != nil {
		return err
	}
	kept := ids[:0:0]
	for _, id := range ids {
		if !bytes.Contains(customers, []byte(id)) {
			kept = append(kept, id)
		}
	}
	look := newBytes(kept)
	if look.in(ours) != "" {
		return fmt.Errorf("metadata database: %w", errBytes)
	}
	for _, t := range s.said {
		if look.in(t.text) != "" {
			return fmt.Errorf("%s: %w", t.place, errBytes)
		}
	}
	for _, path := range s.dbs {
		found, err := look.database(s.ctx, path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if found != "" {
			return fmt.Errorf("%s: %w", claim(filepath.Base(path)).Name, errBytes)
		}
	}
	return nil
}

// sample takes n of the ids, evenly spread.
func sample(ids []string, n int) []string {
	if len(ids) <= n {
		return ids
	}
	out := make([]string, n)
	for i := range out {
		out[i] = ids[i*len(ids)/n]
	}
	return out
}

// byteSearch finds any of many strings: by a bitmap over the hash of eight bytes, then by a map, then byte for byte.
type byteSearch struct {
	bitmap  [1 << 13]uint64
	heads   map[uint64][]string
	longest int
}

func newBytes(ids []string) *byteSearch {
	b := &byteSearch{heads: make(map[uint64][]string)}
	for _, id := range ids {
		head := binary.LittleEndian.Uint64([]byte(id[:searchedLen]))
		b.heads[head] = append(b.heads[head], id)
		h := slot(head)
		b.bitmap[h/64] |= 1 << (h % 64)
		b.longest = max(b.longest, len(id))
	}
	return b
}

func slot(head uint64) uint64 { return head * 0x9e3779b97f4a7c15 >> 45 }

// file returns an id that stands in a file after an offset, "" if none does.
func (b *byteSearch) file(ctx context.Context, path string, from int64) (string, error) {
	if len(b.heads) == 0 {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return "", err
	}
	return b.stream(ctx, f)
}

// database is file for one of the metadata database.
func (b *byteSearch) database(ctx context.Context, path string) (string, error) {
	if len(b.heads) == 0 {
		return "", nil
	}
	f, err := openHeld(path)
	if err != nil {
		return "", err
	}
	return b.stream(ctx, io.NewSectionReader(f, 0, math.MaxInt64))
}

func (b *byteSearch) stream(ctx context.Context, f io.Reader) (string, error) {
	buf := make([]byte, 1<<18+b.longest)
	kept := 0
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := io.ReadFull(f, buf[kept:])
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return "", err
		}
		window := buf[:kept+n]
		if found := b.in(window); found != "" || end {
			return found, nil
		}
		kept = copy(buf, window[len(window)-b.longest:])
	}
}

func (b *byteSearch) in(text []byte) string {
	for i := 0; i+searchedLen <= len(text); i++ {
		head := binary.LittleEndian.Uint64(text[i:])
		if h := slot(head); b.bitmap[h/64]>>(h%64)&1 == 0 {
			continue
		}
		for _, id := range b.heads[head] {
			if i+len(id) <= len(text) && string(text[i:i+len(id)]) == id {
				return id
			}
		}
	}
	return ""
}

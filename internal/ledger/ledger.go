// Package ledger remembers data deletions outside of the data directory, so that a restored backup does not bring their users back.
//
// For each deletion it holds one sealed file: an id-free record, and the list of users, both encrypted with AES-256-GCM under the key that stands beside them. The
// list is kept for Retention and then destroyed; after that only the deletion's random name is left, by which a backup that is older still is recognized and refused.
// Whoever has the whole directory can read the lists: keep it apart from the backups of the data, and private.
//
//	DIR/key            32 random bytes
//	DIR/JOB.sealed     "PALLEDG1", 4 bytes length and the sealed record, the sealed list
//	DIR/expired        names of deletions whose lists are destroyed, as lines "JOB GROUP"
package ledger

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palate-dev/palate/internal/blob"
)

// Retention is how long a list is kept. Backups of the data must not be kept longer.
const Retention = 30 * 24 * time.Hour

const (
	magic   = "PALLEDG1"
	suffix  = ".sealed"
	keyFile = "key"
	expired = "expired"
)

// Entry is one deletion. It holds no user id.
type Entry struct {
	Job   string // the deletion's name for the dataset engine, of [a-z0-9-]
	Group string // the group's
	At    time.Time
	Doc   json.RawMessage // what Describe shows of the deletion
}

// Ledger is an open ledger. It is safe for concurrent use by one process.
type Ledger struct {
	dir  string
	aead cipher.AEAD
	now  func() time.Time
	mu   sync.Mutex // guards the directory
}

// Open opens the ledger in dir, makes it if it is missing, and destroys what has expired.
func Open(dir string) (*Ledger, error) {
	return open(dir, time.Now)
}

func open(dir string, now func() time.Time) (*Ledger, error) {
	if err := blob.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := blob.Sweep(dir); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := &Ledger{dir: dir, now: now}
	key, err := l.key()
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if l.aead, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return l, l.Expire()
}

// key reads the key, or makes one for an empty ledger.
func (l *Ledger) key() ([]byte, error) {
	path := filepath.Join(l.dir, keyFile)
	key, err := os.ReadFile(path)
	if err == nil && len(key) != 32 {
		err = errors.New("the key is damaged")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	jobs, err := l.jobs()
	if err != nil {
		return nil, err
	}
	if len(jobs) > 0 {
		return nil, errors.New("it holds sealed lists and no key")
	}
	key = make([]byte, 32)
	rand.Read(key)
	return key, blob.WriteFile(path, bytes.NewReader(key))
}

// jobs lists the deletions whose lists are here.
func (l *Ledger) jobs() (jobs []string, err error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	for _, d := range entries {
		if job, ok := strings.CutSuffix(d.Name(), suffix); ok {
			jobs = append(jobs, job)
		}
	}
	return jobs, nil
}

func (l *Ledger) path(job string) string { return filepath.Join(l.dir, job+suffix) }

// seal encrypts one part of an entry; part keeps them from being exchanged.
func (l *Ledger) seal(job, part string, text []byte) []byte {
	nonce := make([]byte, l.aead.NonceSize())
	rand.Read(nonce)
	return l.aead.Seal(nonce, nonce, text, []byte(part+" "+job))
}

func (l *Ledger) unseal(job, part string, box []byte) ([]byte, error) {
	n := l.aead.NonceSize()
	if len(box) < n {
		return nil, errors.New("is damaged")
	}
	text, err := l.aead.Open(nil, box[:n], box[n:], []byte(part+" "+job))
	if err != nil {
		return nil, errors.New("is damaged, or sealed with another key")
	}
	return text, nil
}

// Seal stores a deletion and its list durably. One that is there already is replaced.
func (l *Ledger) Seal(e Entry, list []byte) error {
	if e.Job == "" || strings.Trim(e.Job, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return errors.New("seal a deletion: the name is not of [a-z0-9-]")
	}
	record, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("seal a deletion: %w", err)
	}
	box := l.seal(e.Job, "record", record)
	text := binary.LittleEndian.AppendUint32([]byte(magic), uint32(len(box)))
	text = append(append(text, box...), l.seal(e.Job, "list", list)...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := blob.WriteFile(l.path(e.Job), bytes.NewReader(text)); err != nil {
		return fmt.Errorf("seal a deletion: %w", err)
	}
	return nil
}

// parts splits a sealed file.
func (l *Ledger) parts(job string) (record, list []byte, err error) {
	text, err := os.ReadFile(l.path(job))
	if err != nil {
		return nil, nil, err
	}
	if len(text) < len(magic)+4 || string(text[:len(magic)]) != magic {
		return nil, nil, errors.New("is damaged")
	}
	n, rest := int64(binary.LittleEndian.Uint32(text[len(magic):])), text[len(magic)+4:]
	if n > int64(len(rest)) {
		return nil, nil, errors.New("is damaged")
	}
	return rest[:n], rest[n:], nil
}

// Entries returns the deletions whose lists are here, oldest first.
func (l *Ledger) Entries() (entries []Entry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries()
}

func (l *Ledger) entries() (entries []Entry, err error) {
	jobs, err := l.jobs()
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	for _, job := range jobs {
		var e Entry
		box, _, err := l.parts(job)
		if err == nil {
			box, err = l.unseal(job, "record", box)
		}
		if err == nil {
			err = json.Unmarshal(box, &e)
		}
		if err != nil {
			return nil, fmt.Errorf("read ledger: deletion %s: %w", job, err)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return a.At.Compare(b.At) })
	return entries, nil
}

// List returns the list of a deletion; ok is false if it is not here.
func (l *Ledger) List(job string) (list []byte, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, box, err := l.parts(job)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err == nil {
		box, err = l.unseal(job, "list", box)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read ledger: deletion %s: %w", job, err)
	}
	return box, true, nil
}

// Expire destroys the lists that are older than Retention, and notes their names.
func (l *Ledger) Expire() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries, err := l.entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if l.now().Sub(e.At) < Retention {
			continue
		}
		if err := l.noteExpired(e); err != nil {
			return fmt.Errorf("expire a deletion: %w", err)
		}
		if err := blob.Discard(l.path(e.Job)); err != nil {
			return fmt.Errorf("expire a deletion: %w", err)
		}
	}
	return nil
}

func (l *Ledger) noteExpired(e Entry) error {
	path := filepath.Join(l.dir, expired)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	line := e.Job + " " + e.Group + "\n"
	if strings.Contains(string(text), line) {
		return nil
	}
	return blob.WriteFile(path, strings.NewReader(string(text)+line))
}

// Expired returns the deletions whose lists are destroyed; only Job and Group of them are known.
func (l *Ledger) Expired() (entries []Entry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := os.ReadFile(filepath.Join(l.dir, expired))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		job, group, _ := strings.Cut(strings.TrimSpace(line), " ")
		entries = append(entries, Entry{Job: job, Group: group})
	}
	return entries, nil
}

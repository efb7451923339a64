// Command keep makes a corpus of what the fuzzer has found: of the inputs in go test's cache the small ones that together reach whatever code of the package any
// of them reaches and the target's own seeds do not. `make corpus` calls it for every target.
//
//	keep PACKAGE TARGET   replaces PACKAGE/testdata/fuzz/TARGET/found-*; what does not begin with found- is not touched
package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"log"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// limit is the most bytes that is kept of a target.
const limit = 150_000

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: keep PACKAGE TARGET")
	}
	if err := keep(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func keep(dir, target string) error {
	t := fuzzTarget{dir: dir, name: target, corpus: filepath.Join(dir, "testdata", "fuzz", target)}
	inputs, err := t.found()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "keep")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	t.binary, t.profile = filepath.Join(tmp, "run.test"), filepath.Join(tmp, "profile")
	if out, err := exec.Command("go", "test", "-c", "-covermode=count", "-o", t.binary, "./"+filepath.Clean(dir)).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	known := make(map[string]bool)
	if _, err := t.fresh("", known); err != nil {
		return err
	}
	size := 0
	for _, data := range inputs {
		sum := sha256.Sum256(data)
		name := fmt.Sprintf("found-%x", sum[:6])
		path := filepath.Join(t.corpus, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
		fresh, err := t.fresh("/^"+name+"$", known)
		if err != nil {
			return err
		}
		if size += len(data); fresh && size <= limit {
			continue
		}
		size -= len(data)
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

type fuzzTarget struct {
	dir, name, corpus string
	binary, profile   string
}

// found takes the inputs of former corpora and of the fuzzer's cache, the small ones first.
func (t *fuzzTarget) found() (inputs [][]byte, err error) {
	if err := os.MkdirAll(t.corpus, 0o755); err != nil {
		return nil, err
	}
	former, err := filepath.Glob(filepath.Join(t.corpus, "found-*"))
	if err != nil {
		return nil, err
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return nil, err
	}
	pkg, err := exec.Command("go", "list", "./"+filepath.Clean(t.dir)).Output()
	if err != nil {
		return nil, err
	}
	cached, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(cache)), "fuzz", strings.TrimSpace(string(pkg)), t.name, "*"))
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Concat(former, cached) {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, data)
	}
	for _, path := range former {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(inputs, func(a, b []byte) int { return cmp.Or(len(a)-len(b), bytes.Compare(a, b)) })
	return slices.CompactFunc(inputs, bytes.Equal), nil
}

// fresh runs some inputs of the target and tells whether they reach code that is not known yet, or as the fuzzer has it twice as often, which it is from then on.
func (t *fuzzTarget) fresh(which string, known map[string]bool) (fresh bool, err error) {
	cmd := exec.Command(t.binary, "-test.run", "^"+t.name+"$"+which, "-test.coverprofile", t.profile)
	cmd.Dir = t.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return false, fmt.Errorf("%s%s: %w\n%s", t.name, which, err, out)
	}
	profile, err := os.ReadFile(t.profile)
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(profile)) {
		at := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		if at < 0 {
			continue
		}
		hits, _ := strconv.Atoi(strings.TrimSpace(line[at+1:])) // the first line names the mode
		block := fmt.Sprint(line[:at], " ", bits.Len(uint(hits)))
		if hits > 0 && !known[block] {
			known[block], fresh = true, true
		}
	}
	return fresh, nil
}

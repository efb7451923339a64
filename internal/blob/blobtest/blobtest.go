// Package blobtest is the conformance suite of package blob's seam: every Store must pass it.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/palate-dev/palate/internal/blob"
)

// Run checks that the stores which open returns, each empty, keep the promises of the package doc.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, c := range []struct {
		claim string
		check func(*testing.T, blob.Store)
	}{
		{"WhatIsCreatedIsRead", whatIsCreatedIsRead},
		{"CreateReplaces", createReplaces},
		{"FailedCreateChangesNothing", failedCreateChangesNothing},
		{"CancelledCreateChangesNothing", cancelledCreateChangesNothing},
		{"ReadersSeeOneVersion", readersSeeOneVersion},
		{"WritersDoNotMix", writersDoNotMix},
		{"ListIsSortedAndByPrefix", listIsSortedAndByPrefix},
		{"MissingObjectIsNotFound", missingObjectIsNotFound},
		{"DestroyIsIdempotent", destroyIsIdempotent},
		{"OpenVersionSeesChanges", openVersionSeesChanges},
		{"ReadingStopsWithItsContext", readingStopsWithItsContext},
	} {
		t.Run(c.claim, func(t *testing.T) { c.check(t, open(t)) })
	}
}

// large is beyond what S3 stores send in one request.
const large = 17 << 20

// noise is n bytes that differ everywhere and with the seed.
func noise(n int, seed byte) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func create(t *testing.T, s blob.Store, key string, data []byte) {
	t.Helper()
	if err := s.Create(t.Context(), key, bytes.NewReader(data), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s blob.Store, key string) ([]byte, blob.Info) {
	t.Helper()
	r, info, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data, info
}

func keys(t *testing.T, s blob.Store, prefix string) []string {
	t.Helper()
	infos, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, i := range infos {
		keys = append(keys, i.Key)
	}
	return keys
}

func whatIsCreatedIsRead(t *testing.T, s blob.Store) {
	for _, size := range []int{0, 1, 4096, 1 << 20, 16 << 20, 16<<20 + 1, 2 * large} {
		key := fmt.Sprintf("sizes/%d", size)
		data := noise(size, 1)
		create(t, s, key, data)
		got, info := read(t, s, key)
		if !bytes.Equal(got, data) {
			t.Errorf("%d bytes were stored, %d others read", size, len(got))
		}
		if info.Key != key || info.Size != int64(size) || info.ETag == "" || info.Modified.IsZero() {
			t.Errorf("info of %s: %+v", key, info)
		}
	}
	for _, key := range []string{"a b+c%2F&d=?#.csv", "ünïcödé/日本語", "x/y/z"} {
		create(t, s, key, []byte(key))
		if got, _ := read(t, s, key); string(got) != key {
			t.Errorf("%q holds %q", key, got)
		}
	}
}

func createReplaces(t *testing.T, s blob.Store) {
	create(t, s, "k", []byte("the first and longer one"))
	_, before := read(t, s, "k")
	create(t, s, "k", []byte("the second"))
	got, after := read(t, s, "k")
	if string(got) != "the second" {
		t.Errorf("after a second Create: %q", got)
	}
	if before.ETag == after.ETag {
		t.Errorf("two versions have the ETag %s", before.ETag)
	}
}

var errSource = errors.New("the source is broken")

func failedCreateChangesNothing(t *testing.T, s blob.Store) {
	create(t, s, "old", []byte("old"))
	for _, size := range []int{0, 100, large} {
		for _, key := range []string{"old", "new"} {
			broken := io.MultiReader(bytes.NewReader(noise(size, 2)), failing{})
			if err := s.Create(t.Context(), key, broken, blob.PutOptions{}); !errors.Is(err, errSource) {
				t.Errorf("Create(%s) from a source that breaks after %d bytes: %v", key, size, err)
			}
		}
	}
	if got, _ := read(t, s, "old"); string(got) != "old" {
		t.Errorf("the old object now holds %d bytes", len(got))
	}
	if diff := cmp.Diff([]string{"old"}, keys(t, s, "")); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errSource }

func cancelledCreateChangesNothing(t *testing.T, s blob.Store) {
	for _, size := range []int{100, large} {
		ctx, cancel := context.WithCancel(t.Context())
		source := io.MultiReader(bytes.NewReader(noise(size, 3)), cancelling{cancel}, bytes.NewReader(noise(size, 4)))
		if err := s.Create(ctx, "k", source, blob.PutOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Create of %d bytes under a cancelled context: %v", size, err)
		}
	}
	if got := keys(t, s, ""); got != nil {
		t.Errorf("listing: %q", got)
	}
}

// cancelling cancels when it is reached, and holds nothing.
type cancelling struct{ cancel func() }

func (c cancelling) Read([]byte) (int, error) { c.cancel(); return 0, io.EOF }

func readersSeeOneVersion(t *testing.T, s blob.Store) {
	first, second := noise(large, 5), noise(large, 6)
	create(t, s, "k", first)
	r, _, err := s.Open(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	create(t, s, "k", second)
	rest, err := io.ReadAll(r)
	switch {
	case errors.Is(err, blob.ErrChanged):
	case err != nil:
		t.Errorf("reading a replaced object: %v", err)
	case !bytes.Equal(append(head, rest...), first):
		t.Error("reading a replaced object gave neither the old bytes nor ErrChanged")
	}
	if got, _ := read(t, s, "k"); !bytes.Equal(got, second) {
		t.Error("a new reader does not see the new version")
	}
}

func writersDoNotMix(t *testing.T, s blob.Store) {
	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error {
			return s.Create(t.Context(), "k", bytes.NewReader(bytes.Repeat([]byte{byte('a' + i)}, 1<<20)), blob.PutOptions{})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	got, _ := read(t, s, "k")
	if len(got) != 1<<20 || !bytes.Equal(got, bytes.Repeat(got[:1], 1<<20)) {
		t.Error("the object mixes several writers' bytes")
	}
	if diff := cmp.Diff([]string{"k"}, keys(t, s, "")); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
}

func listIsSortedAndByPrefix(t *testing.T, s blob.Store) {
	if got := keys(t, s, ""); got != nil {
		t.Errorf("an empty store lists %q", got)
	}
	all := []string{"a-b", "a.b/c", "a/b", "a/b.d/e", "a/c/d", "a0", "b/a", "é", "z"}
	for i, key := range all {
		create(t, s, key, bytes.Repeat([]byte("x"), i))
	}
	slices.Sort(all)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b.d/e", "a/x", "b/", "nothing/here", "z", "zz"} {
		var want []string
		for _, key := range all {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		if diff := cmp.Diff(want, keys(t, s, prefix)); diff != "" {
			t.Errorf("List(%q) (-want +got):\n%s", prefix, diff)
		}
	}
	infos, err := s.List(t.Context(), "a/b.d/")
	if err != nil || len(infos) != 1 {
		t.Fatalf("List: %v, %v", infos, err)
	}
	if _, opened := read(t, s, "a/b.d/e"); opened.Size != infos[0].Size || opened.ETag != infos[0].ETag {
		t.Errorf("List says %+v, Open %+v", infos[0], opened)
	}
}

func missingObjectIsNotFound(t *testing.T, s blob.Store) {
	create(t, s, "a/b", []byte("x"))
	for _, key := range []string{"missing", "a", "a/b/c", "a/c"} {
		if _, _, err := s.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Open(%s): %v", key, err)
		}
	}
}

func destroyIsIdempotent(t *testing.T, s blob.Store) {
	create(t, s, "a/k", noise(large, 7))
	create(t, s, "a/kept", []byte("x"))
	for range 2 {
		if err := s.Destroy(t.Context(), "a/k"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Open(t.Context(), "a/k"); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Open after Destroy: %v", err)
		}
	}
	if diff := cmp.Diff([]string{"a/kept"}, keys(t, s, "")); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
	if err := s.Destroy(t.Context(), "never/was"); err != nil {
		t.Errorf("Destroy of what never was: %v", err)
	}
}

func openVersionSeesChanges(t *testing.T, s blob.Store) {
	create(t, s, "k", []byte("pinned"))
	listed, err := s.List(t.Context(), "k")
	if err != nil || len(listed) != 1 {
		t.Fatalf("List: %v, %v", listed, err)
	}
	r, err := blob.OpenVersion(t.Context(), s, listed[0])
	if err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	r.Close()
	create(t, s, "k", []byte("forged"))
	if _, err := blob.OpenVersion(t.Context(), s, listed[0]); !errors.Is(err, blob.ErrChanged) {
		t.Errorf("replaced: %v", err)
	}
	if err := s.Destroy(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if _, err := blob.OpenVersion(t.Context(), s, listed[0]); !errors.Is(err, blob.ErrChanged) {
		t.Errorf("destroyed: %v", err)
	}
}

func readingStopsWithItsContext(t *testing.T, s blob.Store) {
	create(t, s, "k", noise(large, 8))
	ctx, cancel := context.WithCancel(t.Context())
	r, _, err := s.Open(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("reading under a cancelled context: %v", err)
	}
}

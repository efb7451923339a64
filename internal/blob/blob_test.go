package blob_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/blob/blobtest"
)

func TestMem(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return new(blob.Mem) })
}

func TestDir(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return openDir(t, t.TempDir()) })
}

func openDir(t *testing.T, root string) *blob.Dir {
	t.Helper()
	d, err := blob.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// files lists every file under root, however hidden.
func files(t *testing.T, root string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(root, path)
			found = append(found, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestDirRefusesKeysThatAreNoCleanPaths(t *testing.T) {
	d := openDir(t, filepath.Join(t.TempDir(), "store"))
	for _, key := range []string{"", ".", "..", "../x", "a/../../x", "/x", "a//b", "a/", "a/./b", "a\\b", "a\x00b", ".tmp-1", "a/.tmp-2"} {
		if err := d.Create(t.Context(), key, strings.NewReader("x"), blob.PutOptions{}); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Create(%q): %v", key, err)
		}
		if _, _, err := d.Open(t.Context(), key); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Open(%q): %v", key, err)
		}
		if err := d.Destroy(t.Context(), key); !errors.Is(err, blob.ErrKey) {
			t.Errorf("Destroy(%q): %v", key, err)
		}
	}
}

func TestDestroyOverwritesBeforeUnlinking(t *testing.T) {
	dir := t.TempDir()
	path, witness := filepath.Join(dir, "secret"), filepath.Join(dir, "witness")
	secret := bytes.Repeat([]byte("user-4711 "), 300_000)
	if err := blob.WriteFile(path, bytes.NewReader(secret)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, witness); err != nil {
		t.Fatal(err)
	}
	if err := blob.Destroy(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the name is still there: %v", err)
	}
	// A second name of the same file shows what is left in its blocks.
	left, err := os.ReadFile(witness)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != len(secret) || len(bytes.Trim(left, "\x00")) > 0 {
		t.Errorf("%d bytes are left, %d of them not zero", len(left), len(bytes.Trim(left, "\x00")))
	}
}

func TestDiscardTakesTheNameAwayBeforeTheFirstByteAndSweepEndsIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	nameless := filepath.Join(dir, ".tmp-f")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(nameless, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := blob.Discard(path); err == nil {
		t.Fatal("Discard overwrote a file that still has its name")
	}
	if b, err := os.ReadFile(path); string(b) != "secret" {
		t.Fatalf("after a Discard that failed: %q, %v", b, err)
	}
	if err := os.RemoveAll(nameless); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := blob.Discard(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(nameless, []byte("\x00\x00cret"), 0o600); err != nil { // as a crash in the middle leaves it
		t.Fatal(err)
	}
	if err := blob.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
		t.Fatalf("left: %v, %v", left, err)
	}
}

func TestDestroyUnlinksASymbolicLinkOnly(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := blob.Destroy(link); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "kept" {
		t.Errorf("the target holds %q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"target"}, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestDestroyOfManyGoesOnAfterAFailure(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	stuck := filepath.Join(dir, "stuck") // a directory is not destroyed
	for _, path := range []string{other, stuck} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{filepath.Join(dir, "a"), stuck, filepath.Join(dir, "missing"), filepath.Join(other, "b")}
	for _, path := range []string{paths[0], paths[3]} {
		if err := blob.WriteFile(path, strings.NewReader("secret")); err != nil {
			t.Fatal(err)
		}
	}
	if err := blob.Destroy(paths...); err == nil || !strings.Contains(err.Error(), "stuck") {
		t.Errorf("the failure is not told: %v", err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
	if err := blob.Destroy(); err != nil {
		t.Errorf("none: %v", err)
	}
}

func TestDestroyAll(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	if err := blob.MkdirAll(filepath.Join(model, "arrays", "deep")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"manifest", "arrays/a", "arrays/deep/b"} {
		if err := blob.WriteFile(filepath.Join(model, name), strings.NewReader(name)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := blob.DestroyAll(model); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(model); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the directory is still there: %v", err)
		}
	}
}

func TestWriteFileKeepsTheOldFileOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := blob.WriteFile(path, strings.NewReader("old")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := blob.WriteFile(path, io.MultiReader(strings.NewReader("new"), errReader{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("error: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"f"}, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestOpenDirSweepsUnfinishedFiles(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a/b"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".tmp-1", "a/b/.tmp-99", "a/b/whole"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openDir(t, root)
	if diff := cmp.Diff([]string{"a/b/whole"}, files(t, root)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestParseLocation(t *testing.T) {
	for _, row := range []struct{ in, bucket, key string }{
		{"s3://bucket/key.csv", "bucket", "key.csv"},
		{"s3://bucket/folder/", "bucket", "folder/"},
		{"s3://bucket", "bucket", ""},
		{"s3://bucket/", "bucket", ""},
		{"s3://my.bucket-1/a b+c%20d?e#f", "my.bucket-1", "a b+c%20d?e#f"},
		{"s3://bucket//double//slash", "bucket", "/double//slash"},
		{"https://s3.amazonaws.com/bucket/a/b.csv", "bucket", "a/b.csv"},
		{"https://s3.eu-west-1.amazonaws.com/bucket/a%20b.csv", "bucket", "a b.csv"},
		{"https://s3-eu-west-1.amazonaws.com/bucket/k", "bucket", "k"},
		{"https://bucket.s3.eu-west-1.amazonaws.com/a/b.csv", "bucket", "a/b.csv"},
		{"https://my.bucket.s3.amazonaws.com/k", "my.bucket", "k"},
		{"http://127.0.0.1:4725/bucket/k", "bucket", "k"},
		{"http://localhost:4725/bucket/folder/", "bucket", "folder/"},
		{"http://minio.internal:9000/bucket/k", "bucket", "k"},
	} {
		bucket, key, err := blob.ParseLocation(row.in)
		if err != nil || bucket != row.bucket || key != row.key {
			t.Errorf("ParseLocation(%q) = %q, %q, %v; want %q, %q", row.in, bucket, key, err, row.bucket, row.key)
		}
	}
	for _, in := range []string{
		"", "bucket/key", "s3:/bucket/key", "s3://", "s3:///key", "s3://Bucket/key", "s3://b/k", "s3://under_score/k", "s3://192.168.0.1/k", "s3://a..b/k",
		"S3://bucket/key", "file:///etc/passwd", "ftp://bucket/key", "gs://bucket/key", "http://", "http://host", "http://host/", "http://host/bucket/k?x=1",
		"http://user:pass@host/bucket/k", "http://host/bucket/k#f", "http://host/bucket/%zz", "s3://bucket/\xff", "s3://bucket/" + strings.Repeat("k", 1025),
	} {
		if bucket, key, err := blob.ParseLocation(in); err == nil {
			t.Errorf("ParseLocation(%q) = %q, %q", in, bucket, key)
		}
	}
}

func FuzzParseLocation(f *testing.F) {
	for _, seed := range []string{"s3://bucket/key", "https://bucket.s3.eu-west-1.amazonaws.com/a%20b", "http://localhost:4725/bucket/k", "s3://b/../c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		bucket, key, err := blob.ParseLocation(in)
		if err != nil {
			return
		}
		b, k, err := blob.ParseLocation("s3://" + bucket + "/" + key)
		if err != nil || b != bucket || k != key {
			t.Errorf("%q is %q, %q, which is no location: %q, %q, %v", in, bucket, key, b, k, err)
		}
	})
}

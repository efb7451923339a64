package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/receipt"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// must runs a command that has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, status := palate(t, args...)
	if status != 0 {
		t.Fatalf("palate %s: status %d, %s", strings.Join(args, " "), status, stderr)
	}
	return stdout
}

func TestEveryDeletionLeavesAReceiptThatCanBeCheckedElsewhere(t *testing.T) {
	fails(t, "has no receipts and no key yet", "receipt", "key", "--data", t.TempDir())
	s := server.Start(t)
	h := shop.Open(t, s)
	d := shop.Generate(60, 30, 1500, 91)
	h.LoadAll(d)
	version := h.Version(h.Solution("aws-user-personalization"))
	var jobs []string
	for n := range 2 {
		jobs = append(jobs, h.StartDeletion(d.Users[3*n:3*n+3]...))
		if job := h.Wait("dataDeletionJob", jobs[n]); job["status"] != "COMPLETED" {
			t.Fatal(job)
		}
	}

	file := must(t, "receipt", jobs[0], "--data", s.Data)
	for _, u := range d.Users[:3] {
		if strings.Contains(file, u) {
			t.Error("the receipt holds a user id")
		}
	}
	var signed struct{ Receipt receipt.Receipt }
	if err := json.Unmarshal([]byte(file), &signed); err != nil {
		t.Fatal(err)
	}
	r := signed.Receipt
	described := h.Must("DescribeDataDeletionJob", shop.M{"dataDeletionJobArn": jobs[0]})["dataDeletionJob"].(map[string]any)
	if float64(r.NumDeleted) != described["numDeleted"] || r.Input.Users != 3 || r.Number != 1 || r.Group != h.Group || !r.Verification.Clean {
		t.Errorf("the receipt says %+v, the API %v", r, described)
	}
	if len(r.Models) != 1 || r.Models[0].Resource != version || !r.Models[0].Rebuilt || len(r.Models[0].Manifest) == 0 {
		t.Errorf("models: %+v", r.Models)
	}
	for _, ds := range r.Datasets {
		if ds.Before.Rows-ds.Removed != ds.After.Rows || ds.Removed > 0 && ds.Before.SHA256 == ds.After.SHA256 {
			t.Errorf("dataset: %+v", ds)
		}
	}

	dir := t.TempDir() // another machine: two files and the public key
	var files []string
	for n, job := range jobs {
		files = append(files, filepath.Join(dir, []string{"a.json", "b.json"}[n]))
		if err := os.WriteFile(files[n], []byte(must(t, "receipt", job, "--data", s.Data)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(key, []byte(must(t, "receipt", "key", "--data", s.Data)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "receipt", "verify", "--key", key, files[0], files[1]); strings.Count(out, "signature right") != 2 {
		t.Errorf("verify: %s", out)
	}
	if _, stderr, status := palate(t, "receipt", "verify", files[1], files[0]); status != 1 || !strings.Contains(stderr, "chain") {
		t.Errorf("the wrong order: status %d, %s", status, stderr)
	}
	forged := strings.Replace(file, `"distinctUsers":3`, `"distinctUsers":4`, 1)
	if err := os.WriteFile(files[0], []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := palate(t, "receipt", "verify", files[0]); status != 1 || !strings.Contains(stderr, "signature does not match") {
		t.Errorf("a forged receipt: status %d, %s", status, stderr)
	}

	if out := must(t, "receipt", "list", "--data", s.Data); !strings.Contains(out, jobs[0]) || !strings.Contains(out, jobs[1]) {
		t.Errorf("list: %s", out)
	}
	if out := must(t, "receipt", "verify", "--all", "--data", s.Data); !strings.HasPrefix(out, "2 receipts") {
		t.Errorf("verify --all: %s", out)
	}
	if out := must(t, "receipt", "--text", jobs[1], "--data", s.Data); !strings.Contains(out, "rebuilt: ") || !strings.Contains(out, "found nothing") {
		t.Errorf("--text: %s", out)
	}
	if out := must(t, "receipt", jobs[1], "--salt", "--data", s.Data); strings.Count(out, "\n") != 2 {
		t.Errorf("--salt: %s", out)
	}
	if _, _, status := palate(t, "receipt", jobs[1], "--salt", "--data", s.Data); status != 1 {
		t.Error("the salt was given twice")
	}
	for _, job := range jobs { // the first receipt's model was rebuilt by the second deletion
		if out := must(t, "receipt", "replay", job, "--data", s.Data); !strings.Contains(out, "same: trained again") {
			t.Errorf("replay: %s", out)
		}
	}
	fails(t, "no receipt of arn:none", "receipt", "arn:none", "--data", s.Data)

	s.Stop()
	forge(t, h.ModelDirs()[0])
	if out, _, status := palate(t, "receipt", "replay", "--json", jobs[1], "--data", s.Data); status != 1 || !strings.Contains(out, `"ok":false`) ||
		!strings.Contains(out, version) || !strings.Contains(out, "DIFFERENT: the stored model is ") {
		t.Errorf("replay of a forged model: status %d, %s", status, out)
	}
	damaged := h.ModelDirs()[0] // as the replay finds it: an array that does not have its hash
	if err := os.WriteFile(filepath.Join(damaged, "prior"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _, status := palate(t, "receipt", "replay", jobs[1], "--data", s.Data); status != 1 || !strings.Contains(out, "DAMAGED") {
		t.Errorf("replay of a damaged model: status %d, %s", status, out)
	}
}

// forge changes one number of a model and all hashes that depend on it.
func forge(t *testing.T, dir string) {
	t.Helper()
	sum := func(text []byte) string {
		hash := sha256.Sum256(text)
		return hex.EncodeToString(hash[:])
	}
	values, err := os.ReadFile(filepath.Join(dir, "prior"))
	if err != nil {
		t.Fatal(err)
	}
	values[0] ^= 1
	text, err := os.ReadFile(filepath.Join(dir, recipe.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	var m recipe.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	for i := range m.Arrays {
		if m.Arrays[i].Name == "prior" {
			m.Arrays[i].SHA256 = sum(values)
		}
	}
	bare := m
	bare.Hash, bare.Seq, bare.Build = "", 0, ""
	if text, err = json.Marshal(bare); err != nil {
		t.Fatal(err)
	}
	m.Hash = sum(text)
	if text, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "prior"), values, 0o600), os.WriteFile(filepath.Join(dir, recipe.ManifestName), text, 0o600)); err != nil {
		t.Fatal(err)
	}
}

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palate-dev/palate/test/server"
)

// palate runs the binary to its end, in an empty directory.
func palate(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return palateIn(t, t.TempDir(), args...)
}

// palateIn runs the binary in a directory.
func palateIn(t *testing.T, dir string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	binary, err := server.Binary()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Dir = dir
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// fails asserts that a command ends with one line that says why, and nothing else.
func fails(t *testing.T, why string, args ...string) {
	t.Helper()
	stdout, stderr, status := palate(t, args...)
	if status != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, why) || stdout != "" {
		t.Errorf("palate %s: status %d, stdout %q, stderr %q; want one line with %q", strings.Join(args, " "), status, stdout, stderr, why)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestServeAnswersProbesAndEndsWithStatusZero(t *testing.T) {
	s := server.Start(t)
	for _, probe := range []string{"/healthz", "/readyz"} {
		if status, text := get(t, s.URL+probe); status != http.StatusOK {
			t.Errorf("%s answers %d %q", probe, status, text)
		}
	}
	if status := s.Stop(); status != 0 {
		t.Errorf("SIGTERM ended it with status %d", status)
	}
}

func TestASecondProcessOnTheSameDirectoryIsRefused(t *testing.T) {
	s := server.Start(t)
	fails(t, "another palate is using the data directory", "serve", "--listen", "127.0.0.1:0", "--data", s.Data)
	if status, _ := get(t, s.URL+"/readyz"); status != http.StatusOK {
		t.Error("the first process no longer serves")
	}
}

func TestABusyPortIsOneClearLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fails(t, "cannot listen on "+l.Addr().String()+":", "serve", "--listen", l.Addr().String(), "--data", filepath.Join(t.TempDir(), "d"))
}

func TestAnUnusableDirectoryIsOneClearLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, "data directory "+file, "serve", "--listen", "127.0.0.1:0", "--data", file)
	fails(t, "data directory", "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join("/proc", "palate"))
}

func TestBeyondLoopbackCredentialsAreRequired(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		fails(t, "refusing to listen on "+listen, "serve", "--listen", listen, "--data", filepath.Join(t.TempDir(), "d"))
	}
}

func TestHalfAConfigurationIsRefused(t *testing.T) {
	fails(t, "--limits must be local or aws", "serve", "--limits", "none")
	fails(t, "--account-id must be 12 digits", "serve", "--account-id", "me")
	fails(t, "--webhook: it must be https", "serve", "--webhook", "http://example.com/hook")
	fails(t, "--webhook needs PALATE_WEBHOOK_SECRET", "serve", "--webhook", "https://example.com/hook")
	t.Setenv("PALATE_WEBHOOK_SECRET", "guess me")
	fails(t, "PALATE_WEBHOOK_SECRET: it must be whsec_", "serve", "--webhook", "https://example.com/hook")
	t.Setenv("PALATE_WEBHOOK_SECRET", "")
	t.Setenv("PALATE_ACCESS_KEY_ID", "AKID")
	fails(t, "must be set together", "serve", "--listen", "127.0.0.1:0")
}

func TestAnUnknownLogFormatIsRefused(t *testing.T) {
	fails(t, "--log-format must be text or json", "serve", "--data", t.TempDir(), "--log-format", "xml")
}

func TestUnknownCommandsAndFlagsEndWithStatusTwo(t *testing.T) {
	for _, args := range [][]string{{}, {"fly"}, {"serve", "--fly"}, {"version", "now"}} {
		if _, stderr, status := palate(t, args...); status != 2 || stderr == "" {
			t.Errorf("palate %v: status %d, stderr %q", args, status, stderr)
		}
	}
	if stdout, _, status := palate(t, "version"); status != 0 || !strings.HasPrefix(stdout, "palate ") {
		t.Errorf("palate version: status %d, %q", status, stdout)
	}
}

func TestJobsListsEveryJobBesideARunningServer(t *testing.T) {
	fails(t, "no palate data in", "jobs", "--data", t.TempDir())
	s := server.Start(t)
	if stdout, _, _ := palate(t, "jobs", "--data", s.Data); stdout != "no jobs yet\n" {
		t.Errorf("an empty directory lists %q", stdout)
	}
	group := s.Make("CreateDatasetGroup", "datasetGroup", server.M{"name": "g"})
	job := s.Must("CreateDataDeletionJob", server.M{"jobName": "forget", "datasetGroupArn": group, "roleArn": "arn:aws:iam::000000000000:role/r",
		"dataSource": server.M{"dataLocation": "s3://nowhere/users.csv"}})["dataDeletionJobArn"].(string)
	s.Wait("dataDeletionJob", job)
	stdout, stderr, status := palate(t, "jobs", "--data", s.Data)
	if status != 0 || !strings.Contains(stdout, "data-deletion-job") || !strings.Contains(stdout, "FAILED") || !strings.Contains(stdout, "Insufficient privileges") {
		t.Errorf("status %d, stderr %q, jobs:\n%s", status, stderr, stdout)
	}
	stdout, _, _ = palate(t, "jobs", "--data", s.Data, "--json")
	var line struct {
		ARN, Status, FailureReason string
		CreationDateTime           time.Time
	}
	if err := json.Unmarshal([]byte(stdout), &line); err != nil || line.ARN != job || line.Status != "FAILED" || line.CreationDateTime.IsZero() {
		t.Errorf("jobs --json: %v %q", err, stdout)
	}
}

func TestConfiguredCredentialsAreChecked(t *testing.T) {
	t.Setenv("PALATE_ACCESS_KEY_ID", "AKIDREAL")
	t.Setenv("PALATE_SECRET_ACCESS_KEY", "secret")
	s := server.Start(t)
	if _, err := s.Call("ListDatasetGroups", server.M{}); err == nil || !strings.Contains(err.Error(), "UnrecognizedClientException") {
		t.Errorf("a stranger's key answered %v", err)
	}
}

func TestTheDemoTellsTheWholeStory(t *testing.T) {
	dir := t.TempDir()
	var interactions, items strings.Builder
	interactions.WriteString("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\n")
	items.WriteString("ITEM_ID,TITLE,GENRES\n")
	for i := range 40 {
		fmt.Fprintf(&items, "i%d,Title %d,%s\n", i, i, []string{"drama", "comedy"}[i%2])
	}
	for u := range 60 {
		for e := range 5 + u%7 {
			fmt.Fprintf(&interactions, "u%d,i%d,%d,view\n", u, (2*e*(u%5+1)+u%2)%40, 1_700_000_000+100*e+u)
		}
	}
	for name, text := range map[string]string{"interactions.csv": interactions.String(), "items.csv": items.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, status := palateIn(t, dir, "demo", "--interactions", "interactions.csv", "--items", "items.csv", "--files", "made")
	if status != 0 || !strings.Contains(stdout, "10. prove it") || !strings.Contains(stdout, "Title ") || !strings.Contains(stdout, "$ aws personalize create-data-deletion-job") {
		t.Errorf("status %d, stderr %q, story:\n%s", status, stderr, stdout)
	}
	for _, name := range []string{"interactions.csv", "interactions.json", "items.csv", "items.json", "users-to-delete.csv"} {
		if info, err := os.Stat(filepath.Join(dir, "made", name)); err != nil || info.Size() == 0 {
			t.Errorf("--files wrote no %s: %v", name, err)
		}
	}
}

package boto_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palate-dev/palate/test/server"
)

// Whatever is sent, an operation answers with success or with an exception that its model lists; the server never fails, in calls or in jobs.
func TestRandomRequestsAreAnsweredAsTheModelSays(t *testing.T) {
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import boto3").Run(); err != nil {
		t.Skip("python3 with boto3 is not installed: no random requests are sent")
	}
	seed := strconv.FormatInt(time.Now().UnixNano(), 10)
	if given := os.Getenv("PALATE_RANDOM_SEED"); given != "" {
		seed = given
	}
	t.Logf("PALATE_RANDOM_SEED=%s", seed)
	s := server.Start(t)
	random := exec.CommandContext(t.Context(), "python3", "monkey.py", seed, "2500")
	random.Env = environment(s.URL, "us-east-1")
	out, err := random.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	if status := s.Stop(); status != 0 {
		t.Errorf("the server ended with status %d", status)
	}
	for line := range strings.Lines(s.Log()) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "panic") {
			t.Error(line)
		}
	}
}

// environment points boto3 at a server, and away from what the machine has configured.
func environment(url, region string) []string {
	return append(os.Environ(), "AWS_ENDPOINT_URL="+url, "AWS_DEFAULT_REGION="+region, "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
}

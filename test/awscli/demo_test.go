// Package awscli_test does the main job with the AWS CLI: by the commands that `palate demo` prints, as they are printed. Without the CLI or bash the
// test says so and is skipped.
package awscli_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/server"
)

// fan has the most events, so the demo deletes him. His id is one that shells, CSV and JSON all treat in their own ways.
const fan = `zoë o'neil, "$HOME" \1`

// interactions are a small CSV file, in the dialect of Go and of spreadsheets.
func interactions() string {
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\n")
	for i := range 1500 {
		user := fmt.Sprintf("user-%d", i%40)
		if i%40 < 3 {
			user = `"` + strings.NewReplacer(`"`, `""`).Replace(fan) + `"`
		}
		fmt.Fprintf(&b, "%s,item-%d,%d,view\n", user, r.IntN(30), 1_600_000_000+60*i)
	}
	return b.String()
}

// more is what the demo does not show: a filter and a batch job, and the way back.
const more = `
group=arn:aws:personalize:us-east-1:000000000000:dataset-group/demo campaign=arn:aws:personalize:us-east-1:000000000000:campaign/films
filter=$(aws personalize create-filter --name seen --dataset-group-arn $group --filter-expression 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("view")' --query filterArn --output text)
ready filter $filter
echo '{"userId":"user-39"}' > users.json
aws s3 cp users.json s3://demo/ask/users.json
batch=$(aws personalize create-batch-inference-job --job-name b --solution-version-arn $version --filter-arn $filter --num-results 500 --role-arn arn:aws:iam::000000000000:role/palate \
	--job-input s3DataSource={path=s3://demo/ask/users.json} --job-output s3DataDestination={path=s3://demo/answers/} --query batchInferenceJobArn --output text)
ready batch-inference-job $batch
aws s3 cp s3://demo/answers/users.json.out batch.json
aws personalize-runtime get-recommendations --campaign-arn $campaign --user-id user-39 --num-results 500 --filter-arn $filter --query 'itemList[].itemId' --output json > filtered.json
aws personalize delete-filter --filter-arn $filter
aws personalize delete-campaign --campaign-arn $campaign
`

var endpoint = regexp.MustCompile(`AWS_ENDPOINT_URL=\S+`)

func TestTheCommandsOfTheDemoDoTheMainJob(t *testing.T) {
	if testing.Short() {
		t.Skip("the AWS CLI takes a second for each command")
	}
	for _, tool := range []string{"aws", "bash", "grep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: the printed commands are not tested", tool)
		}
	}
	binary, err := server.Binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	given := filepath.Join(dir, "given.csv")
	if err := os.WriteFile(given, []byte(interactions()), 0o600); err != nil {
		t.Fatal(err)
	}
	told, err := exec.CommandContext(t.Context(), binary, "demo", "--interactions", given, "--files", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, told)
	}

	s := server.Start(t)
	var script strings.Builder
	for line := range strings.Lines(string(told)) {
		if command, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "$ "); ok {
			script.WriteString(endpoint.ReplaceAllLiteralString(command, "AWS_ENDPOINT_URL="+s.URL))
		}
	}
	script.WriteString(more)
	shell := exec.CommandContext(t.Context(), "bash", "-euc", script.String())
	shell.Dir = dir
	shell.Env = append(os.Environ(), "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_PAGER=")
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("the commands:\n%s\nended with %v:\n%s", script.String(), err, out)
	}
	if strings.Contains(string(out), "FAILED") || strings.Count(string(out), `"itemId"`) != 10 {
		t.Errorf("the commands printed:\n%s", out)
	}

	listed := []string{}
	text, err := os.ReadFile(filepath.Join(dir, "filtered.json"))
	if err != nil || json.Unmarshal(text, &listed) != nil {
		t.Fatalf("what was asked under a filter: %v %q", err, text)
	}
	var line struct {
		Output struct{ RecommendedItems []string }
		Error  *string
	}
	text, err = os.ReadFile(filepath.Join(dir, "batch.json"))
	if err != nil || json.Unmarshal(text, &line) != nil || line.Error != nil {
		t.Fatalf("what the batch job wrote: %v %q", err, text)
	}
	slices.Sort(listed)
	slices.Sort(line.Output.RecommendedItems)
	if !slices.Equal(listed, line.Output.RecommendedItems) {
		t.Errorf("under a filter a request answers %v, a batch %v", listed, line.Output.RecommendedItems)
	}
	seen := interactions()
	for _, item := range listed {
		if strings.Contains(seen, "user-39,"+item+",") {
			t.Errorf("%s is answered, which the user has viewed", item)
		}
	}

	name := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(fan) + `"`
	before, after := rows(t, dir, "before"), rows(t, dir, "after")
	if n := strings.Count(before, name); n == 0 || !strings.Contains(before, "visitor-from-the-demo") {
		t.Errorf("the export before the deletion holds %d rows of the fan", n)
	}
	if strings.Contains(after, name) || strings.Contains(after, "visitor-from-the-demo") {
		t.Error("the export after the deletion still holds a deleted user")
	}
	if !strings.Contains(after, "\nuser-39,") {
		t.Error("the export after the deletion has lost other users")
	}
}

// rows are what the commands downloaded of one export.
func rows(t *testing.T, dir, export string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, export, "part-00000.csv"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

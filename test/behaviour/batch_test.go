package behaviour

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// A batchLine is one line of a result.
type batchLine struct {
	Input  any
	Output *struct {
		RecommendedItems []string
		Scores           []*float64
		Reasons          [][]string
		Theme            string
		Relevance        []float64 `json:"itemsThemeRelevanceScores"`
	}
	Error *string
}

// batch runs an inference job over one object with the given lines and returns the lines of its result.
func batch(h *shop.Shop, version string, with M, lines ...string) []batchLine {
	h.T.Helper()
	return decoded[batchLine](h, h.Batch(shop.Inference, version, with, lines...))
}

func resultOf(h *shop.Shop, key string) []batchLine {
	h.T.Helper()
	return decoded[batchLine](h, h.ResultOf(key))
}

// decoded reads the lines of a result.
func decoded[T any](h *shop.Shop, lines []string) (out []T) {
	h.T.Helper()
	for _, line := range lines {
		var l T
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			h.T.Fatalf("a line of a result is not JSON: %v", err)
		}
		out = append(out, l)
	}
	return out
}

// A job answers each line as a request would be, and says of each bad line what is wrong with it.
func TestABatchAnswersAsRequestsAreAnswered(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(80, 50, 1600, 31)
	h.LoadAll(d)
	version := h.Version(h.Solution("aws-user-personalization"))
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "batch", "solutionVersionArn": version, "campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	h.Tracker()
	with := M{"numResults": 7, "batchInferenceJobConfig": M{"itemExplorationConfig": M{"exploration_weight": "0"}}}
	users := append(slices.Clone(d.Users[:600%len(d.Users)]), "nobody", strings.Repeat("é", 256))
	lines := []string{`{"userId":`, `{"user":"x"}`, `{"itemId":"x"}`, `{"userId":7}`, `{"userId":"x","filterValues":{"A":"\"b\""}}`, `[]`, "", `{"userId":"` + strings.Repeat("x", 257) + `"}`,
		`{"userId":"` + strings.Repeat("é", 257) + `"}`, `{"userId":"x"} {}`, `{"userId":"x","numResults":3}`, `null`}
	bad := len(lines) - 1 // an empty line is none
	for _, user := range users {
		lines = append(lines, fmt.Sprintf(`{ "userId": %q }`, user))
	}
	got := batch(h, version, with, lines...)
	if len(got) != bad+len(users) {
		t.Fatalf("%d results for %d lines", len(got), bad+len(users))
	}
	for i, l := range got[:bad] {
		if l.Output != nil || l.Error == nil || *l.Error == "" || strings.Contains(*l.Error, "xxx") {
			t.Errorf("bad line %d has the result %+v", i, l)
		}
	}
	for i, l := range got[bad:] {
		var items []string
		var scores []*float64
		for _, item := range h.Answer(campaign, users[i], 7) {
			items = append(items, item["itemId"].(string))
			scores = append(scores, new(item["score"].(float64)))
		}
		if l.Error != nil || l.Output == nil {
			t.Fatalf("line %d has the result %+v", i, l)
		}
		if diff := cmp.Diff(items, l.Output.RecommendedItems) + cmp.Diff(scores, l.Output.Scores) + cmp.Diff(any(M{"userId": users[i]}), l.Input); diff != "" {
			t.Errorf("line %d: %s", i, diff)
		}
	}

	if n := h.Forget(d.Users[0]); n == 0 {
		t.Error("nothing was deleted")
	}
	after := batch(h, version, with, fmt.Sprintf("\ufeff{\"userId\":%q}\r", d.Users[0]), `{"userId":"nobody"}`) // as a shell of Windows writes it
	if diff := cmp.Diff(after[1].Output, after[0].Output); diff != "" || after[0].Error != nil {
		t.Errorf("a deleted user is not answered as an unknown one: %s", diff)
	}
}

func TestBatchesOfAllRecipesHaveTheirFormats(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(80, 50, 1600, 32)
	h.LoadAll(d)
	item := func(n int) string { return d.Items[n][0] }
	ranking := h.Version(h.Solution("aws-personalized-ranking"))
	list := fmt.Sprintf(`{"userId":%q,"itemList":[%q,"unknown",%q]}`, d.Users[1], item(4), item(5))
	if got := batch(h, ranking, M{"numResults": 1}, list, `{"userId":"x","itemList":[]}`, `{"itemList":["x"]}`); len(got[0].Output.RecommendedItems) != 3 || got[1].Error == nil || got[2].Error == nil {
		t.Errorf("numResults is not for rankings: %+v", got)
	}
	for name, line := range map[string]string{
		"aws-user-personalization-v2": fmt.Sprintf(`{"userId":%q}`, d.Users[1]),
		"aws-popularity-count":        fmt.Sprintf(`{"userId":%q}`, d.Users[1]),
		"aws-sims":                    fmt.Sprintf(`{"itemId":%q}`, item(3)),
		"aws-personalized-ranking-v2": list,
	} {
		got := batch(h, h.Version(h.Solution(name)), nil, line)
		if len(got) != 1 || got[0].Error != nil || got[0].Output == nil || len(got[0].Output.RecommendedItems) == 0 {
			t.Fatalf("%s: %+v", name, got)
		}
		out := got[0].Output
		scored, reasoned := strings.HasPrefix(name, "aws-user") || strings.HasPrefix(name, "aws-personalized"), name == "aws-user-personalization-v2"
		if (out.Scores != nil) != scored || (out.Reasons != nil) != reasoned || reasoned && len(out.Reasons) != len(out.RecommendedItems) {
			t.Errorf("%s: %+v", name, out)
		}
		if name == "aws-personalized-ranking-v2" && (len(out.RecommendedItems) != 3 || out.RecommendedItems[2] != "unknown" || out.Scores[2] != nil || out.Scores[0] == nil) {
			t.Errorf("ranking: %+v", out)
		}
		if name == "aws-sims" && slices.Contains(out.RecommendedItems, item(3)) {
			t.Error("an item is related to itself")
		}
	}
}

// A job over a folder has a result for each object, also if the server dies between two of them.
func TestABatchThatIsKilledGoesOnWithTheNextObject(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(60, 40, 1200, 33)
	h.Load(h.Interactions, d.Interactions)
	version := h.Version(h.Solution("aws-popularity-count"))
	for n := range 3 {
		h.Upload(h.Objects, fmt.Sprintf("ask/folder/%d.json", n), fmt.Sprintf(`{"userId":%q}`, d.Users[n]))
	}
	h.Stop()
	h.Env = []string{"PALATE_CRASH=batch/object:2"}
	h.Restart()
	arn, folder := h.StartBatch(shop.Inference, version, "ask/folder/", nil)
	if !h.Died(t.Context()) {
		t.Fatal("the server did not come by the crash point")
	}
	h.Env = nil
	h.Restart()
	if job := h.Wait("batchInferenceJob", arn); job["status"] != "ACTIVE" {
		t.Fatalf("%v", job["failureReason"])
	}
	for n := range 3 {
		got := resultOf(h, fmt.Sprintf("%s%d.json.out", folder, n))
		if diff := cmp.Diff(any(M{"userId": d.Users[n]}), got[0].Input); len(got) != 1 || diff != "" {
			t.Errorf("object %d: %v %s", n, got, diff)
		}
	}

	for key, reason := range map[string]string{"ask/none/": "does not contain any input", "ask/bad.json": "No line of the input could be answered"} {
		if key == "ask/bad.json" {
			h.Upload(h.Objects, key, "nonsense\n")
		}
		arn, _ := h.StartBatch(shop.Inference, version, key, nil)
		if job := h.Wait("batchInferenceJob", arn); job["status"] != "CREATE FAILED" || !strings.Contains(job["failureReason"].(string), reason) {
			t.Errorf("%s: %v %v", key, job["status"], job["failureReason"])
		}
	}
	if listed := h.Must("ListBatchInferenceJobs", M{"solutionVersionArn": version})["batchInferenceJobs"].([]any); len(listed) != 3 {
		t.Errorf("%d jobs are listed", len(listed))
	}
}

// A job that is killed in the middle of an object, between two, and while the input grows, ends with the bytes of one that was left in peace. Its output lies in the
// folder of its input, and is none of it. The storage is another process, which lives on.
func TestABatchThatIsKilledHasTheBytesOfOneThatIsNot(t *testing.T) {
	t.Parallel()
	s3 := server.StartIn(t, []string{"PALATE_ACCESS_KEY_ID=AKIDSTORE", "PALATE_SECRET_ACCESS_KEY=right"}, "--verbose")
	s3.AccessKey, s3.SecretKey = "AKIDSTORE", "right"
	s := server.StartIn(t, []string{"PALATE_S3_ACCESS_KEY_ID=AKIDSTORE", "PALATE_S3_SECRET_ACCESS_KEY=right"}, "--verbose", "--s3-endpoint", s3.URL)
	t.Cleanup(func() { noCanaryEscaped(t, s) })
	env := s.Env
	h := shop.Open(t, s)
	h.Objects = s3.Bucket("shop")
	d := shop.Generate(60, 40, 1200, 35)
	h.Load(h.Interactions, d.Interactions)
	version := h.Version(h.Solution("aws-user-personalization"))
	object := func(lines int) string {
		var b strings.Builder
		for n := range lines {
			if n%100 == 99 {
				b.WriteString("no line\n")
			}
			fmt.Fprintf(&b, "{\"userId\":%q}\n", d.Users[n%len(d.Users)])
		}
		return b.String()
	}
	inputs := map[string]string{"b.json": object(1600), "c.json": object(700), "d.json": object(3)}
	for name, text := range inputs {
		h.Upload(h.Objects, "peace/"+name, text)
		h.Upload(h.Objects, "killed/"+name, text)
	}
	still := M{"batchInferenceJobConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}}
	start := func(input, output string) (arn string) {
		arn, _ = h.StartBatch(shop.Inference, version, input, with(still, M{"jobOutput": M{"s3DataDestination": M{"path": "s3://shop/" + output}}}))
		return arn
	}
	if job := h.Wait("batchInferenceJob", start("peace/", "peace/out")); job["status"] != "ACTIVE" {
		t.Fatalf("in peace: %v", job["failureReason"])
	}
	var arn string
	for n, point := range []string{"batch/lines:3", "batch/object:2", "batch/object:2", ""} {
		if n == 0 {
			h.Stop()
		}
		h.Env = append(slices.Clone(env), "PALATE_CRASH="+point)
		if err := h.TryRestart(); err != nil && point == "" {
			t.Fatal(err)
		} else if err != nil {
			continue // it has died before it was ready
		}
		if n == 0 {
			arn = start("killed/", "killed/out/")
		}
		if point != "" && !h.Died(t.Context()) {
			t.Fatalf("the server did not come by %s", point)
		}
		if n == 1 { // comes before all others
			h.Upload(h.Objects, "killed/a.json", inputs["d.json"])
		}
	}
	if job := h.Wait("batchInferenceJob", arn); job["status"] != "ACTIVE" {
		t.Fatalf("killed: %v", job["failureReason"])
	}
	bytes := func(key string) string {
		texts := h.Download(h.Objects, key)
		if len(texts) != 1 {
			t.Fatalf("%d objects are called %s", len(texts), key)
		}
		return texts[0]
	}
	for name, text := range inputs {
		want, got := bytes("peace/out/"+name+".out"), bytes("killed/out/"+name+".out")
		if want != got || strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("%s: %d bytes, %d in peace, for %d lines", name, len(got), len(want), strings.Count(text, "\n"))
		}
	}
	if bytes("killed/out/a.json.out") != bytes("killed/out/d.json.out") {
		t.Error("an object that came while the job was cut off has other results than its twin")
	}
	for folder, want := range map[string]int{"peace/out/": 4, "killed/out/": 5} { // with _CHECK
		if n := len(h.Download(h.Objects, folder)); n != want {
			t.Errorf("%s has %d objects, want %d", folder, n, want)
		}
	}
}

// TestABatchThatNeverFitsIntoTheMemoryFails: what a job reads beside its model shares --training-memory.
func TestABatchThatNeverFitsIntoTheMemoryFails(t *testing.T) {
	t.Parallel()
	s := start(t)
	h := shop.Open(t, s)
	d := shop.Generate(60, 40, 1200, 41)
	h.LoadAll(d)
	version, segments := h.Version(h.Solution("aws-user-personalization")), h.Version(h.Solution("aws-item-affinity"))
	filters := map[string]string{}
	for name, expression := range map[string]string{"events": `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("view")`, "items": `INCLUDE ItemID WHERE Items.PRICE > 1`} {
		filters[name] = h.Make("CreateFilter", "filter", M{"name": name, "datasetGroupArn": h.Group, "filterExpression": expression})
	}
	line := fmt.Sprintf(`{"userId":%q}`, d.Users[0])
	with := M{"filterArn": filters["items"], "batchInferenceJobConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}}
	want := batch(h, version, with, line)
	s.Stop()
	s.Args("--training-memory", "1MiB")
	s.Restart()
	h.Upload(h.Objects, "line", line)
	h.Upload(h.Objects, "item", fmt.Sprintf(`{"itemId":%q}`, d.Items[0][0]))
	for name, arn := range filters {
		job, _ := h.StartBatch(shop.Inference, version, "line", M{"filterArn": arn})
		reason := failure(h, "batchInferenceJob", job)
		for _, part := range []string{map[string]string{"events": " 1200 interactions and 0 records", "items": " 0 interactions and 40 records"}[name], "take 1 MiB", "--training-memory"} {
			if !strings.Contains(reason, part) {
				t.Errorf("a filter on %s: %q does not say %q", name, reason, part)
			}
		}
	}
	job, _ := h.StartBatch(shop.Segment, segments, "item", nil)
	if reason := failure(h, "batchSegmentJob", job); !strings.Contains(reason, "--training-memory") {
		t.Errorf("segments: %q", reason)
	}
	if got := batch(h, version, nil, line); got[0].Error != nil { // reads nothing beside its model
		t.Errorf("without a filter: %v", *got[0].Error)
	}
	s.Stop()
	s.Args("--training-memory", "1GiB")
	s.Restart()
	if diff := cmp.Diff(want, batch(h, version, with, line)); diff != "" {
		t.Errorf("with enough memory: %s", diff)
	}
}

package behaviour

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// tuned creates a solution that searches bptt and recency_mask.
func tuned(h *shop.Shop, trials int) (arn string) {
	h.T.Helper()
	return h.Make("CreateSolution", "solution", M{"name": h.Name("tuned"), "datasetGroupArn": h.Group, "performAutoTraining": false, "performHPO": true,
		"recipeArn": "arn:aws:personalize:::recipe/aws-user-personalization",
		"solutionConfig": M{
			"algorithmHyperParameters": M{"hidden_dimension": "64", "bptt": "3"},
			"hpoConfig": M{
				"hpoResourceConfig": M{"maxNumberOfTrainingJobs": strconv.Itoa(trials), "maxParallelTrainingJobs": "2"},
				"algorithmHyperParameterRanges": M{
					"integerHyperParameterRanges":     []M{{"name": "bptt", "minValue": 2, "maxValue": 32}},
					"continuousHyperParameterRanges":  []M{},
					"categoricalHyperParameterRanges": []M{{"name": "data.recency_mask", "values": []string{"true", "false"}}},
				},
			},
		}})
}

func choice(h *shop.Shop, version string) (M, any) {
	h.T.Helper()
	d, err := h.Describe("solutionVersion", version)
	if err != nil {
		h.T.Fatal(err)
	}
	params, _ := d["tunedHPOParams"].(M)
	return params, h.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"]
}

func TestHyperparametersAreSearchedAndReported(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	h.Load(h.Interactions, shop.Generate(120, 60, 3000, 51).Interactions)
	solution := tuned(h, 6)
	d, err := h.Describe("solution", solution)
	if err != nil || d["performHPO"] != true {
		t.Fatalf("solution %v, %v", d, err)
	}
	config := d["solutionConfig"].(M)
	ranges := config["hpoConfig"].(M)["algorithmHyperParameterRanges"]
	want := M{
		"integerHyperParameterRanges":     []any{M{"name": "training.bptt", "minValue": 2.0, "maxValue": 32.0}},
		"continuousHyperParameterRanges":  []any{},
		"categoricalHyperParameterRanges": []any{M{"name": "data.recency_mask", "values": []any{"true", "false"}}},
	}
	if diff := cmp.Diff(want, ranges); diff != "" {
		t.Errorf("ranges (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(M{"hidden_dimension": "64", "bptt": "3"}, config["algorithmHyperParameters"]); diff != "" {
		t.Errorf("hyperparameters (-want +got):\n%s", diff)
	}

	first, second := h.Version(solution), h.Version(solution)
	params, metrics := choice(h, first)
	again, metricsAgain := choice(h, second)
	if diff := cmp.Diff(params, again); diff != "" {
		t.Errorf("two searches of the same data differ:\n%s", diff)
	}
	if diff := cmp.Diff(metrics, metricsAgain); diff != "" {
		t.Errorf("two searches of the same data measure differently:\n%s", diff)
	}
	chosen, _ := params["algorithmHyperParameters"].(M)
	bptt, _ := chosen["bptt"].(string)
	if n, err := strconv.Atoi(bptt); err != nil || n < 2 || n > 32 || len(chosen) != 2 {
		t.Errorf("chosen: %v", params)
	}
	plain := h.Make("CreateSolution", "solution", M{"name": "as-chosen", "datasetGroupArn": h.Group, "performAutoTraining": false,
		"recipeArn":      "arn:aws:personalize:::recipe/aws-user-personalization",
		"solutionConfig": M{"algorithmHyperParameters": M{"hidden_dimension": "64", "bptt": bptt, "recency_mask": chosen["recency_mask"]}}})
	direct := h.Version(plain)
	none, directMetrics := choice(h, direct)
	if diff := cmp.Diff(directMetrics, metrics); diff != "" || none != nil {
		t.Errorf("a training with the chosen values: tunedHPOParams %v, metrics\n%s", none, diff)
	}
}

func TestASearchSurvivesAKillAndForgetsWhoIsDeleted(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(200, 80, 8000, 53)
	h.Load(h.Interactions, d.Interactions)
	solution := tuned(h, 12)
	begun := func() string {
		arn := h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string)
		h.WatchFor("solutionVersion", arn, "CREATE IN_PROGRESS", "ACTIVE")
		return arn
	}
	undisturbed := h.Version(solution)
	killed := begun()
	eventually(t, "some candidates are done", func() bool {
		j := jobOf(t, h, killed)
		return j.Done >= 2 || j.Status == "ACTIVE"
	})
	h.Kill()
	h.Restart()
	if d := h.Wait("solutionVersion", killed); d["status"] != "ACTIVE" || d["tunedHPOParams"] == nil {
		t.Fatalf("after a kill: %v", d)
	}
	chosen, measured := choice(h, killed)
	alone, measuredAlone := choice(h, undisturbed)
	if !cmp.Equal(chosen, alone) || !cmp.Equal(measured, measuredAlone) {
		t.Errorf("a search that was killed chose %v (%v), another one %v (%v)", chosen, measured, alone, measuredAlone)
	}
	overtaken := begun()
	h.Forget(d.Users[:20]...)
	if d := h.Wait("solutionVersion", overtaken); d["status"] != "ACTIVE" {
		t.Fatalf("overtaken by a deletion: %v", d)
	}
	fresh := h.Version(solution) // has never seen them
	params, metrics := choice(h, fresh)
	for what, arn := range map[string]string{"that was trained before the deletion": killed, "that the deletion overtook": overtaken} {
		got, measured := choice(h, arn)
		if diff := cmp.Diff(params, got); diff != "" {
			t.Errorf("a version %s has chosen otherwise than one that never saw the users:\n%s", what, diff)
		}
		if diff := cmp.Diff(metrics, measured); diff != "" {
			t.Errorf("a version %s measures otherwise than one that never saw the users:\n%s", what, diff)
		}
	}
}

// A deletion that dies while it searches for a model that it makes again, and one that comes upon a search that was killed, end with the choice of a training that
// never saw the users.
func TestADeletionThatIsKilledInASearchChoosesAsIfNobodyHadBeenThere(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(120, 60, 3000, 57)
	h.Load(h.Interactions, d.Interactions)
	solution := tuned(h, 5)
	trained := h.Version(solution)
	h.Stop()
	h.Env = []string{"PALATE_CRASH=rebuild/trial:3"}
	h.Restart()
	deletion := h.StartDeletion(d.Users[:10]...)
	if !h.Died(t.Context()) {
		t.Fatal("the deletion made no search")
	}
	h.Env = nil
	h.Restart()
	if d := h.Wait("dataDeletionJob", deletion); d["status"] != "COMPLETED" {
		t.Fatalf("deletion: %v", d["failureReason"])
	}
	same := func(what, arn string) {
		t.Helper()
		if d := h.Wait("solutionVersion", arn); d["status"] != "ACTIVE" {
			t.Fatalf("%s: %v", what, d["failureReason"])
		}
		params, metrics := choice(h, h.Version(solution))
		got, measured := choice(h, arn)
		if diff := cmp.Diff(params, got) + cmp.Diff(metrics, measured); diff != "" {
			t.Errorf("%s has chosen otherwise than a version that never saw the users:\n%s", what, diff)
		}
	}
	same("the version that was made again", trained)
	h.AssertNoBytesOf(d.Users[:10]...)

	killed := h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string)
	eventually(t, "some candidates are done", func() bool {
		j := jobOf(t, h, killed)
		return j.Done >= 2 || j.Status == "ACTIVE"
	})
	h.Kill()
	h.Restart()
	h.Forget(d.Users[10:20]...)
	same("the version that was killed", killed)
	h.AssertNoBytesOf(d.Users[:20]...)
}

func TestASolutionTrainsByItselfAndItsCampaignFollows(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--first-training", "2s"))
	d := shop.Generate(80, 40, 1500, 55)
	h.Load(h.Interactions, d.Interactions)
	solution := h.Make("CreateSolution", "solution", M{"name": "by-itself", "datasetGroupArn": h.Group, "recipeArn": "arn:aws:personalize:::recipe/aws-user-personalization-v2"})
	var versions []any
	eventually(t, "a version is trained without anybody asking", func() bool {
		versions = h.Must("ListSolutionVersions", M{"solutionArn": solution})["solutionVersions"].([]any)
		return len(versions) > 0 && versions[0].(M)["status"] == "ACTIVE"
	})
	first := versions[0].(M)
	if first["trainingType"] != "AUTOMATIC" || first["trainingMode"] != "AUTOTRAIN" || len(versions) != 1 {
		t.Errorf("versions %v", versions)
	}
	v, err := h.Describe("solutionVersion", first["solutionVersionArn"].(string))
	if params, _ := v["tunedHPOParams"].(M); err != nil || params["algorithmHyperParameters"].(M)["apply_recency_bias"] == nil || v["performHPO"] != false {
		t.Errorf("the first automatic training of the second generation searches: %v, %v", v, err)
	}
	follows := h.Make("CreateCampaign", "campaign", M{"name": "follows", "solutionVersionArn": solution + "/$LATEST", "campaignConfig": M{"syncWithLatestSolutionVersion": true}})
	h.Load(h.Interactions, d.Interactions[:1200])
	h.Must("UpdateSolution", M{"solutionArn": solution, "solutionUpdateConfig": M{"autoTrainingConfig": M{"schedulingExpression": "rate(1 day)"}}})
	eventually(t, "another rate brings another training, and the campaign follows", func() bool {
		versions = h.Must("ListSolutionVersions", M{"solutionArn": solution})["solutionVersions"].([]any)
		c, err := h.Describe("campaign", follows)
		return err == nil && len(versions) == 2 && c["solutionVersionArn"] == versions[0].(M)["solutionVersionArn"]
	})
	if v, err := h.Describe("solutionVersion", versions[0].(M)["solutionVersionArn"].(string)); err != nil || v["tunedHPOParams"] != nil {
		t.Errorf("within 90 days the choice is kept: %v, %v", v, err)
	}
}

func TestASearchCanBeStopped(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	h.Load(h.Interactions, shop.Generate(300, 200, 30_000, 52).Interactions)
	h.Version(h.Solution("aws-popularity-count"))
	arn := h.Must("CreateSolutionVersion", M{"solutionArn": tuned(h, 40)})["solutionVersionArn"].(string)
	h.WatchFor("solutionVersion", arn, "CREATE IN_PROGRESS")
	time.Sleep(50 * time.Millisecond) // into the search; any moment will do
	h.Must("StopSolutionVersionCreation", M{"solutionVersionArn": arn})
	seen, d := h.WatchFor("solutionVersion", arn, "CREATE STOPPED", "ACTIVE")
	if seen[len(seen)-1] != "CREATE STOPPED" || d["tunedHPOParams"] != nil || d["trainingHours"] != nil {
		t.Errorf("went %v and is %v", seen, d)
	}
	if dirs := h.ModelDirs(); len(dirs) != 1 {
		t.Errorf("%d model directories are left of one training that ended and one that did not", len(dirs))
	}
}

func TestAutoMLChoosesTheSuccessorOfItsRecipes(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	h.Load(h.Interactions, shop.Generate(80, 40, 1500, 54).Interactions)
	const successor = "arn:aws:personalize:::recipe/aws-user-personalization"
	solution := h.Make("CreateSolution", "solution", M{"name": "auto", "datasetGroupArn": h.Group, "performAutoML": true, "performAutoTraining": false,
		"solutionConfig": M{"autoMLConfig": M{"metricName": "precision_at_25", "recipeList": []string{"arn:aws:personalize:::recipe/aws-hrnn", successor}}}})
	d, err := h.Describe("solution", solution)
	if err != nil || d["performAutoML"] != true || d["performHPO"] != true || d["autoMLResult"] != nil {
		t.Fatalf("solution %v, %v", d, err)
	}
	version := h.Version(solution)
	if d, err = h.Describe("solution", solution); err != nil || d["autoMLResult"].(M)["bestRecipeArn"] != successor {
		t.Errorf("solution %v, %v", d, err)
	}
	if d, err = h.Describe("solutionVersion", version); err != nil || d["performAutoML"] != true || d["tunedHPOParams"] == nil || d["recipeArn"] != successor {
		t.Errorf("version %v, %v", d, err)
	}
}

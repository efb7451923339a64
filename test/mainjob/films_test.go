package mainjob

import (
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// Real ratings, where the developers have them beside the checkout; their licence does not let us ship them.
const films = "../../../shared/data/ml-latest-small"

func readCSV(t *testing.T, name string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(films, name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("ml-latest-small is not beside this checkout: the generated data of the other tests has to do")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestTheMainJobOnRealFilms(t *testing.T) {
	ratings := readCSV(t, "interactions.csv")
	h := shop.Open(t, server.Start(t))
	h.Load(h.Interactions, ratings)
	quality := map[string]float64{}
	for _, recipe := range []string{"aws-popularity-count", "aws-user-personalization", "aws-user-personalization-v2"} {
		version := h.Version(h.Solution(recipe))
		metrics := h.Must("GetSolutionMetrics", server.M{"solutionVersionArn": version})["metrics"].(server.M)
		quality[recipe] = metrics["normalized_discounted_cumulative_gain_at_10"].(float64)
		t.Logf("%-28s NDCG@10 %.4f", recipe, quality[recipe])
	}
	if quality["aws-user-personalization-v2"] <= quality["aws-popularity-count"] {
		t.Error("personalization is no better than popularity")
	}
	want := 0
	for _, row := range ratings {
		if row[0] == "547" || row[0] == "1" {
			want++
		}
	}
	if got := h.Forget("547", "1"); got != want {
		t.Errorf("numDeleted is %d, want %d", got, want)
	}
	for _, row := range h.Export(h.Interactions, "ALL") {
		if row[0] == "547" || row[0] == "1" {
			t.Fatal("the export holds a deleted user")
		}
	}
}

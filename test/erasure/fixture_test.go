package erasure

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

type M = server.M

// canary begins every user id that the tests make up. It must not appear in anything that the server says.
const canary = "canary"

// start runs a server, whose words are searched for ids in the end.
func start(t *testing.T, args ...string) *server.Server {
	t.Helper()
	s := server.Start(t, append([]string{"--verbose"}, args...)...)
	t.Cleanup(func() { saysNothing(t, s) })
	return s
}

// saysNothing looks for ids in all that the server has put out: log, errors, failure reasons, names of its files.
func saysNothing(t *testing.T, s *server.Server) {
	t.Helper()
	for place, text := range map[string]string{"log": s.Log(), "answers": s.Words()} {
		for line := range strings.Lines(text) {
			if strings.Contains(line, canary) {
				t.Errorf("the server's %s holds an id: %s", place, line)
				break
			}
		}
	}
	for _, rel := range names(t, s.Data) {
		if strings.Contains(rel, canary) {
			t.Errorf("a file is named after an id: %s", rel)
		}
	}
}

// names lists the files below a directory.
func names(t *testing.T, root string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		found = append(found, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return found
}

// files is names with the hash of each file. Those that go away meanwhile are left out.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, rel := range names(t, root) {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(rel)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		found[rel] = hex.EncodeToString(sum[:])
	}
	return found
}

// state is what a dataset group holds: rows, and the hashes of its only model.
type state struct {
	Interactions, People []string
	Model                map[string]string
}

func stateOf(h *shop.Shop) state {
	h.T.Helper()
	return state{shop.Lines(h.Export(h.Interactions, "ALL")), shop.Lines(h.Export(h.People, "ALL")), h.ModelBytes()}
}

// same compares two states.
func same(t *testing.T, what string, want, got state) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

// trained fills a shop and trains one model, which a campaign serves without exploring.
func trained(t *testing.T, s *server.Server, d shop.Data) (h *shop.Shop, campaign string) {
	t.Helper()
	h = shop.Open(t, s)
	h.LoadAll(d)
	return h, h.Make("CreateCampaign", "campaign", M{"name": "front", "solutionVersionArn": h.Version(h.Solution("aws-user-personalization")),
		"campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
}

// without is the shop of a world that never had the users.
func without(d shop.Data, users ...string) shop.Data {
	d.Interactions, d.Profiles = shop.Without(d.Interactions, users...), shop.Without(d.Profiles, users...)
	return d
}

// send sends one event.
func send(h *shop.Shop, tracking, user, item string, sent time.Time) {
	h.T.Helper()
	h.Must("PutEvents", M{"trackingId": tracking, "userId": user, "sessionId": user + "-session",
		"eventList": []M{{"eventType": "view", "itemId": item, "sentAt": sent.Unix()}}})
}

// rowsOf counts the rows of users.
func rowsOf(rows [][]string, users ...string) (n int) {
	for _, row := range rows[1:] {
		if slices.Contains(users, row[0]) {
			n++
		}
	}
	return n
}

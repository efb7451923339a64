package cli

import (
	"testing"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// Other processes may read the data directory of a running server. POSIX lets a process lose its locks on a file by closing any descriptor of it, and a
// server without its locks would have its database's log taken away by the next reader: what it wrote from then on would be lost.
func TestAReaderBesideTheServerAfterADeletionLosesNothing(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, server.Start(t))
	data := shop.Generate(20, 20, 100, 1)
	h.LoadAll(data)
	h.Forget(data.Users[0]) // its verification reads the files of the database
	must(t, "jobs", "--data", h.Data)
	arn := h.Schema("late", shop.ItemsSchema)
	h.Kill()
	h.Restart()
	if _, err := h.Describe("schema", arn); err != nil {
		t.Errorf("what was created beside a reader is lost: %v", err)
	}
}

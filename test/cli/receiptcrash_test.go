package cli

import (
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// A deletion that dies before, while and after it signs has one receipt, and its digest is that of the salt and the list.
func TestADeletionThatDiesAroundItsReceiptHasOne(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, server.Start(t))
	d := shop.Generate(30, 20, 300, 92)
	h.Load(h.Interactions, d.Interactions)
	for n, point := range []string{"receipt:1", "receipt:2"} {
		h.Stop()
		h.Env = []string{"PALATE_CRASH=erase/" + point}
		h.Restart()
		arn := h.StartDeletion(d.Users[n])
		if !h.Died(t.Context()) {
			t.Fatalf("the server did not come by %s", point)
		}
		h.Env = nil
		h.Restart()
		if job := h.Wait("dataDeletionJob", arn); job["status"] != "COMPLETED" {
			t.Fatalf("%s: %v", point, job)
		}
		if out := must(t, "receipt", "list", "--data", h.Data); strings.Count(out, "\n") != n+2 || strings.Count(out, arn+"\n") != 1 {
			t.Errorf("%s: receipts:\n%s", point, out)
		}
	}
	if out := must(t, "receipt", "verify", "--all", "--data", h.Data); !strings.HasPrefix(out, "2 receipts") {
		t.Error(out)
	}
}

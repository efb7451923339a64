package behaviour

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/shop"
)

// TestTheLogTellsTheLifeOfEachJobInJSON reads every line of the log as an object and finds the beginning, the rows, the steps and the end of each job in it.
func TestTheLogTellsTheLifeOfEachJobInJSON(t *testing.T) {
	s := start(t, "--log-format", "json")
	h := shop.Open(t, s)
	imported := h.StartImport(h.Interactions, [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"},
		{canary + "1", "i1", "1700000000", "view", ""}, {canary + "2", "i2", "1700000001", "view", ""}}, "FULL")
	h.Imported(imported)
	deletion := h.StartDeletion(canary + "1")
	h.Wait("dataDeletionJob", deletion)
	s.Stop()

	told := map[string]map[string]any{} // by message and resource
	for line := range strings.Lines(s.Log()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("a line of the log is no JSON object: %s", line)
		}
		resource, ok := entry["resource"].(string)
		if !ok {
			resource, _ = entry["job"].(string)
		}
		step, _ := entry["step"].(string)
		told[entry["msg"].(string)+step+" "+resource] = entry
	}
	for _, want := range []string{
		"job started " + imported, "job ended " + imported, "import finished " + imported,
		"job started " + deletion, "job stephide " + deletion, "job stepverify " + deletion, "job ended " + deletion, "data deletion finished " + deletion,
	} {
		if told[want] == nil {
			t.Errorf("the log lacks %q:\n%s", want, s.Log())
		}
	}
	if end := told["job ended "+deletion]; end["done"] != true || end["took"] == nil {
		t.Errorf("the end of the deletion: %v", end)
	}
	if end := told["import finished "+imported]; end["rows"] != 2.0 {
		t.Errorf("the end of the import: %v", end)
	}
}

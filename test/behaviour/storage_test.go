package behaviour

import (
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// Two processes: one is the S3, the other one finds its buckets there.
func TestJobsWorkOnAnotherS3(t *testing.T) {
	t.Parallel()
	s3 := server.StartIn(t, []string{"PALATE_ACCESS_KEY_ID=AKIDSTORE", "PALATE_SECRET_ACCESS_KEY=right"}, "--verbose")
	s3.AccessKey, s3.SecretKey = "AKIDSTORE", "right"
	t.Cleanup(func() { noCanaryEscaped(t, s3) })
	objects := s3.Bucket("shop")

	// open makes a shop whose bucket is not its server's own.
	open := func(t *testing.T, access, secret string) *shop.Shop {
		s := server.StartIn(t, []string{"PALATE_S3_ACCESS_KEY_ID=" + access, "PALATE_S3_SECRET_ACCESS_KEY=" + secret}, "--verbose", "--s3-endpoint", s3.URL)
		t.Cleanup(func() { noCanaryEscaped(t, s) })
		h := shop.Open(t, s) // makes a bucket of the same name in the embedded S3, which no job must look at
		h.Objects = objects
		return h
	}
	d := shop.Generate(40, 30, 600, 91)
	all := func(h *shop.Shop) map[string]string {
		h.Upload(h.Objects, "in/one.csv", shop.ToCSV(d.Interactions))
		exported, _ := h.StartExport(h.Interactions, "ALL")
		return map[string]string{
			h.StartImportOf(h.Interactions, "in/one.csv", "FULL"): "datasetImportJob", exported: "datasetExportJob", h.StartDeletion(d.Users[0]): "dataDeletionJob",
		}
	}

	h := open(t, "AKIDSTORE", "right")
	h.Load(h.Interactions, d.Interactions)
	equalRows(t, "export through the other S3", d.Interactions, h.Export(h.Interactions, "ALL"))
	if n := h.Forget(d.Users[0]); n != len(rowsOf(d.Interactions, d.Users[0])) {
		t.Errorf("numDeleted is %d", n)
	}

	const denied = "Insufficient privileges for accessing data in Amazon S3."
	for name, secret := range map[string]string{"AKIDSTORE": "wrong", "AKIDNOBODY": "right"} {
		h := open(t, name, secret)
		for arn, noun := range all(h) {
			if reason := failure(h, noun, arn); !strings.HasPrefix(reason, denied) {
				t.Errorf("%s with the credentials %s %s: %q", noun, name, secret, reason)
			}
		}
	}

	waiting := all(h)
	for arn, noun := range waiting {
		h.Wait(noun, arn)
	}
	s3.Kill()
	h.Objects = h.Bucket("shop") // uploads go anywhere now
	for arn, noun := range all(h) {
		if reason := failure(h, noun, arn); !strings.Contains(reason, "cannot be reached") {
			t.Errorf("%s with the S3 down: %q", noun, reason)
		}
	}
	rows := len(shop.Without(d.Interactions, d.Users[0]))
	s3.Restart()
	h.Objects = objects
	if got := h.Export(h.Interactions, "ALL"); len(got) != rows {
		t.Errorf("once the S3 is back %d rows are exported, want %d", len(got), rows)
	}
}

package main

import (
	"bytes"
	"os"
	"testing"
)

func TestGeneratedFilesAreWhatTheGeneratorWrites(t *testing.T) {
	t.Chdir("..")
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		got, err := os.ReadFile(f.name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, f.text) {
			t.Errorf("%s is not current; run go generate ./internal/api", f.name)
		}
	}
}

func TestFieldNames(t *testing.T) {
	for member, want := range map[string]string{
		"kmsKeyArn": "KMSKeyARN", "performHPO": "PerformHPO", "hpoConfig": "HPOConfig", "minProvisionedTPS": "MinProvisionedTPS",
		"publishAttributionMetricsToS3": "PublishAttributionMetricsToS3", "s3DataSource": "S3DataSource", "tunedHPOParams": "TunedHPOParams",
		"dockerURI": "DockerURI", "userId": "UserID", "Filters": "Filters", "autoMLResult": "AutoMLResult",
	} {
		if got := fieldName(member); got != want {
			t.Errorf("%s becomes %s, want %s", member, got, want)
		}
	}
}

func TestAnOverlayThatHasOutlivedItsReasonIsRefused(t *testing.T) {
	m := &model{Operations: map[string]*operation{"A": {}}, Shapes: map[string]*shape{"S": {Type: "structure", Members: members{{"a", "A"}}}}}
	if err := m.apply(overlay{Operations: map[string]*operation{"A": {}}}); err == nil {
		t.Error("an operation is added twice")
	}
	for _, add := range []struct{ in, after, name string }{{"S", "a", "a"}, {"S", "b", "c"}, {"T", "a", "c"}} {
		if err := m.insert(add.in, add.after, member{add.name, "A"}); err == nil {
			t.Errorf("%v is inserted", add)
		}
	}
}

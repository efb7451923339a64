// Package java_test drives a server with the published AWS clients for Java (SDK 2). It needs a Java runtime of version 17 and what
// `mvn -q -f test/java package` puts below target; without them the tests say so and are skipped.
package java_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/palate-dev/palate/test/plan"
)

func TestJavaClients(t *testing.T) { plan.Conformance(t, plan.Client{Run: run}) }

func TestJavaClientsDoTheMainJob(t *testing.T) { plan.MainJob(t, plan.Client{Run: run}) }

func run(t *testing.T, endpoint string, calls []plan.Call) []plan.Result {
	t.Helper()
	if _, err := exec.LookPath("java"); err != nil {
		t.Skip("java is not installed: the Java clients are not tested")
	}
	if _, err := os.Stat("target/lib"); err != nil {
		t.Skip("test/java/target is missing (mvn -q -f test/java package): the Java clients are not tested")
	}
	return plan.Run(t, endpoint, calls, "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", "target/classes:target/lib/*", "Conformance")
}

//lint:file-ignore SA1019 version 1 of the SDK is what customers still run, and the only Go client of all three services: it is tested because it is old.

package sdk_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go/aws/awserr"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/test/sdk"
	"github.com/palate-dev/palate/test/server"
)

// TestTheBinaryAnswersEveryOperation sends each operation with every member set to a server that holds nothing. It may do what it is asked or throw an
// exception of the model, and nothing else: whatever is not built says InvalidInputException.
func TestTheBinaryAnswersEveryOperation(t *testing.T) {
	c, err := sdk.New(server.Start(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range c.Calls() {
		_, err := call.Do(t.Context())
		if err == nil {
			continue
		}
		var failure awserr.RequestFailure
		if !errors.As(err, &failure) {
			t.Errorf("%s: %v", call.Name, err)
			continue
		}
		status, modelled := exceptions[call.Service][api.Code(failure.Code())]
		if !modelled || failure.StatusCode() != status || reflect.TypeOf(err).Elem().Name() != failure.Code() {
			t.Errorf("%s answers %d %s: %s", call.Name, failure.StatusCode(), failure.Code(), failure.Message())
		}
	}
}

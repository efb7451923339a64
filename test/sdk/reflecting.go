package sdk

import (
	"context"
	"net/http"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
	"github.com/palate-dev/palate/internal/wire"
)

// ErrorHeader makes a Reflecting server answer with the exception of that name.
const ErrorHeader = "Test-Exception"

// Message is what such an exception says.
const Message = `no such "thing" <here> & there: ä`

type errorKey struct{}

// Reflecting is a server on the real wire, with verified signatures, whose operations answer with every member filled. Seen, if it is not nil,
// gets each request that an operation receives. Its S3 is s3, which may be nil.
func Reflecting(seen func(operation string, in any), s3 http.Handler) http.Handler {
	h := wire.New(wire.Options{
		Account:     "123456789012",
		Credentials: map[string]string{AccessKey: SecretKey},
		S3:          s3,
		Operations: apitest.Operations(func(ctx context.Context, operation string, in, out any) error {
			if seen != nil {
				seen(operation, in)
			}
			if code, _ := ctx.Value(errorKey{}).(string); code != "" {
				return &api.Error{Code: api.Code(code), Message: Message}
			}
			apitest.Fill(out)
			return nil
		}),
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), errorKey{}, r.Header.Get(ErrorHeader))))
	})
}
